/* SPDX-License-Identifier: Apache-2.0 */
/* A ramdisk behind a gate: while it is closed, writes wait in front of it; everything else passes.
 * So a test decides when a write that was acknowledged reaches the device. */
#ifndef TESTS_STORAGE_LFSX_GATEDISK_H
#define TESTS_STORAGE_LFSX_GATEDISK_H

#include "tests/storage/lfsx/ramdisk.h"

struct gatedisk {
    struct blockdev device;
    struct ramdisk *disk;
    struct os_mutex lock; /* guards the rest */
    struct os_condition arrived;
    struct list_node waiting; /* struct block_request.link */
    unsigned waiting_count;
    bool closed;
};

static inline void gatedisk_submit(struct blockdev *device, struct block_request *request) {
    struct gatedisk *gate = (struct gatedisk *)device;
    os_mutex_lock(&gate->lock);
    bool waits = gate->closed && request->operation == BLOCK_WRITE;
    if (waits) {
        list_push_back(&gate->waiting, &request->link);
        gate->waiting_count++;
        os_condition_broadcast(&gate->arrived);
    }
    os_mutex_unlock(&gate->lock);
    if (!waits)
        ramdisk_submit(&gate->disk->device, request);
}

static inline void gatedisk_init(struct gatedisk *gate, struct ramdisk *disk) {
    static const struct blockdev_operations operations = {.submit = gatedisk_submit};
    *gate = (struct gatedisk){.device = disk->device, .disk = disk};
    gate->device.operations = &operations;
    os_mutex_init(&gate->lock);
    os_condition_init(&gate->arrived);
    list_init(&gate->waiting);
}

static inline void gatedisk_destroy(struct gatedisk *gate) {
    os_condition_destroy(&gate->arrived);
    os_mutex_destroy(&gate->lock);
}

static inline void gatedisk_close(struct gatedisk *gate) {
    os_mutex_lock(&gate->lock);
    gate->closed = true;
    os_mutex_unlock(&gate->lock);
}

/* Waits until a write stands before the gate. */
static inline void gatedisk_await(struct gatedisk *gate) {
    os_mutex_lock(&gate->lock);
    while (gate->waiting_count == 0)
        os_condition_wait(&gate->arrived, &gate->lock, OS_FOREVER);
    os_mutex_unlock(&gate->lock);
}

static inline void gatedisk_open(struct gatedisk *gate) {
    struct list_node *link;
    os_mutex_lock(&gate->lock);
    gate->closed = false;
    while ((link = list_pop_front(&gate->waiting)) != NULL) {
        gate->waiting_count--;
        os_mutex_unlock(&gate->lock);
        ramdisk_submit(&gate->disk->device, LIST_CONTAINER(link, struct block_request, link));
        os_mutex_lock(&gate->lock);
    }
    os_mutex_unlock(&gate->lock);
}

#endif
