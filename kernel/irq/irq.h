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

#endif
