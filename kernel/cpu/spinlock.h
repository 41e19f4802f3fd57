/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket spinlock. Held with interrupts off, for a few instructions, never across a sleep. */
#ifndef KERNEL_CPU_SPINLOCK_H
#define KERNEL_CPU_SPINLOCK_H

#include "kernel/cpu/cpu.h"

struct spinlock {
    uint32_t next;
    uint32_t serving;
};

/* Returns the interrupt flags for spinlock_unlock(). Any context. */
static inline uint64_t spinlock_lock(struct spinlock *lock) {
    uint64_t flags = cpu_interrupts_disable();
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        cpu_pause();
    return flags;
}

static inline void spinlock_unlock(struct spinlock *lock, uint64_t flags) {
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
    cpu_interrupts_restore(flags);
}

#endif
