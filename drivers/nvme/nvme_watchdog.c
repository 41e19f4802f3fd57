/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that looks after one controller, four times a second: has it vanished or failed, is a
 * command late? It alone resets the controller, so that no two resets meet.
 *
 * Invariant: a request is ended without its completion only once the controller cannot write to its
 * memory any more: after CSTS.RDY fell, or after the function lost the right to be bus master.
 */
#include "base/log.h"
#include "drivers/nvme/nvme_controller.h"

#define SETTLE_NS 10000000ull /* for writes that are already under way on the bus */

/* PCI Local Bus 3.0, 6.2.2: the command register */
#define PCI_COMMAND 0x04
#define PCI_COMMAND_BUS_MASTER 0x4u

static void freeze(struct nvme_controller *controller) {
    for (uint32_t i = 0; i < controller->queue_count; i++)
        nvme_queue_freeze(&controller->queues[i]);
}

void nvme_offline(struct nvme_controller *controller, const char *reason) {
    __atomic_store_n(&controller->offline, true, __ATOMIC_RELAXED);
    log_error(NVME_ROOM,
              "%s (%s, serial %s): offline: %s; its data is unreachable until the device works "
              "again and the system is restarted",
              controller->name, controller->pci->address, controller->serial, reason);
    nvme_queue_refuse(&controller->admin);
    for (uint32_t i = 0; i < controller->queue_count; i++)
        nvme_queue_refuse(&controller->queues[i]);
    if (nvme_read32(controller, NVME_REG_CSTS) != NVME_REG_GONE)
        nvme_write32(controller, NVME_REG_CC, 0);
    uint16_t command = pci_config_read16(controller->pci, PCI_COMMAND);
    pci_config_write16(controller->pci, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_BUS_MASTER);
    (void)pci_config_read16(controller->pci, PCI_COMMAND); /* the write has arrived */
    os_sleep_ns(SETTLE_NS);
    nvme_queue_close(&controller->admin, STATUS_GONE);
    for (uint32_t i = 0; i < controller->queue_count; i++) {
        nvme_queue_poll(&controller->queues[i]); /* what was answered was answered */
        nvme_queue_close(&controller->queues[i], STATUS_GONE);
    }
}

/* Disables, starts anew and replays. False: offline. */
static bool reset(struct nvme_controller *controller, const char *reason) {
    log_warning(NVME_ROOM, "%s: %s: resetting the controller", controller->name, reason);
    nvme_count(&controller->resets);
    freeze(controller);
    nvme_queue_refuse(&controller->admin);
    enum status status = nvme_disable(controller, NVME_DISABLE_TIMEOUT_NS);
    if (status != STATUS_OK) {
        nvme_offline(controller,
                     status == STATUS_GONE ? "it was removed" : "it could not be disabled");
        return false;
    }
    nvme_queue_close(&controller->admin, STATUS_AGAIN);
    for (uint32_t i = 0; i < controller->queue_count; i++)
        nvme_queue_poll(&controller->queues[i]);
    /* Whoever held this has been answered just now, and newcomers find the queue closed. */
    os_mutex_lock(&controller->admin_lock);
    controller->reset_deadline_ns = os_now_ns() + NVME_RESTART_TIMEOUT_NS;
    status = nvme_bringup(controller);
    controller->reset_deadline_ns = 0;
    os_mutex_unlock(&controller->admin_lock);
    if (status != STATUS_OK) {
        nvme_offline(controller, "it did not come back from its reset");
        return false;
    }
    for (uint32_t i = 0; i < controller->queue_count; i++)
        nvme_queue_replay(&controller->queues[i]);
    log_info(NVME_ROOM, "%s: works again after its reset", controller->name);
    return true;
}

/* Looks at one queue, and before anything is done about it, for answers whose interrupt was lost.
 */
static enum nvme_overdue look(struct nvme_controller *controller, struct nvme_queue *queue,
                              uint16_t *id) {
    if (nvme_queue_overdue(queue, controller->tick, NULL) == NVME_OVERDUE_NONE)
        return NVME_OVERDUE_NONE;
    uint32_t found = nvme_queue_poll(queue);
    if (found > 0) {
        __atomic_fetch_add(&controller->missed, found, __ATOMIC_RELAXED);
        log_warning(NVME_ROOM,
                    "%s: %u answers came without an interrupt; if this goes on, look "
                    "for its vector in the interrupt statistics",
                    queue->name, found);
    }
    return nvme_queue_overdue(queue, controller->tick, id);
}

/* False: the controller is offline. */
static bool check_queue(struct nvme_controller *controller, struct nvme_queue *queue) {
    uint16_t id = 0;
    enum nvme_overdue worst;
    uint32_t late = 0;
    while ((worst = look(controller, queue, &id)) == NVME_OVERDUE_ABORT) {
        late++;
        nvme_count(&controller->timeouts);
        nvme_admin_abort(controller, queue->id, id);
    }
    if (late > 0)
        log_warning(NVME_ROOM, "%s: %u commands got no answer in time: aborted", queue->name, late);
    if (worst == NVME_OVERDUE_OFFLINE) {
        nvme_offline(controller, "a command got no answer, also after a reset");
        return false;
    }
    if (worst == NVME_OVERDUE_RESET)
        return reset(controller, "a command could not be aborted");
    return true;
}

/* False: the controller is offline. */
static bool pass(struct nvme_controller *controller) {
    uint32_t csts = nvme_read32(controller, NVME_REG_CSTS);
    if (csts == NVME_REG_GONE) {
        nvme_offline(controller, "it was removed");
        return false;
    }
    if (csts & NVME_CSTS_FATAL)
        return reset(controller, "it reported a fatal error");
    if (!check_queue(controller, &controller->admin))
        return false;
    for (uint32_t i = 0; i < controller->queue_count; i++)
        if (!check_queue(controller, &controller->queues[i]))
            return false;
    return true;
}

void nvme_watchdog(void *context) {
    struct nvme_controller *controller = context;
    while (!__atomic_load_n(&controller->stopping, __ATOMIC_ACQUIRE)) {
        event_wait(&controller->attention, NVME_TICK_NS);
        __atomic_store_n(&controller->tick, controller->tick + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&controller->log_budget, NVME_LOG_LINES_PER_TICK, __ATOMIC_RELAXED);
        if (__atomic_load_n(&controller->stopping, __ATOMIC_ACQUIRE) || !pass(controller))
            return;
    }
}
