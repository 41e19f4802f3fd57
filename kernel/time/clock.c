/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock sources, best first: an invariant TSC, the HPET, any TSC. Invariants:
 * - `source` is chosen by clock_initialize() on the boot CPU and only read after, but for `last`.
 * - The HPET is read as 32 bits (one register access instead of three) and widened against `last`,
 *   the highest value seen: it must be read once per 2^31 ticks, which the timer interrupt of any
 *   CPU does (kernel/time/timer.c fires at least every 4 s; 2^31 ticks of the fastest HPET are 21 s
 *   at 100 MHz). Because `last` only grows, no CPU sees time go back.
 * - An invariant TSC is taken to be synchronised between CPUs; whoever starts a CPU must check.
 */
#include "kernel/time/clock.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/cpu.h"
#include "kernel/mm/memory.h"
#include "kernel/time/time_internal.h"
#include "kernel/time/time_regs.h"

#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>

#define NS_PER_S 1000000000ull
#define CALIBRATION_NS 20000000ull
#define CALIBRATION_ROUNDS 3u

static struct {
    const char *name;
    volatile uint32_t *hpet; /* the registers where the HPET is the source, else NULL */
    uint64_t start;          /* counter at clock_initialize() */
    uint64_t scale;          /* nanoseconds per tick, times 2^32 */
    uint64_t last;           /* HPET, widened; atomic */
    uint64_t wall_offset;    /* what clock_now_ns() lacks to UTC; atomic */
} source;

/* Intel SDM volume 3, section 18.17.1. */
static bool tsc_is_invariant(void) {
    uint32_t a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
}

static uint64_t scaled(uint64_t ticks, uint64_t scale) {
    return (uint64_t)((unsigned __int128)ticks * scale >> 32);
}

static uint32_t hpet_read(volatile uint32_t *hpet, unsigned offset) {
    return hpet[offset / sizeof *hpet];
}

static uint64_t hpet_widened(void) {
    uint64_t last = __atomic_load_n(&source.last, __ATOMIC_RELAXED);
    for (;;) {
        uint32_t passed = hpet_read(source.hpet, HPET_COUNTER) - (uint32_t)last;
        if (passed > INT32_MAX) /* another CPU has stored a later value since */
            return __atomic_load_n(&source.last, __ATOMIC_RELAXED);
        uint64_t now = last + passed;
        if (__atomic_compare_exchange_n(&source.last, &last, now, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return now;
        if (last >= now)
            return last;
    }
}

uint64_t clock_now_ns(void) {
    if (source.scale == 0)
        return 0;
    uint64_t counter = source.hpet != NULL ? hpet_widened() : clock_read_tsc();
    /* TSCs of two CPUs may differ by a few ticks around the start. */
    return counter > source.start ? scaled(counter - source.start, source.scale) : 0;
}

void clock_delay_ns(uint64_t nanoseconds) {
    uint64_t start = clock_now_ns();
    while (clock_now_ns() - start < nanoseconds)
        cpu_pause();
}

const char *clock_source_name(void) {
    return source.name;
}

static volatile uint32_t *hpet_find(uint64_t *scale) {
    uint64_t physical = acpi_hpet();
    volatile uint32_t *hpet = physical != 0 ? memory_map_device(physical, HPET_LENGTH) : NULL;
    if (hpet == NULL)
        return NULL;
    uint32_t period = hpet_read(hpet, HPET_PERIOD);
    if (period == 0 || period > HPET_PERIOD_MAX) {
        log_warning("time", "the HPET says %u fs per tick, which cannot be: not used", period);
        return NULL;
    }
    hpet[HPET_CONFIGURATION / sizeof *hpet] |= HPET_CONFIGURATION_ENABLE;
    *scale = ((uint64_t)period << 32) / 1000000;
    return hpet;
}

/* Spins for CALIBRATION_NS by channel 2 of the 8254, which every PC has. */
static void pit_wait(void) {
    uint16_t ticks = (uint16_t)(CALIBRATION_NS * PIT_HZ / NS_PER_S);
    uint8_t gate = cpu_in8(PIT_GATE);
    cpu_out8(PIT_GATE, (uint8_t)((gate & ~PIT_GATE_SPEAKER) | PIT_GATE_ENABLE));
    cpu_out8(PIT_COMMAND, PIT_COMMAND_CHANNEL2_ONE_SHOT);
    cpu_out8(PIT_CHANNEL2, (uint8_t)ticks);
    cpu_out8(PIT_CHANNEL2, (uint8_t)(ticks >> 8));
    while ((cpu_in8(PIT_GATE) & PIT_GATE_OUTPUT) == 0)
        cpu_pause();
    cpu_out8(PIT_GATE, gate);
}

static void hpet_wait(volatile uint32_t *hpet, uint64_t scale) {
    uint32_t start = hpet_read(hpet, HPET_COUNTER);
    while (scaled(hpet_read(hpet, HPET_COUNTER) - start, scale) < CALIBRATION_NS)
        cpu_pause();
}

/* TSC nanoseconds per tick * 2^32. A host that takes the virtual CPU away makes a round look long:
 * the shortest of several is nearest to the truth. */
static uint64_t tsc_calibrate(volatile uint32_t *hpet, uint64_t hpet_scale) {
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < CALIBRATION_ROUNDS; i++) {
        uint64_t flags = cpu_interrupts_disable();
        uint64_t start = clock_read_tsc();
        if (hpet != NULL)
            hpet_wait(hpet, hpet_scale);
        else
            pit_wait();
        best = MATH_MIN(best, clock_read_tsc() - start);
        cpu_interrupts_restore(flags);
    }
    return (CALIBRATION_NS << 32) / MATH_MAX(best, 1);
}

/* CALIBRATION_NS << 32 must fit. */
_Static_assert(CALIBRATION_NS < 1ull << 32, "tsc_calibrate would overflow");

static void start_wall_clock(void) {
    uint64_t seconds = rtc_read_seconds();
    if (seconds != 0)
        clock_set_wall_ns(seconds * NS_PER_S);
}

enum status clock_initialize(void) {
    uint64_t hpet_scale = 0;
    volatile uint32_t *hpet = hpet_find(&hpet_scale);
    bool invariant = tsc_is_invariant();
    if (hpet != NULL && !invariant) {
        source.name = "HPET";
        source.hpet = hpet;
        source.last = source.start = hpet_read(hpet, HPET_COUNTER);
        source.scale = hpet_scale;
    } else {
        source.name = "TSC";
        source.scale = tsc_calibrate(hpet, hpet_scale);
        source.start = clock_read_tsc();
        if (!invariant)
            log_warning("time", "no HPET and no invariant TSC: the clock may be wrong when the "
                                "processor changes its frequency");
    }
    start_wall_clock();
    log_info("time", "clock: %s, %llu kHz", source.name,
             (unsigned long long)((1000000ull << 32) / source.scale));
    return STATUS_OK;
}

uint64_t clock_wall_ns(void) {
    return clock_now_ns() + __atomic_load_n(&source.wall_offset, __ATOMIC_RELAXED);
}

void clock_set_wall_ns(uint64_t wall_ns) {
    __atomic_store_n(&source.wall_offset, wall_ns - clock_now_ns(), __ATOMIC_RELAXED);
}
