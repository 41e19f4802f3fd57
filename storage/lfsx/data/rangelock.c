/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: a range is held once no range before it in the list overlaps it. */
#include "storage/lfsx/data/rangelock.h"
#include "base/assert.h"

void rangelock_init(struct rangelock *lock) {
    os_mutex_init(&lock->lock);
    os_condition_init(&lock->released);
    list_init(&lock->ranges);
}

void rangelock_destroy(struct rangelock *lock) {
    ASSERT(list_is_empty(&lock->ranges));
    os_condition_destroy(&lock->released);
    os_mutex_destroy(&lock->lock);
}

static bool must_wait(const struct rangelock *lock, const struct rangelock_hold *hold) {
    for (const struct list_node *node = lock->ranges.next; node != &hold->link; node = node->next) {
        const struct rangelock_hold *other = LIST_CONTAINER(node, struct rangelock_hold, link);
        if (other->first < hold->first + hold->count && hold->first < other->first + other->count)
            return true;
    }
    return false;
}

void rangelock_acquire(struct rangelock *lock, struct rangelock_hold *hold, uint64_t first,
                       uint64_t count) {
    ASSERT(count > 0);
    hold->first = first;
    hold->count = count;
    os_mutex_lock(&lock->lock);
    list_push_back(&lock->ranges, &hold->link);
    while (must_wait(lock, hold))
        os_condition_wait(&lock->released, &lock->lock, OS_FOREVER);
    os_mutex_unlock(&lock->lock);
}

void rangelock_release(struct rangelock *lock, struct rangelock_hold *hold) {
    os_mutex_lock(&lock->lock);
    list_remove(&hold->link);
    os_condition_broadcast(&lock->released);
    os_mutex_unlock(&lock->lock);
}
