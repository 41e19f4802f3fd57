/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue pair (Base 4.1): a submission ring, its completion ring, and one slot for every command
 * that may be in flight.
 *
 * Invariants:
 * - A slot belongs to one command from nvme_queue_take() until its completion was seen or the
 *   controller was disabled; its PRP list and its request's memory are not released before.
 * - A command identifier is the slot's index and a generation that changes with each sending, so
 *   that a late or invented completion is recognised and touches nothing.
 * - There is one slot less than ring entries: a command always finds room in the ring.
 */
#ifndef DRIVERS_NVME_NVME_QUEUE_H
#define DRIVERS_NVME_NVME_QUEUE_H

#include "base/blockdev.h"
#include "base/os.h"
#include "drivers/nvme/nvme_regs.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/sched/event.h"

struct nvme_controller;

/* A thread that waits for an admin command; lives on its stack. */
struct nvme_waiter {
    struct os_completion done;
    uint32_t result; /* dword 0 of the completion */
    uint16_t status; /* status field without the phase tag */
    bool disabled;   /* the controller was disabled before it answered */
};

enum nvme_slot_state {
    NVME_SLOT_FREE,
    NVME_SLOT_TAKEN,   /* being filled by the one who took it */
    NVME_SLOT_PENDING, /* to be sent when the controller is back from its reset */
    NVME_SLOT_SENT,
    NVME_SLOT_ABORTING, /* sent, and so is an Abort for it */
};

struct nvme_slot {
    struct nvme_command command;
    struct block_request *request; /* I/O queues */
    struct nvme_waiter *waiter;    /* admin queue; NULL if nobody waits (any more) */
    void *list;                    /* PRP list, constant */
    uint64_t list_physical;
    uint32_t tick; /* controller->tick when the command, or its Abort, was sent */
    uint32_t next_free;
    uint16_t generation;
    uint8_t state;
    bool replayed; /* sent a second time */
};

/* Lock order: nothing is taken under `lock` but what event_signal and os_completion_signal take. */
struct nvme_queue {
    struct nvme_controller *controller; /* constant, as all down to `lock` */
    char name[24];
    uint16_t id; /* 0: admin */
    uint16_t entries;
    uint16_t slot_count;
    uint16_t interrupt; /* MSI-X table entry */
    uint8_t vector;     /* 0: none registered */
    size_t list_size;   /* bytes of a slot's PRP list: a power of two up to a page */
    struct nvme_slot *slots;
    struct nvme_command *submission;
    struct nvme_completion *completion;
    volatile uint32_t *submission_doorbell;
    volatile uint32_t *completion_doorbell;
    struct event room; /* signalled when a slot got free and somebody waits */

    struct spinlock lock; /* guards all below, the rings and the slots */
    uint16_t tail;
    uint16_t head;
    uint8_t phase;
    uint32_t first_free;
    uint32_t in_flight; /* slots pending, sent or aborting */
    uint32_t waiters;
    bool frozen; /* the controller is being reset: commands stay pending */
    bool closed; /* nothing is taken any more */
    uint64_t commands;
};

/* Makes rings and slots. `list_size` 0: slots without PRP lists. NO_MEMORY (nothing is kept). */
enum status nvme_queue_create(struct nvme_queue *queue, struct nvme_controller *controller,
                              uint16_t id, uint16_t entries, size_t list_size);
void nvme_queue_destroy(struct nvme_queue *queue);

/* Empties the rings for a controller that starts anew, and opens the queue. The controller is
 * disabled. */
void nvme_queue_restart(struct nvme_queue *queue);

/* Takes a free slot. With `wait` sleeps (thread) until there is one, else BUSY; GONE if closed. */
enum status nvme_queue_take(struct nvme_queue *queue, bool wait, struct nvme_slot **slot);

/* Sends slot->command (its id is filled in here). GONE if the queue was closed: the slot is
 * released and nothing happens. */
enum status nvme_queue_send(struct nvme_queue *queue, struct nvme_slot *slot);

/* Handles what the completion ring holds; calls done() of finished requests. Any context. Returns
 * how many completions there were. */
uint32_t nvme_queue_poll(struct nvme_queue *queue);

/* From now on commands stay pending. */
void nvme_queue_freeze(struct nvme_queue *queue);

/* Sends what is pending, and once more what was sent before the controller was disabled, with one
 * doorbell. A command that was replayed already fails with TIMEOUT. */
void nvme_queue_replay(struct nvme_queue *queue);

/* Closes the queue and ends every command in it: requests with `status`, waiters as disabled. The
 * controller no longer touches memory. */
void nvme_queue_close(struct nvme_queue *queue, enum status status);

/* Closes the queue to newcomers without ending what is in it. */
void nvme_queue_refuse(struct nvme_queue *queue);

/* Gives up waiting for an admin command. False if it has been answered meanwhile (or is being). */
bool nvme_queue_abandon(struct nvme_queue *queue, struct nvme_slot *slot,
                        struct nvme_waiter *waiter);

enum nvme_overdue {
    NVME_OVERDUE_NONE,
    NVME_OVERDUE_ABORT,   /* a command is late: abort it */
    NVME_OVERDUE_RESET,   /* an aborted command is late: reset the controller */
    NVME_OVERDUE_OFFLINE, /* a replayed command is late: give the controller up */
};

/* The worst that is overdue now. With `id`, a command that is to be aborted is marked so, and *id
 * is its identifier. */
enum nvme_overdue nvme_queue_overdue(struct nvme_queue *queue, uint32_t tick, uint16_t *id);

#endif
