/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors and their handlers. Invariants:
 * - A vector is free, or has a chain of actions that only grows at its end until the vector is
 *   unregistered. The chain is read without a lock: an action is complete before it is linked, and
 *   is freed only after the chain was cut and no CPU is inside of dispatch for the vector
 *   (`running` is 0).
 * - The same vector number means the same handlers on every CPU.
 * - The local APIC gets its EOI after the handlers, so that a level-triggered pin does not fire
 *   again before its device was served; threads are switched after that.
 * - Lock order: irq_lock is innermost.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/os.h"
#include "kernel/console/console.h"
#include "kernel/cpu/percpu.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/cpu/trap.h"
#include "kernel/irq/ioapic.h"
#include "kernel/irq/ioapic_regs.h"
#include "kernel/irq/irq_internal.h"
#include "kernel/irq/lapic.h"
#include "kernel/irq/lapic_regs.h"
#include "kernel/irq/storm.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/sched.h"

#include <stddef.h>

struct irq_action {
    irq_handler *handler;
    void *context;
    const char *name;
    struct irq_action *next; /* atomic */
};

struct irq_vector {
    struct irq_action *actions; /* atomic; changed under irq_lock */
    bool taken;                 /* guarded by irq_lock */
    uint32_t running;           /* CPUs inside of the chain; atomic */
    uint64_t count, unhandled;  /* atomic */
    struct irq_storm storm;
};

static struct spinlock irq_lock;
static struct irq_vector vectors[TRAP_VECTOR_COUNT];

static struct irq_action *action_make(const char *name, irq_handler *handler, void *context) {
    struct irq_action *action = kmalloc(sizeof *action);
    if (action != NULL)
        *action = (struct irq_action){.handler = handler, .context = context, .name = name};
    return action;
}

enum status irq_vector_register(const char *name, irq_handler *handler, void *context,
                                uint8_t *vector) {
    struct irq_action *action = action_make(name, handler, context);
    if (action == NULL)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_BUSY;
    uint64_t flags = spinlock_lock(&irq_lock);
    for (unsigned i = IRQ_VECTOR_FIRST; i <= IRQ_VECTOR_LAST; i++) {
        if (vectors[i].taken)
            continue;
        vectors[i].taken = true;
        vectors[i].count = vectors[i].unhandled = 0;
        __atomic_store_n(&vectors[i].actions, action, __ATOMIC_RELEASE);
        *vector = (uint8_t)i;
        status = STATUS_OK;
        break;
    }
    spinlock_unlock(&irq_lock, flags);
    if (status != STATUS_OK)
        kfree(action);
    return status;
}

void irq_vector_unregister(uint8_t vector) {
    struct irq_vector *entry = &vectors[vector];
    ASSERT(vector >= IRQ_VECTOR_FIRST && vector <= IRQ_VECTOR_LAST);
    struct irq_action *action = __atomic_exchange_n(&entry->actions, NULL, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&entry->running, __ATOMIC_SEQ_CST) != 0)
        cpu_pause();
    irq_storm_forget(&entry->storm);
    while (action != NULL) {
        struct irq_action *next = action->next;
        kfree(action);
        action = next;
    }
    uint64_t flags = spinlock_lock(&irq_lock);
    ASSERT(entry->taken);
    entry->taken = false;
    spinlock_unlock(&irq_lock, flags);
}

void irq_vector_set_mask(uint8_t vector, void (*mask)(void *context, bool masked), void *context) {
    irq_storm_set_mask(&vectors[vector].storm, mask, context);
}

enum status irq_action_add(uint8_t vector, const char *name, irq_handler *handler, void *context) {
    struct irq_action *action = action_make(name, handler, context);
    if (action == NULL)
        return STATUS_NO_MEMORY;
    uint64_t flags = spinlock_lock(&irq_lock);
    struct irq_action **end = &vectors[vector].actions;
    while (*end != NULL)
        end = &(*end)->next;
    __atomic_store_n(end, action, __ATOMIC_RELEASE);
    spinlock_unlock(&irq_lock, flags);
    return STATUS_OK;
}

void irq_claim(uint8_t vector, const char *name, irq_handler *handler) {
    static struct irq_action claimed[TRAP_VECTOR_COUNT];
    ASSERT(vector > IRQ_VECTOR_LAST);
    uint64_t flags = spinlock_lock(&irq_lock);
    if (!vectors[vector].taken) {
        claimed[vector] = (struct irq_action){.handler = handler, .name = name};
        vectors[vector].taken = true;
        __atomic_store_n(&vectors[vector].actions, &claimed[vector], __ATOMIC_RELEASE);
    }
    spinlock_unlock(&irq_lock, flags);
}

void irq_message(uint8_t vector, uint32_t cpu, uint64_t *address, uint32_t *data) {
    uint32_t apic_id = cpu_get(cpu)->apic_id;
    /* Without interrupt remapping a message names 8 bits of an APIC identifier. */
    if (apic_id > LAPIC_MESSAGE_ID_MAX)
        apic_id = cpu_get(0)->apic_id;
    *address = LAPIC_MESSAGE_ADDRESS | (uint64_t)apic_id << LAPIC_MESSAGE_DESTINATION_SHIFT;
    *data = vector;
}

void irq_send(uint32_t cpu, uint8_t vector) {
    lapic_send(cpu_get(cpu)->apic_id, vector);
}

static void run_actions(struct irq_vector *entry, uint8_t vector) {
    bool handled = false;
    __atomic_fetch_add(&entry->running, 1, __ATOMIC_SEQ_CST);
    struct irq_action *action = __atomic_load_n(&entry->actions, __ATOMIC_SEQ_CST);
    const char *name = action != NULL ? action->name : "nobody";
    for (; action != NULL; action = __atomic_load_n(&action->next, __ATOMIC_ACQUIRE))
        handled |= action->handler(action->context);
    __atomic_fetch_add(&entry->count, 1, __ATOMIC_RELAXED);
    if (!handled)
        __atomic_fetch_add(&entry->unhandled, 1, __ATOMIC_RELAXED);
    if (vector <= IRQ_VECTOR_LAST)
        irq_storm_count(&entry->storm, vector, name, handled);
    __atomic_fetch_sub(&entry->running, 1, __ATOMIC_SEQ_CST);
}

void irq_dispatch(uint8_t vector, struct cpu_trap_frame *frame) {
    (void)frame;
    if (vector == IRQ_VECTOR_SPURIOUS ||
        (vector >= PIC_VECTOR && vector < PIC_VECTOR + PIC_VECTOR_COUNT)) {
        __atomic_fetch_add(&vectors[vector].count, 1, __ATOMIC_RELAXED);
        return; /* neither is in service in the local APIC: an EOI would end another's */
    }
    struct cpu *cpu = cpu_current();
    cpu->interrupt_depth++;
    cpu->counters[0]++;
    run_actions(&vectors[vector], vector);
    lapic_eoi();
    cpu->interrupt_depth--;
    sched_preempt_from_interrupt();
}

static bool local_error(void *context) {
    (void)context;
    log_error("irq", "CPU %u: local APIC error 0x%x", cpu_index(), lapic_errors());
    return true;
}

static bool reschedule_request(void *context) {
    (void)context; /* the end of irq_dispatch() does what was asked for */
    return true;
}

void irq_initialize_cpu(void) {
    lapic_enable();
    cpu_current()->apic_id = lapic_id();
}

enum status irq_initialize(void) {
    enum status status = lapic_initialize();
    if (status == STATUS_OK)
        status = ioapic_initialize();
    if (status != STATUS_OK)
        return status;
    gsi_initialize();
    irq_claim(IRQ_VECTOR_LOCAL_ERROR, "local APIC error", local_error);
    irq_claim(IRQ_VECTOR_RESCHEDULE, "reschedule", reschedule_request);
    irq_initialize_cpu();
    return STATUS_OK;
}

bool irq_statistics(uint32_t index, struct irq_statistics *out) {
    bool found = false;
    uint64_t flags = spinlock_lock(&irq_lock);
    for (unsigned i = TRAP_EXCEPTION_COUNT; i < TRAP_VECTOR_COUNT && !found; i++) {
        struct irq_vector *entry = &vectors[i];
        if (!entry->taken || entry->actions == NULL || index-- > 0)
            continue;
        *out = (struct irq_statistics){.vector = (uint8_t)i,
                                       .name = entry->actions->name,
                                       .count = entry->count,
                                       .unhandled = entry->unhandled,
                                       .storms = entry->storm.storms};
        found = true;
    }
    spinlock_unlock(&irq_lock, flags);
    return found;
}

void irq_print(void) {
    struct irq_statistics statistics;
    for (uint32_t i = 0; irq_statistics(i, &statistics); i++)
        console_print("vector %3u %-20s count %llu unhandled %llu storms %llu\n", statistics.vector,
                      statistics.name, (unsigned long long)statistics.count,
                      (unsigned long long)statistics.unhandled,
                      (unsigned long long)statistics.storms);
}
