/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where INTx pins arrive. ACPI tells by _PRT, which needs an AML interpreter; instead:
 * - Behind bridges the pin rotates with the slot (PCI-to-PCI bridge specification 1.2, table 9-1).
 * - On bus 0 of a machine with Intel's ICH9 (QEMU's q35): pins go to PIRQA..H, which are GSI 16 to
 *   23. For slots 25 to 31 the chipset's device interrupt route registers tell. For the others QEMU
 *   wires pin n of slot s to PIRQ[4 + (s + n) mod 4]; no real ICH9 has such slots but for the root
 *   ports of the memory controller, whose devices have MSI.
 * - On any other machine the handler is put on all of GSI 16 to 23, where chipsets route PCI, and
 * on the ISA interrupt that firmware noted in the function's interrupt line register if the MADT
 * says it is level-triggered. Handlers of shared pins decide whether it was their device anyway.
 */
#include "base/log.h"
#include "kernel/acpi/acpi.h"
#include "kernel/irq/ioapic.h"
#include "kernel/mm/memory.h"
#include "kernel/pci/pci_internal.h"

#define FIRST_ROUTED_SLOT 25u
#define PIRQ_COUNT 8u

/* Offsets of DxIR in the root complex register block, for slots 25 to 31 (10.1.41 and after). */
static const uint16_t route_registers[] = {0x3150, 0x314c, 0x3148, 0x3146, 0x3144, 0x3142, 0x3140};

/* PIRQ number of a pin (0: INTA) on the ICH9's bus 0; false if the registers cannot be read. */
static bool ich9_pirq(const struct pci_device *lpc, uint8_t slot, unsigned pin, unsigned *pirq) {
    if (slot < FIRST_ROUTED_SLOT) {
        *pirq = 4 + (slot + pin) % PCI_PINS;
        return true;
    }
    uint32_t base = pci_config_read32(lpc, PCI_ICH9_RCBA);
    if ((base & PCI_ICH9_RCBA_ENABLE) == 0)
        return false;
    volatile uint8_t *block = memory_map_device(base & PCI_ICH9_RCBA_MASK, PCI_ICH9_RCRB_LENGTH);
    if (block == NULL)
        return false;
    uint16_t route = *(volatile uint16_t *)(block + route_registers[slot - FIRST_ROUTED_SLOT]);
    *pirq = (route >> (pin * 4)) & (PIRQ_COUNT - 1);
    return true;
}

static enum status register_everywhere(const struct pci_device *device, const char *name,
                                       irq_handler *handler, void *context) {
    unsigned routed = 0;
    for (uint32_t gsi = PCI_ICH9_PIRQA_GSI; gsi < PCI_ICH9_PIRQA_GSI + PIRQ_COUNT; gsi++)
        if (ioapic_has(gsi))
            routed += irq_gsi_register_as(gsi, true, true, name, handler, context) == STATUS_OK;
    uint8_t line = pci_config_read8(device, PCI_INTERRUPT_LINE);
    const struct acpi_platform *platform = acpi_platform();
    for (size_t i = 0; i < platform->override_count; i++)
        if (platform->overrides[i].source == line && platform->overrides[i].level)
            routed += irq_isa_register(line, name, handler, context) == STATUS_OK;
    if (routed == 0)
        log_error("pci", "%s: no I/O APIC pin for its interrupt", device->address);
    return routed > 0 ? STATUS_OK : STATUS_UNSUPPORTED;
}

enum status pci_intx_register(struct pci_device *device, const char *name, irq_handler *handler,
                              void *context) {
    uint8_t register_pin = pci_config_read8(device, PCI_INTERRUPT_PIN);
    if (register_pin == 0 || register_pin > PCI_PINS)
        return STATUS_UNSUPPORTED;
    unsigned pin = register_pin - 1u;
    const struct pci_device *at = device;
    for (; at->bridge != NULL; at = at->bridge)
        pin = (pin + at->slot) % PCI_PINS;
    const struct pci_device *lpc = pci_device_at(at->segment, at->bus, PCI_ICH9_LPC_SLOT, 0);
    unsigned pirq;
    if (lpc != NULL && lpc->vendor == PCI_INTEL && lpc->device == PCI_ICH9_LPC_Q35 &&
        ich9_pirq(lpc, at->slot, pin, &pirq))
        return irq_gsi_register_as(PCI_ICH9_PIRQA_GSI + pirq, true, true, name, handler, context);
    return register_everywhere(device, name, handler, context);
}
