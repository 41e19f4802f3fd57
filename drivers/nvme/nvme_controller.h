/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One controller and what the driver's files share about it. Not for other rooms: those see nvme.h.
 *
 * How a stuck command ends (all in 15 s): after 5 s it is aborted, 1 s later the controller is
 * reset (3.5 s at most) and every command sent once more; 3.5 s later the controller is offline.
 * The age of commands is counted in the watchdog's passes, so that a machine that was paused blames
 * none.
 */
#ifndef DRIVERS_NVME_NVME_CONTROLLER_H
#define DRIVERS_NVME_NVME_CONTROLLER_H

#include "base/list.h"
#include "drivers/nvme/nvme.h"
#include "drivers/nvme/nvme_queue.h"

#define NVME_ROOM "nvme"

#define NVME_TICK_NS 250000000ull
#define NVME_LOG_LINES_PER_TICK 4u
#define NVME_TICKS_COMMAND 20u
#define NVME_TICKS_ABORT 4u
#define NVME_TICKS_REPLAY 14u
#define NVME_DISABLE_TIMEOUT_NS 1500000000ull
#define NVME_RESTART_TIMEOUT_NS 2000000000ull /* the first bring-up has CAP.TO */
/* One tick more for each, because a command may be sent just before one. */
_Static_assert((NVME_TICKS_COMMAND + NVME_TICKS_ABORT + NVME_TICKS_REPLAY + 4) * NVME_TICK_NS +
                       NVME_DISABLE_TIMEOUT_NS + NVME_RESTART_TIMEOUT_NS <=
                   15000000000ull,
               "a stuck command ends within 15 s");
#define NVME_ADMIN_TIMEOUT_NS 5000000000ull
#define NVME_SHUTDOWN_TIMEOUT_NS 5000000000ull

/* More slots than this in one queue would only wait inside of the device. */
#define NVME_QUEUE_ENTRIES 256u
#define NVME_ADMIN_ENTRIES 32u
/* Longest transfer whose PRP list fits the slot: 256 pages. */
#define NVME_MAX_TRANSFER (1u << 20)
#define NVME_MAX_DISCARD (1ull << 30)

enum nvme_bringup {
    NVME_BRINGUP_CHECK,         /* is it a controller that this driver can drive? */
    NVME_BRINGUP_SETTLE,        /* a controller that is just starting must not be disabled */
    NVME_BRINGUP_DISABLE,       /* CC.EN = 0 */
    NVME_BRINGUP_WAIT_DISABLED, /* until CSTS.RDY = 0 */
    NVME_BRINGUP_ENABLE,        /* admin queue registers, then CC.EN = 1 */
    NVME_BRINGUP_WAIT_READY,    /* until CSTS.RDY = 1 */
    NVME_BRINGUP_IDENTIFY,
    NVME_BRINGUP_QUEUES, /* agree on their number; memory and interrupts the first time */
    NVME_BRINGUP_CREATE, /* Create I/O Completion and Submission Queue */
    NVME_BRINGUP_DONE,
};

struct nvme_namespace {
    struct blockdev device;
    struct nvme_controller *controller;
    uint32_t nsid;
    uint32_t block_shift;
    struct list_node link; /* controller->namespaces */
};

/* Lock order: admin_lock before any queue's lock. */
struct nvme_controller {
    struct pci_device *pci;
    uint32_t index;
    char name[16]; /* "nvme0" */
    struct list_node link;

    volatile uint8_t *registers; /* constant after attach, as all down to `queues` */
    size_t registers_length;
    uint64_t capabilities; /* CAP */
    uint32_t version;
    char model[41], serial[21], firmware[9];
    uint32_t max_transfer; /* bytes */
    uint32_t namespace_count;
    uint32_t error_log_entries;
    bool volatile_cache;
    bool has_discard;
    uint16_t msix_entries; /* 0: one interrupt for all queues */
    bool interrupt_stays;  /* the one interrupt cannot be unregistered */
    bool admin_ready;      /* atomic: `admin` may be polled */
    struct nvme_queue admin;
    struct nvme_queue *queues; /* I/O queue pairs */
    uint32_t queue_count;

    struct list_node namespaces; /* changed during attach only */

    struct os_mutex admin_lock; /* guards `page`, and admin commands but the watchdog's */
    void *page;                 /* what identify and log pages are read into; never released while
                                   the controller may write to it */

    bool brought_up;            /* the watchdog's: the first bring-up is over */
    uint64_t reset_deadline_ns; /* the watchdog's: when the bring-up after a reset must be over */
    struct event attention;     /* wakes the watchdog */
    bool stopping;              /* atomic: the watchdog ends */
    struct os_thread *watchdog;

    uint32_t tick;       /* atomic: the watchdog's passes */
    uint32_t log_budget; /* atomic: lines that may still be logged in this pass */
    bool offline;        /* atomic */
    uint64_t failed, timeouts, aborts, resets, replayed, stray, missed; /* atomic */
};

/* The seam to the hardware: nobody else dereferences `registers`. */
static inline uint32_t nvme_read32(const struct nvme_controller *controller, uint32_t offset) {
    return *(const volatile uint32_t *)(controller->registers + offset);
}
static inline void nvme_write32(struct nvme_controller *controller, uint32_t offset,
                                uint32_t value) {
    *(volatile uint32_t *)(controller->registers + offset) = value;
}
/* Two halves, as some controllers want it (Base 3.1). */
static inline uint64_t nvme_read64(const struct nvme_controller *controller, uint32_t offset) {
    uint64_t low = nvme_read32(controller, offset);
    return low | (uint64_t)nvme_read32(controller, offset + 4) << 32;
}
static inline void nvme_write64(struct nvme_controller *controller, uint32_t offset,
                                uint64_t value) {
    nvme_write32(controller, offset, (uint32_t)value);
    nvme_write32(controller, offset + 4, (uint32_t)(value >> 32));
}

static inline void nvme_count(uint64_t *counter) {
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* nvme_bringup.c: takes the controller from any state to working queues. The first time, and after
 * each reset. UNSUPPORTED, TIMEOUT, IO, GONE, NO_MEMORY. */
enum status nvme_bringup(struct nvme_controller *controller);
/* Disables the controller and waits until it touches no memory. TIMEOUT, GONE. */
enum status nvme_disable(struct nvme_controller *controller, uint64_t timeout_ns);

/* nvme_interrupt.c: registers what nvme_interrupts_assign() then gives to queues. */
enum status nvme_interrupts_enable(struct nvme_controller *controller);
/* How many I/O queues can have an interrupt; at least 1. */
uint32_t nvme_interrupts_queues(const struct nvme_controller *controller);
enum status nvme_interrupts_assign(struct nvme_controller *controller, struct nvme_queue *queue);
void nvme_interrupts_release(struct nvme_queue *queue);

/* nvme_admin.c. The first is for bring-up and reset, when nobody else uses the admin queue: runs
 * one command and waits. The others take admin_lock. */
enum status nvme_admin_run(struct nvme_controller *controller, const struct nvme_command *command,
                           uint32_t *result);
/* Reads an Identify structure into controller->page. */
enum status nvme_admin_identify(struct nvme_controller *controller, uint32_t cns, uint32_t nsid);
/* Sets or learns the number of queues: wants and returns a count. */
enum status nvme_admin_queue_count(struct nvme_controller *controller, uint32_t *count);
enum status nvme_admin_create(struct nvme_controller *controller, const struct nvme_queue *queue);
/* Sends an Abort and does not wait for it. */
void nvme_admin_abort(struct nvme_controller *controller, uint16_t queue, uint16_t id);
/* Reads `length` bytes (a multiple of 4, up to a page) of a log page and copies them out. */
enum status nvme_admin_log_page(struct nvme_controller *controller, uint32_t page, void *out,
                                size_t length);

/* nvme_namespace.c: publishes every active namespace. */
enum status nvme_namespaces_publish(struct nvme_controller *controller);

/* nvme_watchdog.c: the thread that looks for stuck commands and a vanished controller. */
void nvme_watchdog(void *controller);
/* Ends everything: no memory is touched by the device afterwards, requests get GONE. */
void nvme_offline(struct nvme_controller *controller, const char *reason);

/* nvme_status.c: what a completion's status field means to the caller. */
enum status nvme_status_map(uint16_t status);
/* Logs a failed command, if this pass of the watchdog has lines left. */
void nvme_status_log(struct nvme_queue *queue, const struct nvme_command *command, uint16_t status);

#endif
