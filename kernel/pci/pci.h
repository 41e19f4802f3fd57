/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI Express: functions found on the buses, their configuration space, registers and interrupts,
 * and the table of drivers that may attach to them.
 */
#ifndef KERNEL_PCI_PCI_H
#define KERNEL_PCI_PCI_H

#include "base/list.h"
#include "base/status.h"
#include "kernel/irq/irq.h"

#include <stddef.h>
#include <stdint.h>

struct pci_bar {
    uint64_t address; /* physical, or port number */
    uint64_t size;    /* bytes; 0: not present */
    bool is_port;
};

struct pci_device {
    uint16_t segment;
    uint8_t bus, slot, function;
    uint16_t vendor, device;
    uint8_t class_code, subclass, interface, revision;
    struct pci_bar bars[6];
    const struct pci_driver *driver; /* that attached; NULL: none */
    char address[16];                /* "0000:00:03.0" */
    struct list_node link;
    void *msix_table; /* mapped by pci_msix_enable; else NULL */
    uint16_t msix_count;
    volatile uint8_t *config;  /* memory-mapped configuration space; NULL: through the ports */
    struct pci_device *bridge; /* above it; NULL: on a root bus */
    uint8_t secondary_bus;     /* behind it, if it is a bridge to PCI; else 0 */
    uint8_t msi_vector;        /* of pci_interrupt_register by MSI; else 0 */
};

struct pci_driver {
    const char *name;
    /* True if the driver is for this function. */
    bool (*match)(const struct pci_device *device);
    /* Brings the device up and publishes what it offers (kernel/device.h). Thread context. On error
     * the function is left as it was and the reason is logged. */
    enum status (*attach)(struct pci_device *device);
};

/* Finds every function on every bus. Once, at boot. */
enum status pci_scan(void);

/* Offers every function without a driver to each driver in turn. */
void pci_attach_drivers(const struct pci_driver *const *drivers, size_t count);

/* The index-th function found, NULL beyond the last. Any thread after pci_scan(). */
struct pci_device *pci_device_get(size_t index);

/* Configuration space; offset is a multiple of the width. Any context. */
uint8_t pci_config_read8(const struct pci_device *device, uint16_t offset);
uint16_t pci_config_read16(const struct pci_device *device, uint16_t offset);
uint32_t pci_config_read32(const struct pci_device *device, uint16_t offset);
void pci_config_write16(const struct pci_device *device, uint16_t offset, uint16_t value);
void pci_config_write32(const struct pci_device *device, uint16_t offset, uint32_t value);

/* Offset of the capability with this identifier, 0 if there is none. */
uint16_t pci_capability_find(const struct pci_device *device, uint8_t identifier);

/* Switches on memory decoding and bus mastering. */
void pci_enable(struct pci_device *device);

/* Maps a memory BAR's registers. UNSUPPORTED (not there, or ports), NO_MEMORY. */
enum status pci_bar_map(const struct pci_device *device, unsigned bar, volatile void **registers,
                        size_t *length);

/* MSI-X: count of vectors that the function has, 0 if none. */
uint16_t pci_msix_vectors(const struct pci_device *device);
/* Maps the table, masks all entries and switches MSI-X on (INTx off). UNSUPPORTED, NO_MEMORY. */
enum status pci_msix_enable(struct pci_device *device);
/* Points an entry at a vector on a CPU and unmasks it. */
void pci_msix_set(struct pci_device *device, uint16_t entry, uint8_t vector, uint32_t cpu);

/* One interrupt for a function without MSI-X: MSI where it has it, else its INTx pin (shared).
 * UNSUPPORTED if neither can be routed. */
enum status pci_interrupt_register(struct pci_device *device, const char *name,
                                   irq_handler *handler, void *context);

#endif
