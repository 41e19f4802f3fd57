/* SPDX-License-Identifier: Apache-2.0 */
/* Shared between the files of this room. */
#ifndef KERNEL_IRQ_IRQ_INTERNAL_H
#define KERNEL_IRQ_IRQ_INTERNAL_H

#include "kernel/irq/irq.h"

/* One handler more on a vector that is registered. NO_MEMORY. */
enum status irq_action_add(uint8_t vector, const char *name, irq_handler *handler, void *context);

/* Once, before any pin is registered. */
void gsi_initialize(void);

#endif
