/* SPDX-License-Identifier: Apache-2.0 */
/* Shared between the files of this room. */
#ifndef KERNEL_PCI_PCI_INTERNAL_H
#define KERNEL_PCI_PCI_INTERNAL_H

#include "kernel/pci/pci.h"
#include "kernel/pci/pci_regs.h"

#include <stdbool.h>

/* Registers the handler for the function's INTx pin, shared. UNSUPPORTED if it has none, or where
 * it goes is not known. */
enum status pci_intx_register(struct pci_device *device, const char *name, irq_handler *handler,
                              void *context);

/* The function at this place, NULL if the scan found none. */
struct pci_device *pci_device_at(uint16_t segment, uint8_t bus, uint8_t slot, uint8_t function);

#endif
