/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: see nvme_queue.h for their invariants. */
#include "drivers/nvme/nvme_queue.h"
#include "base/assert.h"
#include "base/format.h"
#include "base/mem.h"
#include "drivers/nvme/nvme_controller.h"
#include "kernel/mm/memory.h"

#define NO_SLOT UINT32_MAX
#define INDEX_BITS 10u /* of a command identifier; the rest is the generation */
#define REAP_BATCH 64u /* completions handled under one hold of the lock */
_Static_assert(NVME_QUEUE_ENTRIES < 1u << INDEX_BITS, "0xffff is never an identifier");

static size_t ring_bytes(const struct nvme_queue *queue, size_t entry) {
    size_t bytes = queue->entries * entry;
    return (bytes + OS_PAGE_SIZE - 1) / OS_PAGE_SIZE * OS_PAGE_SIZE;
}

static uint32_t lists_per_page(const struct nvme_queue *queue) {
    return (uint32_t)(OS_PAGE_SIZE / queue->list_size);
}

static void free_lists(struct nvme_queue *queue) {
    if (queue->list_size == 0)
        return;
    for (uint32_t i = 0; i < queue->slot_count; i += lists_per_page(queue))
        os_page_free(queue->slots[i].list, OS_PAGE_SIZE);
}

static enum status create_lists(struct nvme_queue *queue) {
    if (queue->list_size == 0)
        return STATUS_OK;
    for (uint32_t i = 0; i < queue->slot_count; i += lists_per_page(queue)) {
        char *page = os_page_alloc(OS_PAGE_SIZE);
        if (page == NULL)
            return STATUS_NO_MEMORY;
        for (uint32_t j = 0; j < lists_per_page(queue) && i + j < queue->slot_count; j++) {
            struct nvme_slot *slot = &queue->slots[i + j];
            slot->list = page + j * queue->list_size;
            slot->list_physical = memory_physical(slot->list);
        }
    }
    return STATUS_OK;
}

enum status nvme_queue_create(struct nvme_queue *queue, struct nvme_controller *controller,
                              uint16_t id, uint16_t entries, size_t list_size) {
    ASSERT(entries >= 2 && entries <= NVME_QUEUE_ENTRIES && list_size <= OS_PAGE_SIZE);
    memset(queue, 0, sizeof *queue);
    queue->controller = controller;
    queue->id = id;
    queue->entries = entries;
    queue->slot_count = entries - 1;
    queue->list_size = list_size;
    format_text(queue->name, sizeof queue->name, "%s-q%u", controller->name, id);
    event_init(&queue->room);
    queue->slots = os_alloc_zeroed(queue->slot_count * sizeof *queue->slots);
    queue->submission = os_page_alloc(ring_bytes(queue, sizeof *queue->submission));
    queue->completion = os_page_alloc(ring_bytes(queue, sizeof *queue->completion));
    if (queue->slots == NULL || queue->submission == NULL || queue->completion == NULL ||
        create_lists(queue) != STATUS_OK) {
        nvme_queue_destroy(queue);
        return STATUS_NO_MEMORY;
    }
    for (uint32_t i = 0; i < queue->slot_count; i++)
        queue->slots[i].next_free = i + 1u < queue->slot_count ? i + 1 : NO_SLOT;
    uint32_t stride = 4u << NVME_CAP_DSTRD(controller->capabilities);
    volatile uint8_t *bells = controller->registers + NVME_REG_DOORBELLS;
    queue->submission_doorbell = (volatile uint32_t *)(bells + (size_t)(2u * id) * stride);
    queue->completion_doorbell = (volatile uint32_t *)(bells + (size_t)(2u * id + 1) * stride);
    nvme_queue_restart(queue);
    return STATUS_OK;
}

void nvme_queue_destroy(struct nvme_queue *queue) {
    if (queue->slots != NULL)
        free_lists(queue);
    os_page_free(queue->completion, ring_bytes(queue, sizeof *queue->completion));
    os_page_free(queue->submission, ring_bytes(queue, sizeof *queue->submission));
    os_free(queue->slots);
    memset(queue, 0, sizeof *queue);
}

void nvme_queue_restart(struct nvme_queue *queue) {
    uint64_t flags = spinlock_lock(&queue->lock);
    memset(queue->completion, 0, ring_bytes(queue, sizeof *queue->completion));
    queue->tail = 0;
    queue->head = 0;
    queue->phase = NVME_COMPLETION_PHASE;
    queue->closed = false;
    spinlock_unlock(&queue->lock, flags);
}

enum status nvme_queue_take(struct nvme_queue *queue, bool wait, struct nvme_slot **slot) {
    enum status status = STATUS_OK;
    uint64_t flags = spinlock_lock(&queue->lock);
    while (wait && !queue->closed && queue->first_free == NO_SLOT) {
        queue->waiters++;
        spinlock_unlock(&queue->lock, flags);
        event_wait(&queue->room, OS_FOREVER);
        flags = spinlock_lock(&queue->lock);
        queue->waiters--;
    }
    if (queue->closed) {
        status = STATUS_GONE;
    } else if (queue->first_free == NO_SLOT) {
        status = STATUS_BUSY;
    } else {
        *slot = &queue->slots[queue->first_free];
        queue->first_free = (*slot)->next_free;
        (*slot)->state = NVME_SLOT_TAKEN;
        (*slot)->replayed = false;
    }
    /* One signal may stand for several free slots: pass it on while there is something to get. */
    bool more = queue->waiters > 0 && (queue->closed || queue->first_free != NO_SLOT);
    spinlock_unlock(&queue->lock, flags);
    if (more)
        event_signal(&queue->room);
    return status;
}

/* The lock is held, here and down to finish(). */
static void release(struct nvme_queue *queue, struct nvme_slot *slot) {
    slot->state = NVME_SLOT_FREE;
    slot->request = NULL;
    slot->waiter = NULL;
    slot->next_free = queue->first_free;
    queue->first_free = (uint32_t)(slot - queue->slots);
}

static uint16_t slot_id(const struct nvme_queue *queue, const struct nvme_slot *slot) {
    return (uint16_t)((uint32_t)slot->generation << INDEX_BITS | (uint32_t)(slot - queue->slots));
}

static void put_in_ring(struct nvme_queue *queue, struct nvme_slot *slot) {
    slot->generation++;
    slot->command.id = le16_make(slot_id(queue, slot));
    slot->state = NVME_SLOT_SENT;
    slot->tick = __atomic_load_n(&queue->controller->tick, __ATOMIC_RELAXED);
    queue->submission[queue->tail] = slot->command;
    queue->tail = (uint16_t)((queue->tail + 1u) % queue->entries);
}

static void ring_submission(struct nvme_queue *queue) {
    /* The commands must be in memory before the controller hears of them; on x86-64 stores stay in
     * order, so holding the compiler back is enough. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *queue->submission_doorbell = queue->tail;
}

static void resend(struct nvme_queue *queue, struct nvme_slot *slot) {
    slot->replayed = true;
    nvme_count(&queue->controller->replayed);
    put_in_ring(queue, slot);
}

static void end(struct nvme_queue *queue, struct nvme_slot *slot, enum status status,
                struct list_node *finished) {
    if (slot->request != NULL) {
        slot->request->status = status;
        list_push_back(finished, &slot->request->link);
    }
    if (slot->waiter != NULL)
        os_completion_signal(&slot->waiter->done);
    queue->in_flight--;
    release(queue, slot);
}

static void finish(struct list_node *finished) {
    struct list_node *node;
    while ((node = list_pop_front(finished)) != NULL) {
        struct block_request *request = LIST_CONTAINER(node, struct block_request, link);
        request->done(request);
    }
}

enum status nvme_queue_send(struct nvme_queue *queue, struct nvme_slot *slot) {
    enum status status = STATUS_OK;
    uint64_t flags = spinlock_lock(&queue->lock);
    ASSERT(slot->state == NVME_SLOT_TAKEN);
    if (queue->closed) {
        release(queue, slot);
        status = STATUS_GONE;
    } else {
        queue->in_flight++;
        queue->commands++;
        if (queue->frozen) {
            slot->state = NVME_SLOT_PENDING;
        } else {
            put_in_ring(queue, slot);
            ring_submission(queue);
        }
    }
    spinlock_unlock(&queue->lock, flags);
    return status;
}

/* The slot that a completion is for, NULL if it is for none. What the controller wrote is not
 * trusted. */
static struct nvme_slot *find(struct nvme_queue *queue, const struct nvme_completion *entry) {
    uint16_t id = le16_get(entry->id);
    uint32_t index = id & ((1u << INDEX_BITS) - 1);
    if (index >= queue->slot_count || le16_get(entry->sq_id) != queue->id)
        return NULL;
    struct nvme_slot *slot = &queue->slots[index];
    if (slot->state != NVME_SLOT_SENT && slot->state != NVME_SLOT_ABORTING)
        return NULL;
    return slot_id(queue, slot) == id ? slot : NULL;
}

static bool is_abort(uint16_t status) {
    return NVME_STATUS_TYPE(status) == NVME_SCT_GENERIC &&
           NVME_STATUS_CODE(status) == NVME_SC_ABORTED;
}

static void send_again(struct nvme_queue *queue, struct nvme_slot *slot) {
    if (queue->frozen) {
        slot->replayed = true;
        slot->state = NVME_SLOT_PENDING;
        return;
    }
    resend(queue, slot);
    ring_submission(queue);
}

static void handle(struct nvme_queue *queue, const struct nvme_completion *entry,
                   struct list_node *finished) {
    struct nvme_slot *slot = find(queue, entry);
    if (slot == NULL) {
        nvme_count(&queue->controller->stray);
        return;
    }
    uint16_t status = le16_get(entry->status) >> 1;
    if (slot->state == NVME_SLOT_ABORTING && is_abort(status) && !slot->replayed) {
        send_again(queue, slot);
        return;
    }
    if (status != 0 && slot->request != NULL) {
        nvme_count(&queue->controller->failed);
        nvme_status_log(queue, &slot->command, status);
    }
    if (slot->waiter != NULL) {
        slot->waiter->status = status;
        slot->waiter->result = le32_get(entry->result);
    }
    end(queue, slot, nvme_status_map(status), finished);
}

static uint32_t reap(struct nvme_queue *queue, struct list_node *finished) {
    uint32_t count = 0;
    while (count < REAP_BATCH) {
        const struct nvme_completion *entry = &queue->completion[queue->head];
        uint8_t phase = __atomic_load_n(&entry->status.bytes[0], __ATOMIC_ACQUIRE);
        if ((phase & NVME_COMPLETION_PHASE) != queue->phase)
            break;
        struct nvme_completion copy = *entry;
        if (++queue->head == queue->entries) {
            queue->head = 0;
            queue->phase ^= NVME_COMPLETION_PHASE;
        }
        handle(queue, &copy, finished);
        count++;
    }
    if (count > 0 && !queue->frozen) /* a disabled controller has no doorbells */
        *queue->completion_doorbell = queue->head;
    return count;
}

uint32_t nvme_queue_poll(struct nvme_queue *queue) {
    uint32_t total = 0;
    for (;;) {
        struct list_node finished;
        list_init(&finished);
        uint64_t flags = spinlock_lock(&queue->lock);
        uint32_t count = reap(queue, &finished);
        bool wake = queue->waiters > 0 && queue->first_free != NO_SLOT;
        spinlock_unlock(&queue->lock, flags);
        if (wake)
            event_signal(&queue->room);
        finish(&finished);
        total += count;
        if (count < REAP_BATCH)
            return total;
    }
}

void nvme_queue_freeze(struct nvme_queue *queue) {
    uint64_t flags = spinlock_lock(&queue->lock);
    queue->frozen = true;
    spinlock_unlock(&queue->lock, flags);
}

void nvme_queue_replay(struct nvme_queue *queue) {
    struct list_node finished;
    list_init(&finished);
    uint64_t flags = spinlock_lock(&queue->lock);
    queue->frozen = false;
    for (uint32_t i = 0; i < queue->slot_count; i++) {
        struct nvme_slot *slot = &queue->slots[i];
        if (slot->state == NVME_SLOT_PENDING)
            put_in_ring(queue, slot);
        else if ((slot->state == NVME_SLOT_SENT || slot->state == NVME_SLOT_ABORTING) &&
                 slot->replayed)
            end(queue, slot, STATUS_TIMEOUT, &finished);
        else if (slot->state == NVME_SLOT_SENT || slot->state == NVME_SLOT_ABORTING)
            resend(queue, slot);
    }
    ring_submission(queue);
    bool wake = queue->waiters > 0 && queue->first_free != NO_SLOT;
    spinlock_unlock(&queue->lock, flags);
    if (wake)
        event_signal(&queue->room);
    finish(&finished);
}

void nvme_queue_close(struct nvme_queue *queue, enum status status) {
    struct list_node finished;
    list_init(&finished);
    uint64_t flags = spinlock_lock(&queue->lock);
    queue->closed = true;
    for (uint32_t i = 0; i < queue->slot_count; i++) {
        struct nvme_slot *slot = &queue->slots[i];
        if (slot->state == NVME_SLOT_FREE || slot->state == NVME_SLOT_TAKEN)
            continue;
        if (slot->waiter != NULL)
            slot->waiter->disabled = true;
        end(queue, slot, status, &finished);
    }
    spinlock_unlock(&queue->lock, flags);
    event_signal(&queue->room);
    finish(&finished);
}

void nvme_queue_refuse(struct nvme_queue *queue) {
    uint64_t flags = spinlock_lock(&queue->lock);
    queue->closed = true;
    spinlock_unlock(&queue->lock, flags);
    event_signal(&queue->room);
}

bool nvme_queue_abandon(struct nvme_queue *queue, struct nvme_slot *slot,
                        struct nvme_waiter *waiter) {
    uint64_t flags = spinlock_lock(&queue->lock);
    bool waiting = slot->waiter == waiter;
    if (waiting)
        slot->waiter = NULL;
    spinlock_unlock(&queue->lock, flags);
    return waiting;
}

static enum nvme_overdue overdue(const struct nvme_queue *queue, const struct nvme_slot *slot,
                                 uint32_t tick) {
    uint32_t age = tick - slot->tick;
    if (slot->state == NVME_SLOT_ABORTING)
        return age > NVME_TICKS_ABORT ? NVME_OVERDUE_RESET : NVME_OVERDUE_NONE;
    if (slot->state != NVME_SLOT_SENT)
        return NVME_OVERDUE_NONE;
    if (slot->replayed)
        return age > NVME_TICKS_REPLAY ? NVME_OVERDUE_OFFLINE : NVME_OVERDUE_NONE;
    if (age <= NVME_TICKS_COMMAND)
        return NVME_OVERDUE_NONE;
    return queue->id == 0 ? NVME_OVERDUE_RESET : NVME_OVERDUE_ABORT;
}

enum nvme_overdue nvme_queue_overdue(struct nvme_queue *queue, uint32_t tick, uint16_t *id) {
    enum nvme_overdue worst = NVME_OVERDUE_NONE;
    struct nvme_slot *late = NULL;
    uint64_t flags = spinlock_lock(&queue->lock);
    for (uint32_t i = 0; queue->in_flight > 0 && i < queue->slot_count; i++) {
        enum nvme_overdue one = overdue(queue, &queue->slots[i], tick);
        if (one <= worst)
            continue;
        worst = one;
        late = &queue->slots[i];
    }
    if (worst == NVME_OVERDUE_ABORT && id != NULL) {
        late->state = NVME_SLOT_ABORTING;
        late->tick = tick;
        *id = slot_id(queue, late);
    }
    spinlock_unlock(&queue->lock, flags);
    return worst;
}
