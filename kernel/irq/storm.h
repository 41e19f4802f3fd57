/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storm detection: interrupts that nobody handles, faster than any device's, are held back at their
 * source for a while, so that the machine stays usable; a lasting storm is tried again and again at
 * growing distances. A handled flood is only told about, because a fast device may be no fault.
 */
#ifndef KERNEL_IRQ_STORM_H
#define KERNEL_IRQ_STORM_H

#include "kernel/cpu/spinlock.h"
#include "kernel/time/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct irq_storm {
    struct spinlock lock; /* guards all below */
    void (*mask)(void *context, bool masked);
    void *context;
    uint32_t block_count;     /* interrupts since block_start */
    uint32_t block_unhandled; /* those of them that nobody handled */
    uint64_t block_start;     /* clock */
    uint64_t storms;
    bool masked;
    bool flood_told;
    struct timer unmask;
};

void irq_storm_set_mask(struct irq_storm *storm, void (*mask)(void *context, bool masked),
                        void *context);
/* Forgets the source; nothing is called back after. Thread context. */
void irq_storm_forget(struct irq_storm *storm);
/* Counts one interrupt, and masks its source when it is one too many. Interrupt context. */
void irq_storm_count(struct irq_storm *storm, uint8_t vector, const char *name, bool handled);

#endif
