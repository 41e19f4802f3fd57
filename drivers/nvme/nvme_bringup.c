/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bring-up (Base 7.6.1) as a sequence of states, the same after power-on and after a reset. Each
 * state does one thing and names the next; waits are bounded by CAP.TO the first time, and
 * afterwards by what a reset may take in all.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "drivers/nvme/nvme_controller.h"
#include "kernel/mm/memory.h"

#define POLL_NS 1000000ull

/* Waits until (CSTS & mask) == value. */
static enum status wait_status(struct nvme_controller *controller, uint32_t mask, uint32_t value,
                               uint64_t timeout_ns) {
    uint64_t end = os_now_ns() + timeout_ns;
    for (;;) {
        /* The time is taken before the look, so that a thread that was held up looks once more. */
        bool last = os_now_ns() >= end;
        uint32_t csts = nvme_read32(controller, NVME_REG_CSTS);
        if (csts == NVME_REG_GONE)
            return STATUS_GONE;
        if ((csts & mask) == value)
            return STATUS_OK;
        if (csts & NVME_CSTS_FATAL && value != 0)
            return STATUS_IO;
        if (last)
            return STATUS_TIMEOUT;
        os_sleep_ns(POLL_NS);
    }
}

static uint64_t state_timeout(const struct nvme_controller *controller) {
    if (controller->brought_up) {
        uint64_t now = os_now_ns();
        return now < controller->reset_deadline_ns ? controller->reset_deadline_ns - now : 0;
    }
    /* CAP.TO of zero is out of specification: such a controller is given one unit. */
    uint64_t units = NVME_CAP_TO(controller->capabilities);
    return MATH_MAX(units, 1u) * NVME_CAP_TIMEOUT_UNIT_NS;
}

static enum status unsupported(const struct nvme_controller *controller, const char *what) {
    log_error(NVME_ROOM, "%s: %s: this controller cannot be used", controller->name, what);
    return STATUS_UNSUPPORTED;
}

static enum status check(struct nvme_controller *controller) {
    uint64_t cap = nvme_read64(controller, NVME_REG_CAP);
    if ((uint32_t)cap == NVME_REG_GONE && (uint32_t)(cap >> 32) == NVME_REG_GONE)
        return STATUS_GONE;
    if (!NVME_CAP_CSS_NVM(cap))
        return unsupported(controller, "no NVM command set");
    if (NVME_CAP_MPSMIN(cap) != 0)
        return unsupported(controller, "no 4 KiB memory pages");
    if (NVME_CAP_MQES(cap) < 1)
        return unsupported(controller, "queues of one entry");
    uint64_t admin_bells = NVME_REG_DOORBELLS + 2ull * (4ull << NVME_CAP_DSTRD(cap));
    if (controller->registers_length < admin_bells)
        return unsupported(controller, "register window too short for doorbells");
    controller->capabilities = cap;
    controller->version = nvme_read32(controller, NVME_REG_VS);
    return STATUS_OK;
}

/* Clearing CC.EN before a rising CSTS.RDY has risen is undefined (Base 3.1.5). */
static enum status settle(struct nvme_controller *controller) {
    bool enabled = nvme_read32(controller, NVME_REG_CC) & NVME_CC_ENABLE;
    if (!enabled || controller->brought_up)
        return STATUS_OK;
    enum status status =
        wait_status(controller, NVME_CSTS_READY, NVME_CSTS_READY, state_timeout(controller));
    return status == STATUS_GONE ? status : STATUS_OK; /* a hung one is cured by disabling */
}

enum status nvme_disable(struct nvme_controller *controller, uint64_t timeout_ns) {
    uint32_t cc = nvme_read32(controller, NVME_REG_CC);
    if (cc == NVME_REG_GONE)
        return STATUS_GONE;
    nvme_write32(controller, NVME_REG_CC, cc & ~(NVME_CC_ENABLE | NVME_CC_SHUTDOWN_MASK));
    return wait_status(controller, NVME_CSTS_READY, 0, timeout_ns);
}

static enum status create_admin(struct nvme_controller *controller) {
    if (controller->admin.slots != NULL)
        return STATUS_OK;
    uint32_t entries = MATH_MIN(NVME_ADMIN_ENTRIES, NVME_CAP_MQES(controller->capabilities) + 1);
    enum status status = nvme_queue_create(&controller->admin, controller, 0, (uint16_t)entries, 0);
    if (status != STATUS_OK)
        return status;
    __atomic_store_n(&controller->admin_ready, true, __ATOMIC_RELEASE);
    return nvme_interrupts_assign(controller, &controller->admin);
}

static enum status enable(struct nvme_controller *controller) {
    enum status status = create_admin(controller);
    if (status != STATUS_OK)
        return status;
    struct nvme_queue *admin = &controller->admin;
    nvme_queue_restart(admin);
    uint32_t last = admin->entries - 1u;
    nvme_write32(controller, NVME_REG_AQA, last << 16 | last);
    nvme_write64(controller, NVME_REG_ASQ, memory_physical(admin->submission));
    nvme_write64(controller, NVME_REG_ACQ, memory_physical(admin->completion));
    nvme_write32(controller, NVME_REG_CC,
                 NVME_CC_IOSQES(NVME_COMMAND_LOG2) | NVME_CC_IOCQES(NVME_COMPLETION_LOG2) |
                     NVME_CC_ENABLE);
    return STATUS_OK;
}

/* Copies a space-padded field of the device, without what a terminal might act on. */
static void copy_text(char *out, const char *from, size_t length) {
    size_t end = 0;
    for (size_t i = 0; i < length; i++) {
        out[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
        if (from[i] == '\0')
            out[i] = ' ';
        if (out[i] != ' ')
            end = i + 1;
    }
    out[end] = '\0';
}

static enum status identify(struct nvme_controller *controller) {
    enum status status = nvme_admin_identify(controller, NVME_CNS_CONTROLLER, 0);
    if (status != STATUS_OK)
        return status;
    const struct nvme_identify_controller *page = controller->page;
    char serial[sizeof controller->serial];
    copy_text(serial, page->serial, sizeof page->serial);
    if (controller->brought_up && strcmp(serial, controller->serial) != 0) {
        log_error(NVME_ROOM, "%s: serial number %s became %s: not the device it was",
                  controller->name, controller->serial, serial);
        return STATUS_FOREIGN;
    }
    memcpy(controller->serial, serial, sizeof serial);
    copy_text(controller->model, page->model, sizeof page->model);
    copy_text(controller->firmware, page->firmware, sizeof page->firmware);
    if (controller->brought_up)
        return STATUS_OK; /* the limits were published; they stay */
    controller->max_transfer = NVME_MAX_TRANSFER;
    if (page->mdts != 0 && page->mdts < 20)
        controller->max_transfer = MATH_MIN(NVME_MAX_TRANSFER, OS_PAGE_SIZE << page->mdts);
    controller->namespace_count = le32_get(page->namespace_count);
    controller->error_log_entries = page->error_log_limit + 1u;
    controller->volatile_cache = page->write_cache & NVME_VWC_PRESENT;
    controller->has_discard = le16_get(page->commands) & NVME_ONCS_DATASET_MANAGEMENT;
    return STATUS_OK;
}

/* A PRP list never crosses a page: its room is a power of two. */
static size_t list_size(const struct nvme_controller *controller) {
    size_t size = sizeof(struct nvme_dsm_range);
    while (size < controller->max_transfer / OS_PAGE_SIZE * sizeof(le64))
        size *= 2;
    return size;
}

static enum status create_queues(struct nvme_controller *controller, uint32_t count) {
    uint32_t entries = MATH_MIN(NVME_QUEUE_ENTRIES, NVME_CAP_MQES(controller->capabilities) + 1);
    controller->queues = os_alloc_zeroed(count * sizeof *controller->queues);
    if (controller->queues == NULL)
        return STATUS_NO_MEMORY;
    uint32_t made = 0;
    enum status status = STATUS_OK;
    while (made < count && status == STATUS_OK) {
        struct nvme_queue *queue = &controller->queues[made];
        status = nvme_queue_create(queue, controller, (uint16_t)(made + 1), (uint16_t)entries,
                                   list_size(controller));
        if (status != STATUS_OK)
            break;
        status = nvme_interrupts_assign(controller, queue);
        if (status != STATUS_OK)
            nvme_queue_destroy(queue);
        else
            made++;
    }
    if (made > 0 && made < count)
        log_warning(NVME_ROOM, "%s: %u I/O queues of %u: %s", controller->name, made, count,
                    status_text(status));
    __atomic_store_n(&controller->queue_count, made, __ATOMIC_RELEASE);
    return made > 0 ? STATUS_OK : status;
}

/* As many queues as there are CPUs, vectors and doorbells, and as the controller grants. */
static enum status agree_on_queues(struct nvme_controller *controller) {
    uint64_t stride = 4ull << NVME_CAP_DSTRD(controller->capabilities);
    uint64_t bells = (controller->registers_length - NVME_REG_DOORBELLS) / (2 * stride);
    uint64_t wanted = MATH_MIN(nvme_interrupts_queues(controller), MATH_MIN(bells - 1, 0xffffu));
    if (controller->brought_up)
        wanted = controller->queue_count;
    if (wanted == 0)
        return unsupported(controller, "no doorbell for an I/O queue");
    uint32_t count = (uint32_t)wanted;
    enum status status = nvme_admin_queue_count(controller, &count);
    if (status != STATUS_OK)
        return status;
    if (!controller->brought_up)
        return create_queues(controller, count);
    return count >= controller->queue_count ? STATUS_OK
                                            : unsupported(controller, "fewer queues than before");
}

static enum status tell_queues(struct nvme_controller *controller) {
    for (uint32_t i = 0; i < controller->queue_count; i++) {
        nvme_queue_restart(&controller->queues[i]);
        enum status status = nvme_admin_create(controller, &controller->queues[i]);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status step(struct nvme_controller *controller, enum nvme_bringup state) {
    switch (state) {
    case NVME_BRINGUP_CHECK:
        return check(controller);
    case NVME_BRINGUP_SETTLE:
        return settle(controller);
    case NVME_BRINGUP_DISABLE:
        nvme_write32(controller, NVME_REG_CC, 0);
        return STATUS_OK;
    case NVME_BRINGUP_WAIT_DISABLED:
        return wait_status(controller, NVME_CSTS_READY, 0, state_timeout(controller));
    case NVME_BRINGUP_ENABLE:
        return enable(controller);
    case NVME_BRINGUP_WAIT_READY:
        return wait_status(controller, NVME_CSTS_READY, NVME_CSTS_READY, state_timeout(controller));
    case NVME_BRINGUP_IDENTIFY:
        return identify(controller);
    case NVME_BRINGUP_QUEUES:
        return agree_on_queues(controller);
    case NVME_BRINGUP_CREATE:
        return tell_queues(controller);
    case NVME_BRINGUP_DONE:
        break;
    }
    ASSERT_UNREACHABLE();
}

enum status nvme_bringup(struct nvme_controller *controller) {
    static const char *const names[] = {
        [NVME_BRINGUP_CHECK] = "checking its capabilities",
        [NVME_BRINGUP_SETTLE] = "waiting for an earlier start",
        [NVME_BRINGUP_DISABLE] = "disabling it",
        [NVME_BRINGUP_WAIT_DISABLED] = "waiting until it is disabled",
        [NVME_BRINGUP_ENABLE] = "enabling it",
        [NVME_BRINGUP_WAIT_READY] = "waiting until it is ready",
        [NVME_BRINGUP_IDENTIFY] = "identifying it",
        [NVME_BRINGUP_QUEUES] = "agreeing on its queues",
        [NVME_BRINGUP_CREATE] = "creating its queues",
    };
    for (enum nvme_bringup state = NVME_BRINGUP_CHECK; state != NVME_BRINGUP_DONE; state++) {
        enum status status = step(controller, state);
        if (status == STATUS_OK)
            continue;
        log_error(NVME_ROOM, "%s: failed while %s: %s (CSTS 0x%x)", controller->name, names[state],
                  status_text(status), nvme_read32(controller, NVME_REG_CSTS));
        return status;
    }
    controller->brought_up = true;
    return STATUS_OK;
}
