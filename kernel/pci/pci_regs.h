/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration space (PCI Local Bus specification 3.0, chapter 6; PCI Express base
 * specification 3.0, section 7.5; PCI-to-PCI bridge architecture 1.2, section 3.2) and the Intel
 * ICH9 chipset's interrupt routing (ICH9 datasheet, sections 10.1.41 to 10.1.46 and 13.1.17).
 */
#ifndef KERNEL_PCI_PCI_REGS_H
#define KERNEL_PCI_PCI_REGS_H

#include <stdint.h>

#define PCI_VENDOR 0x00u
#define PCI_VENDOR_NONE 0xffffu
#define PCI_DEVICE 0x02u
#define PCI_COMMAND 0x04u
#define PCI_COMMAND_IO (1u << 0)
#define PCI_COMMAND_MEMORY (1u << 1)
#define PCI_COMMAND_MASTER (1u << 2)
#define PCI_COMMAND_INTX_OFF (1u << 10)
#define PCI_STATUS 0x06u
#define PCI_STATUS_CAPABILITIES (1u << 4)
#define PCI_REVISION 0x08u
#define PCI_INTERFACE 0x09u
#define PCI_SUBCLASS 0x0au
#define PCI_CLASS 0x0bu
#define PCI_HEADER_TYPE 0x0eu
#define PCI_HEADER_TYPE_MASK 0x7fu
#define PCI_HEADER_MULTI_FUNCTION 0x80u
#define PCI_HEADER_DEVICE 0u
#define PCI_HEADER_BRIDGE 1u
#define PCI_BAR0 0x10u
#define PCI_BAR_PORT (1u << 0)
#define PCI_BAR_TYPE_MASK (3u << 1)
#define PCI_BAR_TYPE_64 (2u << 1)
#define PCI_BAR_PORT_MASK 0xfffffffcu
#define PCI_BAR_MEMORY_MASK 0xfffffff0u
#define PCI_SECONDARY_BUS 0x19u
#define PCI_CAPABILITIES 0x34u
#define PCI_CAPABILITIES_START 0x40u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_INTERRUPT_PIN 0x3du

#define PCI_CLASS_BRIDGE 0x06u
#define PCI_SUBCLASS_ISA_BRIDGE 0x01u
#define PCI_SUBCLASS_PCI_BRIDGE 0x04u

#define PCI_CONFIG_SIZE 256u
#define PCI_CONFIG_EXPRESS_SIZE 4096u
#define PCI_SLOTS 32u
#define PCI_FUNCTIONS 8u
#define PCI_BUSES 256u
#define PCI_PINS 4u

/* Ports of mechanism 1. */
#define PCI_PORT_ADDRESS 0xcf8u
#define PCI_PORT_DATA 0xcfcu
#define PCI_PORT_ENABLE (1u << 31)

/* MSI, PCI 3.0 section 6.8.1; offsets from the capability. */
#define PCI_CAPABILITY_MSI 0x05u
#define PCI_MSI_CONTROL 2u
#define PCI_MSI_CONTROL_ENABLE (1u << 0)
#define PCI_MSI_CONTROL_MULTIPLE_MASK (7u << 4)
#define PCI_MSI_CONTROL_64 (1u << 7)
#define PCI_MSI_ADDRESS 4u
#define PCI_MSI_ADDRESS_HIGH 8u
#define PCI_MSI_DATA_32 8u
#define PCI_MSI_DATA_64 12u

/* MSI-X, PCI 3.0 section 6.8.2. */
#define PCI_CAPABILITY_MSIX 0x11u
#define PCI_MSIX_CONTROL 2u
#define PCI_MSIX_CONTROL_SIZE_MASK 0x7ffu
#define PCI_MSIX_CONTROL_MASK_ALL (1u << 14)
#define PCI_MSIX_CONTROL_ENABLE (1u << 15)
#define PCI_MSIX_TABLE 4u
#define PCI_MSIX_TABLE_BAR_MASK 7u

struct pci_msix_entry {
    uint32_t address_low;
    uint32_t address_high;
    uint32_t data;
    uint32_t control;
};
_Static_assert(sizeof(struct pci_msix_entry) == 16, "PCI 3.0, 6.8.2");
#define PCI_MSIX_ENTRY_MASKED (1u << 0)

/* ICH9. */
#define PCI_INTEL 0x8086u
#define PCI_ICH9_LPC_Q35 0x2918u
#define PCI_ICH9_LPC_SLOT 31u
#define PCI_ICH9_RCBA 0xf0u
#define PCI_ICH9_RCBA_ENABLE (1u << 0)
#define PCI_ICH9_RCBA_MASK 0xffffc000u
#define PCI_ICH9_RCRB_LENGTH 0x4000u
#define PCI_ICH9_PIRQA_GSI 16u

#endif
