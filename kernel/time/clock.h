/* SPDX-License-Identifier: Apache-2.0 */
/* The clock: nanoseconds since boot, from the best counter that the machine has; and the date. */
#ifndef KERNEL_TIME_CLOCK_H
#define KERNEL_TIME_CLOCK_H

#include "base/status.h"

#include <stdint.h>

/* Chooses and calibrates the counter, and reads the date from the CMOS clock. Once, at boot, after
 * ACPI; needs no interrupts. */
enum status clock_initialize(void);

/* Never goes back, on any CPU; 0 before clock_initialize(). Any context. */
uint64_t clock_now_ns(void);

/* Since 1970-01-01 UTC. Any context. */
uint64_t clock_wall_ns(void);

/* Corrects the date (for SNTP). Any context. */
void clock_set_wall_ns(uint64_t wall_ns);

/* Spins for at least this long. Any context after clock_initialize(). */
void clock_delay_ns(uint64_t nanoseconds);

/* "TSC", "HPET"...: for people. */
const char *clock_source_name(void);

/* The time-stamp counter. Any context. */
static inline uint64_t clock_read_tsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

#endif
