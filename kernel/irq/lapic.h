/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC of the calling CPU. Interrupts off, or a thread that cannot move. */
#ifndef KERNEL_IRQ_LAPIC_H
#define KERNEL_IRQ_LAPIC_H

#include "base/status.h"

#include <stdint.h>

/* Finds the local APIC and chooses x2APIC mode where the processor has it. Boot CPU, once.
 * UNSUPPORTED (there is none), NO_MEMORY. */
enum status lapic_initialize(void);
/* Switches the calling CPU's on: all local interrupts masked but NMI. */
void lapic_enable(void);
uint32_t lapic_id(void);
void lapic_eoi(void);
/* The error status register, cleared. */
uint32_t lapic_errors(void);

/* Sends a vector to the APIC with this identifier; any context. */
void lapic_send(uint32_t apic_id, uint8_t vector);
/* An NMI to all CPUs but this one; any context. */
void lapic_send_nmi_to_others(void);
/* INIT, and start-up at the page with number `page` (Intel SDM volume 3, section 9.4). */
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, uint8_t page);

/* Lets the calling CPU's timer interrupt; the boot CPU measures it against the clock, for all. */
void lapic_timer_start(void);
/* One interrupt, IRQ_VECTOR_TIMER, as soon after this time as the counter can tell; replaces what
 * was armed. Longer times than the counter's are cut. */
void lapic_timer_arm(uint64_t nanoseconds);

#endif
