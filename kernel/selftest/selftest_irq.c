/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selftest=irq`: vectors, raised by the CPU itself as a device's message would, and storms; and
 * `selftest=reset`. The statics are written by the handlers and read by the one thread that runs
 * the cases; they are atomic.
 */
#include "base/math.h"
#include "base/os.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/percpu.h"
#include "kernel/irq/irq.h"
#include "kernel/sched/sched.h"
#include "kernel/selftest/selftest.h"

#define MS 1000000ull
#define ROUNDS 1000u
#define FLOOD 20000u

static unsigned seen;
static unsigned masks, unmasks;
static bool source_masked;

static bool handle(void *context) {
    __atomic_fetch_add(&seen, 1, __ATOMIC_RELAXED);
    return context != NULL;
}

static void mask(void *context, bool masked) {
    (void)context;
    __atomic_store_n(&source_masked, masked, __ATOMIC_RELAXED);
    __atomic_fetch_add(masked ? &masks : &unmasks, 1, __ATOMIC_RELAXED);
}

/* Raises the vector here and waits for its handler, so that none collapse into one. */
static bool raise(uint8_t vector) {
    unsigned before = __atomic_load_n(&seen, __ATOMIC_RELAXED);
    sched_preempt_disable();
    irq_send(cpu_index(), vector);
    sched_preempt_enable();
    for (unsigned i = 0; i < 1000000 && __atomic_load_n(&seen, __ATOMIC_RELAXED) == before; i++)
        cpu_pause();
    return __atomic_load_n(&seen, __ATOMIC_RELAXED) == before + 1;
}

static bool find(uint8_t vector, struct irq_statistics *out) {
    for (uint32_t i = 0; irq_statistics(i, out); i++)
        if (out->vector == vector)
            return true;
    return false;
}

/* A vector reaches its handler once per message, is counted, and is silent once it was given back.
 */
static bool vectors_reach_handlers(void) {
    uint8_t vector;
    struct irq_statistics statistics;
    SELFTEST_CHECK(irq_vector_register("selftest", handle, &seen, &vector) == STATUS_OK);
    for (unsigned i = 0; i < ROUNDS; i++)
        SELFTEST_CHECK(raise(vector));
    SELFTEST_CHECK(find(vector, &statistics));
    SELFTEST_CHECK(statistics.count == ROUNDS);
    SELFTEST_CHECK(statistics.unhandled == 0);
    irq_vector_unregister(vector);
    SELFTEST_CHECK(!raise(vector));
    SELFTEST_CHECK(!find(vector, &statistics));
    return true;
}

/* All vectors can be taken; then it is BUSY, until one is given back. */
static bool vectors_run_out(void) {
    static uint8_t taken[IRQ_VECTOR_LAST - IRQ_VECTOR_FIRST + 1];
    unsigned count = 0;
    uint8_t vector;
    enum status status;
    while ((status = irq_vector_register("selftest", handle, &seen, &vector)) == STATUS_OK)
        taken[count++] = vector;
    while (count > 0)
        irq_vector_unregister(taken[--count]);
    SELFTEST_CHECK(status == STATUS_BUSY);
    SELFTEST_CHECK(irq_vector_register("selftest", handle, &seen, &vector) == STATUS_OK);
    irq_vector_unregister(vector);
    return true;
}

/* A flood that nobody handles is masked at its source, and tried again later. */
static bool storms_are_masked(void) {
    uint8_t vector;
    struct irq_statistics statistics;
    masks = unmasks = 0;
    source_masked = false;
    SELFTEST_CHECK(irq_vector_register("stormy", handle, NULL, &vector) == STATUS_OK);
    irq_vector_set_mask(vector, mask, NULL);
    for (unsigned i = 0; i < FLOOD && !__atomic_load_n(&source_masked, __ATOMIC_RELAXED); i++)
        SELFTEST_CHECK(raise(vector));
    SELFTEST_CHECK(masks == 1);
    SELFTEST_CHECK(find(vector, &statistics));
    SELFTEST_CHECK(statistics.storms == 1);
    for (unsigned i = 0; i < 300 && __atomic_load_n(&source_masked, __ATOMIC_RELAXED); i++)
        os_sleep_ns(10 * MS);
    SELFTEST_CHECK(unmasks == 1);
    irq_vector_unregister(vector);
    return true;
}

bool selftest_irq(void) {
    static const struct selftest_case cases[] = {{"vectors reach handlers", vectors_reach_handlers},
                                                 {"vectors run out", vectors_run_out},
                                                 {"storms are masked", storms_are_masked}};
    return selftest_cases("irq", cases, ARRAY_LENGTH(cases));
}

bool selftest_reset(void) {
    acpi_reset();
}
