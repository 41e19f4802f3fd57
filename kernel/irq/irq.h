/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: vectors, their handlers, and how devices reach them (MSI messages and I/O APIC pins).
 */
#ifndef KERNEL_IRQ_IRQ_H
#define KERNEL_IRQ_IRQ_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Runs with interrupts off on the CPU that the interrupt went to; must not sleep. Returns whether
 * its device had asked (for shared pins and for statistics). */
typedef bool irq_handler(void *context);

/* Takes a free vector for the handler. The name is for people and stays the caller's. NO_MEMORY,
 * BUSY (no vector left). Thread context. */
enum status irq_vector_register(const char *name, irq_handler *handler, void *context,
                                uint8_t *vector);
/* After return the handler does not run and will not. */
void irq_vector_unregister(uint8_t vector);

/* What a device writes, and where to, to raise the vector on a CPU (by its index). */
void irq_message(uint8_t vector, uint32_t cpu, uint64_t *address, uint32_t *data);

/* Routes a global system interrupt (ACPI numbering) to a handler; several may share one. ISA
 * interrupts pass through the MADT's overrides. Thread context. */
enum status irq_gsi_register(uint32_t gsi, const char *name, irq_handler *handler, void *context);
enum status irq_isa_register(uint8_t isa_irq, const char *name, irq_handler *handler,
                             void *context);

/* ---- for the kernel's own rooms ---- */

/* Vectors with a fixed meaning; devices get those between. The higher, the more urgent. */
#define IRQ_VECTOR_FIRST 0x30u
#define IRQ_VECTOR_LAST 0xefu
#define IRQ_VECTOR_RESCHEDULE 0xf0u
#define IRQ_VECTOR_TIMER 0xf1u
#define IRQ_VECTOR_LOCAL_ERROR 0xf2u
#define IRQ_VECTOR_SPURIOUS 0xffu

/* Masks the legacy controllers, finds local and I/O APICs and readies the boot CPU's. Once, after
 * ACPI and the clock; interrupts stay off. UNSUPPORTED (no local APIC), NO_MEMORY. */
enum status irq_initialize(void);
/* The calling CPU's local APIC, for those started later. */
void irq_initialize_cpu(void);

/* Sets the handler of a vector above IRQ_VECTOR_LAST. At boot; doing so again changes nothing. */
void irq_claim(uint8_t vector, const char *name, irq_handler *handler);

/* Raises a vector on another CPU, or on this one. Any context. */
void irq_send(uint32_t cpu, uint8_t vector);

/* How a storm on the vector is held back at its source. Called with interrupts off. */
void irq_vector_set_mask(uint8_t vector, void (*mask)(void *context, bool masked), void *context);

/* irq_gsi_register for a pin whose trigger and polarity the caller knows. */
enum status irq_gsi_register_as(uint32_t gsi, bool level, bool active_low, const char *name,
                                irq_handler *handler, void *context);

/* ACPI's system control interrupt: an ISA interrupt, level-triggered and active low unless the MADT
 * says otherwise. */
enum status irq_sci_register(uint32_t interrupt, const char *name, irq_handler *handler,
                             void *context);

struct irq_statistics {
    uint8_t vector;
    const char *name; /* of the first handler */
    uint64_t count, unhandled, storms;
};
/* The index-th vector that has handlers; false beyond the last. Any thread. */
bool irq_statistics(uint32_t index, struct irq_statistics *out);

/* Writes the statistics to the console. Thread context. */
void irq_print(void);

#endif
