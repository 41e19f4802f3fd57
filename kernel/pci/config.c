/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space. Invariant: the address and data ports are used together, under port_lock;
 * memory-mapped access needs no lock.
 */
#include "base/assert.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/pci/pci_internal.h"

static struct spinlock port_lock; /* innermost */

static void port_select(const struct pci_device *device, uint16_t offset) {
    cpu_out32(PCI_PORT_ADDRESS, PCI_PORT_ENABLE | (uint32_t)device->bus << 16 |
                                    (uint32_t)device->slot << 11 | (uint32_t)device->function << 8 |
                                    (offset & 0xfcu));
}

static uint32_t port_read(const struct pci_device *device, uint16_t offset, unsigned width) {
    if (device->segment != 0 || offset >= PCI_CONFIG_SIZE)
        return UINT32_MAX;
    uint16_t port = (uint16_t)(PCI_PORT_DATA + (offset & 3u));
    uint64_t flags = spinlock_lock(&port_lock);
    port_select(device, offset);
    uint32_t value = width == 1 ? cpu_in8(port) : width == 2 ? cpu_in16(port) : cpu_in32(port);
    spinlock_unlock(&port_lock, flags);
    return value;
}

static void port_write(const struct pci_device *device, uint16_t offset, uint32_t value,
                       unsigned width) {
    if (device->segment != 0 || offset >= PCI_CONFIG_SIZE)
        return;
    uint16_t port = (uint16_t)(PCI_PORT_DATA + (offset & 3u));
    uint64_t flags = spinlock_lock(&port_lock);
    port_select(device, offset);
    if (width == 2)
        cpu_out16(port, (uint16_t)value);
    else
        cpu_out32(port, value);
    spinlock_unlock(&port_lock, flags);
}

static volatile void *mapped(const struct pci_device *device, uint16_t offset, unsigned width) {
    ASSERT(offset % width == 0);
    ASSERT(offset < PCI_CONFIG_EXPRESS_SIZE);
    return device->config != NULL ? device->config + offset : NULL;
}

uint8_t pci_config_read8(const struct pci_device *device, uint16_t offset) {
    volatile uint8_t *config = mapped(device, offset, 1);
    return config != NULL ? *config : (uint8_t)port_read(device, offset, 1);
}

uint16_t pci_config_read16(const struct pci_device *device, uint16_t offset) {
    volatile uint16_t *config = mapped(device, offset, 2);
    return config != NULL ? *config : (uint16_t)port_read(device, offset, 2);
}

uint32_t pci_config_read32(const struct pci_device *device, uint16_t offset) {
    volatile uint32_t *config = mapped(device, offset, 4);
    return config != NULL ? *config : port_read(device, offset, 4);
}

void pci_config_write16(const struct pci_device *device, uint16_t offset, uint16_t value) {
    volatile uint16_t *config = mapped(device, offset, 2);
    if (config != NULL)
        *config = value;
    else
        port_write(device, offset, value, 2);
}

void pci_config_write32(const struct pci_device *device, uint16_t offset, uint32_t value) {
    volatile uint32_t *config = mapped(device, offset, 4);
    if (config != NULL)
        *config = value;
    else
        port_write(device, offset, value, 4);
}

uint16_t pci_capability_find(const struct pci_device *device, uint8_t identifier) {
    if ((pci_config_read16(device, PCI_STATUS) & PCI_STATUS_CAPABILITIES) == 0)
        return 0;
    uint16_t offset = pci_config_read8(device, PCI_CAPABILITIES) & 0xfcu;
    /* A damaged list may run in a circle: no more hops than there are places. */
    for (unsigned hops = 0; hops < PCI_CONFIG_SIZE / 4; hops++) {
        if (offset < PCI_CAPABILITIES_START)
            return 0;
        if (pci_config_read8(device, offset) == identifier)
            return offset;
        offset = pci_config_read8(device, (uint16_t)(offset + 1)) & 0xfcu;
    }
    return 0;
}
