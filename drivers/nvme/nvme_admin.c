/* SPDX-License-Identifier: Apache-2.0 */
/* Admin commands (Base 5): one at a time but for Abort, each with a time limit. */
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "drivers/nvme/nvme_controller.h"
#include "kernel/mm/memory.h"

#define POLL_NS 100000000ull /* how long an interrupt is waited for before looking without it */

static uint64_t deadline(const struct nvme_controller *controller) {
    uint64_t now = os_now_ns();
    bool resetting = controller->reset_deadline_ns != 0;
    return resetting ? controller->reset_deadline_ns : now + NVME_ADMIN_TIMEOUT_NS;
}

/* Waits for the answer, also one whose interrupt never comes. False: none in time. */
static bool await(struct nvme_controller *controller, struct nvme_slot *slot,
                  struct nvme_waiter *waiter) {
    uint64_t end = deadline(controller);
    while (!os_completion_wait_timeout(&waiter->done, POLL_NS)) {
        uint32_t found = nvme_queue_poll(&controller->admin);
        __atomic_fetch_add(&controller->missed, found, __ATOMIC_RELAXED);
        if (found == 0 && os_now_ns() >= end) {
            if (nvme_queue_abandon(&controller->admin, slot, waiter))
                return false;
            os_completion_wait(&waiter->done);
            break;
        }
    }
    return true;
}

enum status nvme_admin_run(struct nvme_controller *controller, const struct nvme_command *command,
                           uint32_t *result) {
    struct nvme_slot *slot;
    enum status status = nvme_queue_take(&controller->admin, false, &slot);
    if (status != STATUS_OK)
        return status;
    struct nvme_waiter waiter = {.result = 0};
    os_completion_init(&waiter.done);
    os_completion_expect(&waiter.done, 1);
    slot->command = *command;
    slot->waiter = &waiter;
    status = nvme_queue_send(&controller->admin, slot);
    if (status != STATUS_OK) {
        os_completion_destroy(&waiter.done);
        return status;
    }
    if (!await(controller, slot, &waiter)) {
        log_error(NVME_ROOM, "%s: no answer to admin command 0x%02x in time", controller->name,
                  command->opcode);
        return STATUS_TIMEOUT;
    }
    os_completion_destroy(&waiter.done);
    if (waiter.disabled)
        return STATUS_AGAIN;
    status = nvme_status_map(waiter.status);
    if (status != STATUS_OK)
        log_warning(NVME_ROOM, "%s: admin command 0x%02x failed: status type %u, code 0x%02x",
                    controller->name, command->opcode, NVME_STATUS_TYPE(waiter.status),
                    NVME_STATUS_CODE(waiter.status));
    if (result != NULL)
        *result = waiter.result;
    return status;
}

enum status nvme_admin_identify(struct nvme_controller *controller, uint32_t cns, uint32_t nsid) {
    memset(controller->page, 0, OS_PAGE_SIZE);
    struct nvme_command command = {.opcode = NVME_ADMIN_IDENTIFY,
                                   .nsid = le32_make(nsid),
                                   .prp1 = le64_make(memory_physical(controller->page)),
                                   .dword10 = le32_make(cns)};
    return nvme_admin_run(controller, &command, NULL);
}

enum status nvme_admin_queue_count(struct nvme_controller *controller, uint32_t *count) {
    ASSERT(*count >= 1 && *count <= 0xffff);
    uint32_t wanted = *count - 1;
    struct nvme_command command = {.opcode = NVME_ADMIN_SET_FEATURES,
                                   .dword10 = le32_make(NVME_FEATURE_QUEUE_COUNT),
                                   .dword11 = le32_make(wanted << 16 | wanted)};
    uint32_t result = 0;
    enum status status = nvme_admin_run(controller, &command, &result);
    if (status != STATUS_OK)
        return status;
    uint32_t submission = (result & 0xffff) + 1;
    uint32_t completion = (result >> 16) + 1;
    uint32_t offered = submission < completion ? submission : completion;
    *count = offered < *count ? offered : *count;
    return STATUS_OK;
}

enum status nvme_admin_create(struct nvme_controller *controller, const struct nvme_queue *queue) {
    uint32_t id_and_size = (queue->entries - 1u) << 16 | queue->id;
    struct nvme_command completion = {.opcode = NVME_ADMIN_CREATE_CQ,
                                      .prp1 = le64_make(memory_physical(queue->completion)),
                                      .dword10 = le32_make(id_and_size),
                                      .dword11 =
                                          le32_make((uint32_t)queue->interrupt << 16 |
                                                    NVME_CQ_INTERRUPTS | NVME_QUEUE_CONTIGUOUS)};
    enum status status = nvme_admin_run(controller, &completion, NULL);
    if (status != STATUS_OK)
        return status;
    struct nvme_command submission = {
        .opcode = NVME_ADMIN_CREATE_SQ,
        .prp1 = le64_make(memory_physical(queue->submission)),
        .dword10 = le32_make(id_and_size),
        .dword11 = le32_make((uint32_t)queue->id << 16 | NVME_QUEUE_CONTIGUOUS)};
    return nvme_admin_run(controller, &submission, NULL);
}

void nvme_admin_abort(struct nvme_controller *controller, uint16_t queue, uint16_t id) {
    struct nvme_slot *slot;
    if (nvme_queue_take(&controller->admin, false, &slot) != STATUS_OK)
        return; /* the reset that follows does what the Abort would have done */
    nvme_count(&controller->aborts);
    slot->command = (struct nvme_command){.opcode = NVME_ADMIN_ABORT,
                                          .dword10 = le32_make((uint32_t)id << 16 | queue)};
    (void)nvme_queue_send(&controller->admin, slot); /* closed: as above */
}

enum status nvme_admin_log_page(struct nvme_controller *controller, uint32_t page, void *out,
                                size_t length) {
    ASSERT(length % 4 == 0 && length > 0 && length <= OS_PAGE_SIZE);
    uint32_t dwords = (uint32_t)(length / 4 - 1);
    os_mutex_lock(&controller->admin_lock);
    memset(controller->page, 0, OS_PAGE_SIZE);
    struct nvme_command command = {.opcode = NVME_ADMIN_GET_LOG_PAGE,
                                   .nsid = le32_make(NVME_NSID_ALL),
                                   .prp1 = le64_make(memory_physical(controller->page)),
                                   .dword10 = le32_make(dwords << 16 | page)};
    enum status status = nvme_admin_run(controller, &command, NULL);
    /* Closed means a reset, unless it is for good. */
    if (status == STATUS_GONE && !__atomic_load_n(&controller->offline, __ATOMIC_RELAXED))
        status = STATUS_AGAIN;
    if (status == STATUS_OK)
        memcpy(out, controller->page, length);
    os_mutex_unlock(&controller->admin_lock);
    return status;
}
