/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What drivers do with a function. Invariants: a function has one way to interrupt at a time
 * (MSI-X, MSI or INTx); while MSI-X is on, entries without a vector are masked. The MSI-X table is
 * mapped once and stays.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/mm/memory.h"
#include "kernel/pci/pci_internal.h"

static void change_command(const struct pci_device *device, uint16_t set, uint16_t clear) {
    uint16_t command = pci_config_read16(device, PCI_COMMAND);
    pci_config_write16(device, PCI_COMMAND, (uint16_t)((command & ~clear) | set));
}

void pci_enable(struct pci_device *device) {
    change_command(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
}

enum status pci_bar_map(const struct pci_device *device, unsigned bar, volatile void **registers,
                        size_t *length) {
    if (bar >= ARRAY_LENGTH(device->bars))
        return STATUS_UNSUPPORTED;
    const struct pci_bar *found = &device->bars[bar];
    if (found->size == 0 || found->is_port || found->address == 0)
        return STATUS_UNSUPPORTED;
    volatile void *mapped = memory_map_device(found->address, found->size);
    if (mapped == NULL)
        return STATUS_NO_MEMORY;
    *registers = mapped;
    *length = found->size;
    return STATUS_OK;
}

uint16_t pci_msix_vectors(const struct pci_device *device) {
    uint16_t capability = pci_capability_find(device, PCI_CAPABILITY_MSIX);
    if (capability == 0)
        return 0;
    uint16_t control = pci_config_read16(device, (uint16_t)(capability + PCI_MSIX_CONTROL));
    return (uint16_t)((control & PCI_MSIX_CONTROL_SIZE_MASK) + 1);
}

static enum status msix_map_table(struct pci_device *device, uint16_t capability) {
    uint32_t place = pci_config_read32(device, (uint16_t)(capability + PCI_MSIX_TABLE));
    unsigned bar = place & PCI_MSIX_TABLE_BAR_MASK;
    uint64_t offset = place & ~PCI_MSIX_TABLE_BAR_MASK;
    uint64_t size = (uint64_t)device->msix_count * sizeof(struct pci_msix_entry);
    if (bar >= ARRAY_LENGTH(device->bars) || device->bars[bar].is_port ||
        device->bars[bar].address == 0 ||
        !math_range_inside(offset, size, device->bars[bar].size)) {
        log_error("pci", "%s: the MSI-X table lies outside of its BAR", device->address);
        return STATUS_UNSUPPORTED;
    }
    device->msix_table = memory_map_device(device->bars[bar].address + offset, size);
    return device->msix_table != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static volatile struct pci_msix_entry *msix_entry(const struct pci_device *device, uint16_t index) {
    ASSERT(device->msix_table != NULL);
    ASSERT(index < device->msix_count);
    return (volatile struct pci_msix_entry *)device->msix_table + index;
}

enum status pci_msix_enable(struct pci_device *device) {
    uint16_t capability = pci_capability_find(device, PCI_CAPABILITY_MSIX);
    if (capability == 0)
        return STATUS_UNSUPPORTED;
    device->msix_count = pci_msix_vectors(device);
    change_command(device, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_OFF, 0);
    enum status status =
        device->msix_table != NULL ? STATUS_OK : msix_map_table(device, capability);
    if (status != STATUS_OK)
        return status;
    uint16_t at = (uint16_t)(capability + PCI_MSIX_CONTROL);
    uint16_t control = pci_config_read16(device, at);
    pci_config_write16(device, at, control | PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL);
    for (uint16_t i = 0; i < device->msix_count; i++)
        msix_entry(device, i)->control = PCI_MSIX_ENTRY_MASKED;
    control = (uint16_t)((control | PCI_MSIX_CONTROL_ENABLE) & ~PCI_MSIX_CONTROL_MASK_ALL);
    pci_config_write16(device, at, control);
    return STATUS_OK;
}

static void msix_mask(void *context, bool masked) {
    volatile struct pci_msix_entry *entry = context;
    entry->control = masked ? PCI_MSIX_ENTRY_MASKED : 0;
}

void pci_msix_set(struct pci_device *device, uint16_t index, uint8_t vector, uint32_t cpu) {
    volatile struct pci_msix_entry *entry = msix_entry(device, index);
    uint64_t address;
    uint32_t data;
    irq_message(vector, cpu, &address, &data);
    entry->control = PCI_MSIX_ENTRY_MASKED; /* 6.8.2: an entry may change while it is masked only */
    entry->address_low = (uint32_t)address;
    entry->address_high = (uint32_t)(address >> 32);
    entry->data = data;
    irq_vector_set_mask(vector, msix_mask, (void *)(uintptr_t)entry);
    entry->control = 0;
}

static void msi_switch(const struct pci_device *device, bool on) {
    uint16_t at = (uint16_t)(pci_capability_find(device, PCI_CAPABILITY_MSI) + PCI_MSI_CONTROL);
    uint16_t control = pci_config_read16(device, at) &
                       (uint16_t) ~(PCI_MSI_CONTROL_ENABLE | PCI_MSI_CONTROL_MULTIPLE_MASK);
    pci_config_write16(device, at, control | (on ? PCI_MSI_CONTROL_ENABLE : 0));
}

static void msi_mask(void *context, bool masked) {
    msi_switch(context, !masked);
}

static enum status msi_register(struct pci_device *device, uint16_t capability, const char *name,
                                irq_handler *handler, void *context) {
    enum status status = irq_vector_register(name, handler, context, &device->msi_vector);
    if (status != STATUS_OK)
        return status;
    uint64_t address;
    uint32_t data;
    irq_message(device->msi_vector, 0, &address, &data);
    uint16_t control = pci_config_read16(device, (uint16_t)(capability + PCI_MSI_CONTROL));
    bool wide = (control & PCI_MSI_CONTROL_64) != 0;
    pci_config_write32(device, (uint16_t)(capability + PCI_MSI_ADDRESS), (uint32_t)address);
    if (wide)
        pci_config_write32(device, (uint16_t)(capability + PCI_MSI_ADDRESS_HIGH),
                           (uint32_t)(address >> 32));
    pci_config_write16(device, (uint16_t)(capability + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32)),
                       (uint16_t)data);
    irq_vector_set_mask(device->msi_vector, msi_mask, device);
    change_command(device, PCI_COMMAND_INTX_OFF, 0);
    msi_switch(device, true);
    return STATUS_OK;
}

enum status pci_interrupt_register(struct pci_device *device, const char *name,
                                   irq_handler *handler, void *context) {
    uint16_t capability = pci_capability_find(device, PCI_CAPABILITY_MSI);
    if (capability != 0)
        return msi_register(device, capability, name, handler, context);
    enum status status = pci_intx_register(device, name, handler, context);
    if (status == STATUS_OK)
        change_command(device, 0, PCI_COMMAND_INTX_OFF);
    return status;
}
