/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How completions reach the queues: with MSI-X each queue has an entry of its own, on the CPU that
 * submits to it; without, one interrupt looks through all queues.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "drivers/nvme/nvme_controller.h"
#include "kernel/cpu/percpu.h"

static bool on_queue(void *context) {
    return nvme_queue_poll(context) > 0;
}

static bool on_controller(void *context) {
    struct nvme_controller *controller = context;
    /* A shared pin may call before there is any queue. Flag and count are stored after the queues
     * are made, so that what is seen here is complete. */
    if (!__atomic_load_n(&controller->admin_ready, __ATOMIC_ACQUIRE))
        return false;
    uint32_t count = nvme_queue_poll(&controller->admin);
    uint32_t queues = __atomic_load_n(&controller->queue_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < queues; i++)
        count += nvme_queue_poll(&controller->queues[i]);
    return count > 0;
}

static bool is_shared(const struct nvme_controller *controller) {
    return controller->msix_entries < 2;
}

enum status nvme_interrupts_enable(struct nvme_controller *controller) {
    controller->msix_entries = pci_msix_vectors(controller->pci);
    if (controller->msix_entries > 0)
        return pci_msix_enable(controller->pci);
    enum status status =
        pci_interrupt_register(controller->pci, controller->name, on_controller, controller);
    controller->interrupt_stays = status == STATUS_OK;
    return status;
}

uint32_t nvme_interrupts_queues(const struct nvme_controller *controller) {
    if (is_shared(controller))
        return 1;
    return MATH_MIN(cpu_count(), controller->msix_entries - 1u);
}

enum status nvme_interrupts_assign(struct nvme_controller *controller, struct nvme_queue *queue) {
    if (controller->msix_entries == 0)
        return STATUS_OK;
    bool shared = is_shared(controller);
    if (shared && queue->id > 0)
        return STATUS_OK; /* entry 0 serves it too */
    enum status status = irq_vector_register(queue->name, shared ? on_controller : on_queue,
                                             shared ? (void *)controller : queue, &queue->vector);
    if (status != STATUS_OK)
        return status;
    queue->interrupt = shared ? 0 : queue->id;
    uint32_t cpu = queue->id == 0 ? 0 : (queue->id - 1u) % cpu_count();
    pci_msix_set(controller->pci, queue->interrupt, queue->vector, cpu);
    return STATUS_OK;
}

void nvme_interrupts_release(struct nvme_queue *queue) {
    if (queue->vector == 0)
        return;
    irq_vector_unregister(queue->vector);
    queue->vector = 0;
}
