/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that tests inject: pieces fail here instead of reaching the driver. */
#include "base/log.h"
#include "base/math.h"
#include "kernel/block/block_internal.h"

static bool touches(const struct block_fault *fault, const struct block_request *request) {
    if (fault->operation != request->operation)
        return false;
    if (request->operation == BLOCK_FLUSH)
        return true;
    return request->offset < fault->offset + fault->length &&
           fault->offset < request->offset + request->length;
}

/* The lock is held. True if this piece shall fail. */
static bool applies(struct block_fault_node *node) {
    struct block_fault *fault = &node->fault;
    if (fault->after > 0) {
        fault->after--;
        return false;
    }
    if (fault->count == 0)
        return true;
    if (--fault->count == 0)
        list_remove(&node->link); /* used up; freed by the one that clears or adds */
    return true;
}

enum status block_fault_match(struct block_disk *disk, const struct block_request *request) {
    if (!__atomic_load_n(&disk->has_faults, __ATOMIC_ACQUIRE))
        return STATUS_OK;
    enum status status = STATUS_OK;
    struct block_fault_node *used_up = NULL;
    uint64_t flags = spinlock_lock(&disk->lock);
    LIST_FOR_EACH(link, &disk->faults) {
        struct block_fault_node *node = LIST_CONTAINER(link, struct block_fault_node, link);
        if (!touches(&node->fault, request) || !applies(node))
            continue;
        status = node->fault.status;
        used_up = list_is_empty(&node->link) ? node : NULL;
        break;
    }
    spinlock_unlock(&disk->lock, flags);
    os_free(used_up);
    return status;
}

enum status block_fault_add(struct blockdev *device, const struct block_fault *fault) {
    uint64_t end;
    if ((unsigned)fault->operation >= BLOCK_OPERATION_COUNT || fault->status == STATUS_OK ||
        (unsigned)fault->status >= STATUS_COUNT || !math_add(fault->offset, fault->length, &end))
        return STATUS_INVALID;
    if (fault->operation != BLOCK_FLUSH && (fault->length == 0 || end > device->size))
        return STATUS_INVALID;
    struct block_view *view = block_view_of(device);
    struct block_fault_node *node = os_alloc(sizeof *node);
    if (node == NULL)
        return STATUS_NO_MEMORY;
    node->fault = *fault;
    node->fault.offset += view->start;
    uint64_t flags = spinlock_lock(&view->disk->lock);
    list_push_back(&view->disk->faults, &node->link);
    __atomic_store_n(&view->disk->has_faults, true, __ATOMIC_RELEASE);
    spinlock_unlock(&view->disk->lock, flags);
    log_warning(BLOCK_ROOM, "%s: a test injects faults into its %ss", device->name,
                block_operation_name(fault->operation));
    return STATUS_OK;
}

void block_faults_clear(struct blockdev *device) {
    struct block_disk *disk = block_view_of(device)->disk;
    struct list_node all;
    list_init(&all);
    uint64_t flags = spinlock_lock(&disk->lock);
    list_splice_back(&all, &disk->faults);
    __atomic_store_n(&disk->has_faults, false, __ATOMIC_RELEASE);
    spinlock_unlock(&disk->lock, flags);
    struct list_node *node;
    while ((node = list_pop_front(&all)) != NULL)
        os_free(LIST_CONTAINER(node, struct block_fault_node, link));
}
