/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O APICs, addressed by global system interrupt. */
#ifndef KERNEL_IRQ_IOAPIC_H
#define KERNEL_IRQ_IOAPIC_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Masks the 8259 pair and maps the I/O APICs, all pins masked. Boot CPU, once. NO_MEMORY. */
enum status ioapic_initialize(void);

/* Whether some I/O APIC has the pin. Any context. */
bool ioapic_has(uint32_t gsi);

/* Sends a pin to a vector of the APIC with this identifier, unmasked. Any context; the pin exists.
 */
void ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);
/* Any context; the pin exists and is routed. */
void ioapic_mask(uint32_t gsi, bool masked);

#endif
