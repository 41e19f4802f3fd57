/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/pool/reaper.h"
#include "storage/lfsx/pool/pool.h"

static void run(void *argument) {
    struct lfsx_pool *pool = argument;
    struct reaper *reaper = &pool->reaper;
    os_mutex_lock(&reaper->lock);
    while (!reaper->closing) {
        if (!reaper->wanted) {
            os_condition_wait(&reaper->wake, &reaper->lock, OS_FOREVER);
            continue;
        }
        reaper->wanted = false;
        reaper->working = true;
        os_mutex_unlock(&reaper->lock);
        reaper->work(pool);
        os_mutex_lock(&reaper->lock);
        reaper->working = false;
        os_condition_broadcast(&reaper->idle);
    }
    os_mutex_unlock(&reaper->lock);
}

void reaper_init(struct reaper *reaper, reaper_work *work) {
    reaper->work = work;
    os_mutex_init(&reaper->lock);
    os_condition_init(&reaper->wake);
    os_condition_init(&reaper->idle);
}

void reaper_destroy(struct reaper *reaper) {
    os_mutex_destroy(&reaper->lock);
    os_condition_destroy(&reaper->wake);
    os_condition_destroy(&reaper->idle);
}

enum status reaper_start(struct lfsx_pool *pool) {
    pool->reaper.wanted = true;
    return os_thread_start(&pool->reaper.thread, "lfsx-reaper", run, pool);
}

void reaper_stop(struct lfsx_pool *pool) {
    struct reaper *reaper = &pool->reaper;
    if (reaper->thread == NULL)
        return;
    os_mutex_lock(&reaper->lock);
    reaper->closing = true;
    os_condition_broadcast(&reaper->wake);
    os_condition_broadcast(&reaper->idle);
    os_mutex_unlock(&reaper->lock);
    os_thread_join(reaper->thread);
    reaper->thread = NULL;
}

void reaper_wake(struct lfsx_pool *pool) {
    os_mutex_lock(&pool->reaper.lock);
    pool->reaper.wanted = true;
    os_condition_signal(&pool->reaper.wake);
    os_mutex_unlock(&pool->reaper.lock);
}

void reaper_settle(struct lfsx_pool *pool) {
    struct reaper *reaper = &pool->reaper;
    if (reaper->thread == NULL) {
        reaper->work(pool);
        return;
    }
    os_mutex_lock(&reaper->lock);
    while ((reaper->wanted || reaper->working) && !reaper->closing)
        os_condition_wait(&reaper->idle, &reaper->lock, OS_FOREVER);
    os_mutex_unlock(&reaper->lock);
}

bool reaper_is_closing(struct reaper *reaper) {
    os_mutex_lock(&reaper->lock);
    bool closing = reaper->closing;
    os_mutex_unlock(&reaper->lock);
    return closing;
}
