/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the code above needs from the house it lives in: memory, threads, locks, a clock,
 * randomness. kernel/ provides it on the bare metal, host/ in a Linux process, and host's simulator
 * with one thread and virtual time. Code above is written as straight blocking code.
 *
 * Unless a function says otherwise it is called from a thread and may sleep. "Any context" includes
 * interrupt handlers and block completions.
 */
#ifndef BASE_OS_H
#define BASE_OS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- memory: os_alloc for objects, os_page_alloc for what devices read and write ---- */

#define OS_PAGE_SIZE 4096u

/* 16-byte aligned memory, NULL when there is none after caches were asked to shrink. Size 0 is
 * allowed and gives a unique pointer. The content of os_alloc's memory is undefined. */
void *os_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *os_alloc_zeroed(size_t size) __attribute__((malloc, warn_unused_result));
/* Releases what the two gave; NULL is allowed. */
void os_free(void *memory);

/* Whole pages, page-aligned, contiguous for a device, content undefined; NULL when there are none.
 * Bytes is a positive multiple of OS_PAGE_SIZE. The only memory that may be handed to a blockdev.
 */
void *os_page_alloc(size_t bytes) __attribute__((malloc, warn_unused_result));
/* Bytes as given to os_page_alloc; NULL is allowed. */
void os_page_free(void *memory, size_t bytes);

struct os_memory_info {
    uint64_t total_bytes; /* what this home may use in all */
    uint64_t free_bytes;
};
/* Any context. */
void os_memory_info(struct os_memory_info *info);

/* A cache that can give memory back. `shrink` frees about `bytes` (0: as much as it can) and
 * returns what it freed; it is called from any thread that allocates, must not allocate, and must
 * only try (never wait for) locks under which its owner allocates. */
struct os_shrinker {
    uint64_t (*shrink)(void *context, uint64_t bytes);
    void *context;
    struct os_shrinker *next; /* the home's */
};
void os_shrinker_register(struct os_shrinker *shrinker);
void os_shrinker_unregister(struct os_shrinker *shrinker);

/* ---- threads ---- */

struct os_thread;

/* Starts a thread that runs entry(argument). With thread == NULL it is detached, else *thread must
 * be joined. The name (copied, cut at 31 bytes) is for people. NO_MEMORY. */
enum status os_thread_start(struct os_thread **thread, const char *name,
                            void (*entry)(void *argument), void *argument);
/* Waits until the thread's entry has returned, then releases it. */
void os_thread_join(struct os_thread *thread);
/* Gives way to other threads. */
void os_thread_yield(void);
/* Sleeps for at least this long. */
void os_sleep_ns(uint64_t nanoseconds);

/* ---- locks: storage for any home's implementation; none of them is recursive ---- */

struct os_mutex {
    _Alignas(16) unsigned char opaque[64];
};
struct os_condition {
    _Alignas(16) unsigned char opaque[64];
};
struct os_rwlock {
    _Alignas(16) unsigned char opaque[64];
};
struct os_completion {
    _Alignas(16) unsigned char opaque[112];
};

#define OS_FOREVER UINT64_MAX

void os_mutex_init(struct os_mutex *mutex);
void os_mutex_destroy(struct os_mutex *mutex);
void os_mutex_lock(struct os_mutex *mutex);
bool os_mutex_try_lock(struct os_mutex *mutex);
void os_mutex_unlock(struct os_mutex *mutex);
/* True if the calling thread holds it; for assertions. */
bool os_mutex_is_held(const struct os_mutex *mutex);

/* A waiter holds the mutex before and after; wake-ups may be spurious. */
void os_condition_init(struct os_condition *condition);
void os_condition_destroy(struct os_condition *condition);
/* False if timeout_ns passed first. */
bool os_condition_wait(struct os_condition *condition, struct os_mutex *mutex, uint64_t timeout_ns);
void os_condition_signal(struct os_condition *condition);
void os_condition_broadcast(struct os_condition *condition);

/* Many readers or one writer; a waiting writer holds new readers back. */
void os_rwlock_init(struct os_rwlock *lock);
void os_rwlock_destroy(struct os_rwlock *lock);
void os_rwlock_lock_shared(struct os_rwlock *lock);
void os_rwlock_unlock_shared(struct os_rwlock *lock);
void os_rwlock_lock_exclusive(struct os_rwlock *lock);
/* Takes the lock only if nobody holds it; never waits. */
bool os_rwlock_try_lock_exclusive(struct os_rwlock *lock);
void os_rwlock_unlock_exclusive(struct os_rwlock *lock);

/*
 * A counter that one waits on: how a thread learns that asynchronous work is done. `expect` adds to
 * what is outstanding before the work is started; `signal` takes one off; `wait` returns once
 * nothing is outstanding. After wait returned, no signaller touches the object any more, so it may
 * live on the waiter's stack.
 */
void os_completion_init(struct os_completion *completion);
void os_completion_destroy(struct os_completion *completion);
void os_completion_expect(struct os_completion *completion, unsigned count); /* any context */
void os_completion_signal(struct os_completion *completion);                 /* any context */
void os_completion_wait(struct os_completion *completion);
/* False if timeout_ns passed first; then the object is still in use by its signallers. */
bool os_completion_wait_timeout(struct os_completion *completion, uint64_t timeout_ns);

/* ---- clock and randomness ---- */

/* Nanoseconds since some moment before the start; never goes back. Any context. */
uint64_t os_now_ns(void);
/* Nanoseconds since 1970-01-01 UTC, as well as the home knows. Any context. */
uint64_t os_wall_clock_ns(void);
/* Fills with bytes fit for identifiers and sequence numbers. Any context. */
void os_random(void *out, size_t length);

#endif
