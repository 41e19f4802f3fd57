/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spreading threads over CPUs. A CPU counts once its `sched` is set (kernel/sched/sched.c). Loads
 * are read without locks: a wrong guess costs time, not correctness.
 */
#include "kernel/irq/irq.h"
#include "kernel/sched/thread.h"

static uint32_t load_of(uint32_t cpu) {
    struct run_queue *queue = __atomic_load_n(&cpu_get(cpu)->sched, __ATOMIC_ACQUIRE);
    if (queue == NULL)
        return UINT32_MAX;
    uint32_t runnable = __atomic_load_n(&queue->runnable, __ATOMIC_RELAXED);
    return runnable + (__atomic_load_n(&queue->current, __ATOMIC_RELAXED) != queue->idle ? 1u : 0u);
}

uint32_t sched_choose_cpu(const struct thread *thread) {
    uint32_t best = cpu_index();
    if (thread->affinity != THREAD_ANY_CPU && thread->affinity < cpu_count() &&
        load_of(thread->affinity) != UINT32_MAX)
        return thread->affinity;
    uint32_t least = load_of(best);
    for (uint32_t cpu = 0; cpu < cpu_count(); cpu++) {
        uint32_t load = load_of(cpu);
        if (load < least) {
            best = cpu;
            least = load;
        }
    }
    return best;
}

void sched_call_idle_cpu(void) {
    for (uint32_t cpu = 0; cpu < cpu_count(); cpu++) {
        struct run_queue *queue = __atomic_load_n(&cpu_get(cpu)->sched, __ATOMIC_ACQUIRE);
        if (cpu == cpu_index() || queue == NULL ||
            __atomic_load_n(&queue->current, __ATOMIC_RELAXED) != queue->idle)
            continue;
        /* Already told, and not yet looking. */
        if (!__atomic_exchange_n(&queue->switch_wanted, true, __ATOMIC_RELAXED))
            irq_send(cpu, IRQ_VECTOR_RESCHEDULE);
        return;
    }
}

/* The first thread that may run anywhere, taken off the queue and given to `cpu`. */
static struct thread *take_from(struct run_queue *queue, uint32_t cpu) {
    for (unsigned level = 0; level < SCHED_LEVEL_COUNT; level++) {
        LIST_FOR_EACH(node, &queue->levels[level]) {
            struct thread *thread = LIST_CONTAINER(node, struct thread, run_link);
            if (thread->affinity != THREAD_ANY_CPU)
                continue;
            list_remove(&thread->run_link);
            queue->runnable--;
            __atomic_store_n(&thread->cpu, cpu, __ATOMIC_RELAXED);
            return thread;
        }
    }
    return NULL;
}

bool sched_steal(void) {
    uint32_t here = cpu_index(), busiest = here, most = 0;
    for (uint32_t cpu = 0; cpu < cpu_count(); cpu++) {
        struct run_queue *other = __atomic_load_n(&cpu_get(cpu)->sched, __ATOMIC_ACQUIRE);
        uint32_t runnable = other != NULL ? __atomic_load_n(&other->runnable, __ATOMIC_RELAXED) : 0;
        if (cpu != here && runnable > most) {
            busiest = cpu;
            most = runnable;
        }
    }
    if (busiest == here)
        return false;
    struct run_queue *victim = sched_queue(busiest);
    uint64_t flags = spinlock_lock(&victim->lock);
    struct thread *thread = take_from(victim, here);
    spinlock_unlock(&victim->lock, flags);
    if (thread == NULL)
        return false;
    struct run_queue *queue = sched_queue(here);
    flags = spinlock_lock(&queue->lock);
    queue->steals++;
    sched_enqueue(queue, thread, false);
    spinlock_unlock(&queue->lock, flags);
    return true;
}
