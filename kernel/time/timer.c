/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Per-CPU timer queues. Invariants:
 * - A queue's timers form a pairing heap: a parent's deadline is not after its children's; `child`
 *   is the first child, `sibling` the next one, `previous` the parent for a first child, else the
 *   sibling before; the root has neither sibling nor previous.
 * - `armed` is the moment for which this CPU's APIC timer is set (NEVER: it is not). It is never
 *   after the root's deadline, the slice or WATCH_NS from the last interrupt; an early interrupt
 *   just arms again.
 * - Lock order: a queue's lock is innermost but for the scheduler's run queues, which are not taken
 *   under it. Functions run without it.
 */
#include "kernel/time/timer.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/cpu/percpu.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/irq/irq.h"
#include "kernel/irq/lapic.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/sched.h"
#include "kernel/time/clock.h"

#include <stddef.h>

#define NEVER UINT64_MAX
/* The longest time without an interrupt; kernel/time/clock.c counts on it. */
#define WATCH_NS 4000000000ull

struct timer_queue {
    struct spinlock lock;  /* guards root, running and the timers queued here */
    struct timer *root;    /* the earliest */
    struct timer *running; /* whose function is being called */
    /* This CPU's, interrupts off. */
    uint64_t slice;
    uint64_t armed;
    uint64_t interrupts;
};

static struct timer *meld(struct timer *a, struct timer *b) {
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->deadline < a->deadline) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->previous = a;
    b->sibling = a->child;
    if (b->sibling != NULL)
        b->sibling->previous = b;
    a->child = b;
    return a;
}

/* Melds a list of siblings in two passes, without recursion. */
static struct timer *meld_siblings(struct timer *first) {
    struct timer *pairs = NULL;
    while (first != NULL) {
        struct timer *a = first, *b = a->sibling;
        first = b != NULL ? b->sibling : NULL;
        a->sibling = a->previous = NULL;
        if (b != NULL)
            b->sibling = b->previous = NULL;
        a = meld(a, b);
        a->sibling = pairs; /* a stack of roots, linked by the field that a root does not use */
        pairs = a;
    }
    struct timer *root = NULL;
    while (pairs != NULL) {
        struct timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_remove(struct timer_queue *queue, struct timer *timer) {
    struct timer *rest = meld_siblings(timer->child);
    if (timer == queue->root) {
        queue->root = rest;
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->sibling;
        else
            timer->previous->sibling = timer->sibling;
        if (timer->sibling != NULL)
            timer->sibling->previous = timer->previous;
        queue->root = meld(queue->root, rest);
    }
    timer->child = timer->sibling = timer->previous = NULL;
    timer->queued = false;
}

/* Interrupts off, on the queue's CPU. */
static void arm(struct timer_queue *queue, uint64_t wanted) {
    if (wanted >= queue->armed)
        return;
    uint64_t now = clock_now_ns();
    wanted = MATH_MIN(wanted, now + WATCH_NS);
    queue->armed = wanted;
    lapic_timer_arm(wanted > now ? wanted - now : 0);
}

void timer_init(struct timer *timer, timer_function *function, void *context) {
    memset(timer, 0, sizeof *timer);
    timer->function = function;
    timer->context = context;
}

static bool dequeue(struct timer *timer) {
    struct timer_queue *queue = timer->queue;
    if (queue == NULL)
        return false;
    uint64_t flags = spinlock_lock(&queue->lock);
    bool queued = timer->queued;
    if (queued)
        heap_remove(queue, timer);
    spinlock_unlock(&queue->lock, flags);
    return queued;
}

void timer_start(struct timer *timer, uint64_t deadline) {
    dequeue(timer);
    uint64_t flags = cpu_interrupts_disable();
    struct timer_queue *queue = cpu_current()->time;
    ASSERT(queue != NULL);
    spinlock_lock(&queue->lock);
    timer->deadline = deadline;
    timer->queue = queue;
    timer->queued = true;
    queue->root = meld(queue->root, timer);
    uint64_t first = queue->root->deadline;
    spinlock_unlock(&queue->lock, 0);
    arm(queue, first);
    cpu_interrupts_restore(flags);
}

bool timer_cancel(struct timer *timer) {
    bool queued = dequeue(timer);
    struct timer_queue *queue = timer->queue;
    while (queue != NULL && __atomic_load_n(&queue->running, __ATOMIC_ACQUIRE) == timer)
        cpu_pause();
    return queued;
}

static void run_expired(struct timer_queue *queue, uint64_t now) {
    spinlock_lock(&queue->lock);
    while (queue->root != NULL && queue->root->deadline <= now) {
        struct timer *timer = queue->root;
        heap_remove(queue, timer);
        queue->running = timer;
        spinlock_unlock(&queue->lock, 0);
        timer->function(timer);
        spinlock_lock(&queue->lock);
        __atomic_store_n(&queue->running, NULL, __ATOMIC_RELEASE);
    }
    spinlock_unlock(&queue->lock, 0);
}

static bool timer_interrupt(void *context) {
    (void)context;
    struct timer_queue *queue = cpu_current()->time;
    queue->interrupts++;
    queue->armed = NEVER;
    uint64_t now = clock_now_ns();
    run_expired(queue, now);
    if (queue->slice <= now) {
        queue->slice = NEVER;
        sched_slice_check(now);
    }
    spinlock_lock(&queue->lock);
    uint64_t first = queue->root != NULL ? queue->root->deadline : NEVER;
    spinlock_unlock(&queue->lock, 0);
    arm(queue, MATH_MIN(MATH_MIN(first, queue->slice), now + WATCH_NS));
    return true;
}

void timer_set_slice(uint64_t deadline) {
    struct timer_queue *queue = cpu_current()->time;
    if (queue == NULL)
        return;
    queue->slice = deadline;
    arm(queue, deadline);
}

uint64_t timer_interrupts(uint32_t cpu) {
    struct timer_queue *queue = cpu_get(cpu)->time;
    return queue != NULL ? queue->interrupts : 0;
}

enum status timer_initialize_cpu(void) {
    struct timer_queue *queue = kmalloc(sizeof *queue);
    if (queue == NULL)
        return STATUS_NO_MEMORY;
    *queue = (struct timer_queue){.slice = NEVER, .armed = NEVER};
    lapic_timer_start();
    irq_claim(IRQ_VECTOR_TIMER, "timer", timer_interrupt);
    uint64_t flags = cpu_interrupts_disable();
    cpu_current()->time = queue;
    arm(queue, clock_now_ns() + WATCH_NS);
    cpu_interrupts_restore(flags);
    return STATUS_OK;
}
