/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lwIP's operating system layer over base/os.h.
 *
 * Invariants: a mailbox's messages are ring places first .. first + count - 1; a waiter of
 * not_empty sees count 0, one of not_full sees it full. lwIP cannot be told that its thread did not
 * start, so thread_status remembers that for net_start().
 */
#include "base/assert.h"
#include "net/net_internal.h"

#include "lwip/sys.h"
#include "lwip/tcpip.h"

static enum status thread_status = STATUS_OK;

void sys_init(void) {
}

u32_t sys_now(void) {
    return (u32_t)(os_now_ns() / 1000000);
}

uint32_t net_random(void) {
    uint32_t number;
    os_random(&number, sizeof number);
    return number;
}

void *net_calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return os_alloc_zeroed(bytes);
}

/* lwIP initialises itself, with one thread, before it creates the lock. */
void net_assert_core_locked(void) {
    ASSERT(!lock_tcpip_core.valid || os_mutex_is_held(&lock_tcpip_core.mutex));
}

err_t sys_mutex_new(sys_mutex_t *mutex) {
    os_mutex_init(&mutex->mutex);
    mutex->valid = true;
    return ERR_OK;
}

void sys_mutex_free(sys_mutex_t *mutex) {
    os_mutex_destroy(&mutex->mutex);
}

void sys_mutex_lock(sys_mutex_t *mutex) {
    os_mutex_lock(&mutex->mutex);
}

void sys_mutex_unlock(sys_mutex_t *mutex) {
    os_mutex_unlock(&mutex->mutex);
}

int sys_mutex_valid(sys_mutex_t *mutex) {
    return mutex->valid;
}

void sys_mutex_set_invalid(sys_mutex_t *mutex) {
    mutex->valid = false;
}

err_t sys_sem_new(sys_sem_t *semaphore, u8_t count) {
    os_mutex_init(&semaphore->mutex);
    os_condition_init(&semaphore->positive);
    semaphore->count = count;
    semaphore->valid = true;
    return ERR_OK;
}

void sys_sem_free(sys_sem_t *semaphore) {
    os_condition_destroy(&semaphore->positive);
    os_mutex_destroy(&semaphore->mutex);
}

int sys_sem_valid(sys_sem_t *semaphore) {
    return semaphore->valid;
}

void sys_sem_set_invalid(sys_sem_t *semaphore) {
    semaphore->valid = false;
}

void sys_sem_signal(sys_sem_t *semaphore) {
    os_mutex_lock(&semaphore->mutex);
    semaphore->count++;
    os_condition_signal(&semaphore->positive);
    os_mutex_unlock(&semaphore->mutex);
}

/* lwIP's timeouts are milliseconds, 0 for none. */
static uint64_t deadline_of(uint64_t now, u32_t timeout_ms) {
    return timeout_ms == 0 ? OS_FOREVER : now + (uint64_t)timeout_ms * 1000000;
}

u32_t sys_arch_sem_wait(sys_sem_t *semaphore, u32_t timeout_ms) {
    uint64_t start = os_now_ns();
    uint64_t deadline = deadline_of(start, timeout_ms);
    os_mutex_lock(&semaphore->mutex);
    while (semaphore->count == 0) {
        uint64_t left = net_time_left(deadline);
        if (left == 0) {
            os_mutex_unlock(&semaphore->mutex);
            return SYS_ARCH_TIMEOUT;
        }
        os_condition_wait(&semaphore->positive, &semaphore->mutex, left);
    }
    semaphore->count--;
    os_mutex_unlock(&semaphore->mutex);
    return (u32_t)((os_now_ns() - start) / 1000000);
}

err_t sys_mbox_new(sys_mbox_t *mailbox, int size) {
    ASSERT(size <= NET_MAILBOX_SIZE);
    os_mutex_init(&mailbox->mutex);
    os_condition_init(&mailbox->not_empty);
    os_condition_init(&mailbox->not_full);
    mailbox->first = 0;
    mailbox->count = 0;
    mailbox->valid = true;
    return ERR_OK;
}

void sys_mbox_free(sys_mbox_t *mailbox) {
    ASSERT(mailbox->count == 0);
    os_condition_destroy(&mailbox->not_full);
    os_condition_destroy(&mailbox->not_empty);
    os_mutex_destroy(&mailbox->mutex);
}

int sys_mbox_valid(sys_mbox_t *mailbox) {
    return mailbox->valid;
}

void sys_mbox_set_invalid(sys_mbox_t *mailbox) {
    mailbox->valid = false;
}

/* The mailbox is locked and not full. */
static void mailbox_put(sys_mbox_t *mailbox, void *message) {
    ASSERT(mailbox->count < NET_MAILBOX_SIZE);
    mailbox->messages[(mailbox->first + mailbox->count) % NET_MAILBOX_SIZE] = message;
    mailbox->count++;
    os_condition_signal(&mailbox->not_empty);
}

void sys_mbox_post(sys_mbox_t *mailbox, void *message) {
    os_mutex_lock(&mailbox->mutex);
    while (mailbox->count == NET_MAILBOX_SIZE)
        os_condition_wait(&mailbox->not_full, &mailbox->mutex, OS_FOREVER);
    mailbox_put(mailbox, message);
    os_mutex_unlock(&mailbox->mutex);
}

err_t sys_mbox_trypost(sys_mbox_t *mailbox, void *message) {
    err_t result = ERR_MEM;
    os_mutex_lock(&mailbox->mutex);
    if (mailbox->count < NET_MAILBOX_SIZE) {
        mailbox_put(mailbox, message);
        result = ERR_OK;
    }
    os_mutex_unlock(&mailbox->mutex);
    return result;
}

/* lwIP refers to it; nothing in Holdfast posts to lwIP from an interrupt. */
err_t sys_mbox_trypost_fromisr(sys_mbox_t *mailbox, void *message) {
    (void)mailbox;
    (void)message;
    ASSERT_UNREACHABLE();
}

/* The mailbox is locked and not empty. A message that the caller does not want is dropped. */
static void mailbox_take(sys_mbox_t *mailbox, void **message) {
    ASSERT(mailbox->count > 0);
    if (message != NULL)
        *message = mailbox->messages[mailbox->first];
    mailbox->first = (mailbox->first + 1) % NET_MAILBOX_SIZE;
    mailbox->count--;
    os_condition_signal(&mailbox->not_full);
}

u32_t sys_arch_mbox_fetch(sys_mbox_t *mailbox, void **message, u32_t timeout_ms) {
    uint64_t start = os_now_ns();
    uint64_t deadline = deadline_of(start, timeout_ms);
    os_mutex_lock(&mailbox->mutex);
    while (mailbox->count == 0) {
        uint64_t left = net_time_left(deadline);
        if (left == 0) {
            os_mutex_unlock(&mailbox->mutex);
            return SYS_ARCH_TIMEOUT;
        }
        os_condition_wait(&mailbox->not_empty, &mailbox->mutex, left);
    }
    mailbox_take(mailbox, message);
    os_mutex_unlock(&mailbox->mutex);
    return (u32_t)((os_now_ns() - start) / 1000000);
}

u32_t sys_arch_mbox_tryfetch(sys_mbox_t *mailbox, void **message) {
    u32_t result = SYS_MBOX_EMPTY;
    os_mutex_lock(&mailbox->mutex);
    if (mailbox->count > 0) {
        mailbox_take(mailbox, message);
        result = 0;
    }
    os_mutex_unlock(&mailbox->mutex);
    return result;
}

sys_thread_t sys_thread_new(const char *name, lwip_thread_fn entry, void *argument, int stack_size,
                            int priority) {
    (void)stack_size;
    (void)priority;
    thread_status = os_thread_start(NULL, name, entry, argument);
    return NULL;
}

enum status net_thread_status(void) {
    return thread_status;
}

void net_core_lock(void) {
    os_mutex_lock(&lock_tcpip_core.mutex);
}

void net_core_unlock(void) {
    os_mutex_unlock(&lock_tcpip_core.mutex);
}

bool net_core_wait(struct os_condition *condition, uint64_t timeout_ns) {
    return os_condition_wait(condition, &lock_tcpip_core.mutex, timeout_ns);
}

uint64_t net_time_left(uint64_t deadline) {
    if (deadline == OS_FOREVER)
        return OS_FOREVER;
    uint64_t now = os_now_ns();
    return now < deadline ? deadline - now : 0;
}
