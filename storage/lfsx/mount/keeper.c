/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/mount/keeper.h"
#include "base/math.h"
#include "storage/lfsx/catalog/deletion.h"
#include "storage/lfsx/pool/pool.h"
#include "storage/lfsx/snapshot/schedule.h"

#define KEEPER_INTERVAL_NS 5000000000ull

static void keep(void *argument) {
    struct lfsx_pool *pool = argument;
    uint64_t rest = KEEPER_INTERVAL_NS;
    os_mutex_lock(&pool->commit_lock);
    while (!pool->closing) {
        os_condition_wait(&pool->keeper_wake, &pool->commit_lock,
                          MATH_MIN(rest, KEEPER_INTERVAL_NS));
        os_mutex_unlock(&pool->commit_lock);
        if (pool_writable(pool) == STATUS_OK) {
            deletion_expire(pool);
            rest = schedule_run(pool, os_wall_clock_ns());
            (void)pool_checkpoint(pool);
        }
        os_mutex_lock(&pool->commit_lock);
    }
    os_mutex_unlock(&pool->commit_lock);
}

enum status keeper_start(struct lfsx_pool *pool) {
    return os_thread_start(&pool->keeper, "lfsx-keeper", keep, pool);
}

void keeper_stop(struct lfsx_pool *pool) {
    if (pool->keeper == NULL)
        return;
    os_mutex_lock(&pool->commit_lock);
    pool->closing = true;
    os_condition_broadcast(&pool->keeper_wake);
    os_mutex_unlock(&pool->commit_lock);
    os_thread_join(pool->keeper);
    pool->keeper = NULL;
}
