/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of published devices. Invariant: a table only grows, and an entry, once there, stays:
 * an index that answered once always answers the same.
 */
#include "kernel/device.h"

#include "base/mem.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/memory.h"

struct table {
    struct spinlock lock; /* guards all below; taken before the allocator's */
    void **devices;
    uint32_t count;
    uint32_t capacity;
};

static struct table block_devices;
static struct table net_devices;

static enum status grow(struct table *table) {
    uint32_t capacity = table->capacity == 0 ? 8 : 2 * table->capacity;
    void **devices = kmalloc(capacity * sizeof(void *));
    if (devices == NULL)
        return STATUS_NO_MEMORY;
    if (table->count > 0)
        memcpy(devices, table->devices, table->count * sizeof(void *));
    kfree(table->devices);
    table->devices = devices;
    table->capacity = capacity;
    return STATUS_OK;
}

static enum status publish(struct table *table, void *device) {
    enum status status = STATUS_OK;
    uint64_t flags = spinlock_lock(&table->lock);
    if (table->count == table->capacity)
        status = grow(table);
    if (status == STATUS_OK)
        table->devices[table->count++] = device;
    spinlock_unlock(&table->lock, flags);
    return status;
}

static void *get(struct table *table, uint32_t index) {
    uint64_t flags = spinlock_lock(&table->lock);
    void *device = index < table->count ? table->devices[index] : NULL;
    spinlock_unlock(&table->lock, flags);
    return device;
}

enum status device_publish_block(struct blockdev *device) {
    return publish(&block_devices, device);
}

enum status device_publish_net(struct netdev *device) {
    return publish(&net_devices, device);
}

struct blockdev *device_block(uint32_t index) {
    return get(&block_devices, index);
}

struct netdev *device_net(uint32_t index) {
    return get(&net_devices, index);
}
