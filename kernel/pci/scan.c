/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding functions. Invariants: the list is made by pci_scan() and never shrinks; a device that
 * was found keeps its place and its structure. Firmware has numbered the buses and placed the BARs,
 * as PC firmware does; nothing is moved.
 *
 * Every bus of every segment is looked at, not only those behind a bridge that was found: machines
 * with several root bridges have root buses anywhere.
 */
#include "base/format.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernel/acpi/acpi.h"
#include "kernel/mm/memory.h"
#include "kernel/pci/pci_internal.h"

static struct list_node devices = {&devices, &devices};

struct pci_device *pci_device_get(size_t index) {
    LIST_FOR_EACH(node, &devices)
    if (index-- == 0)
        return LIST_CONTAINER(node, struct pci_device, link);
    return NULL;
}

struct pci_device *pci_device_at(uint16_t segment, uint8_t bus, uint8_t slot, uint8_t function) {
    LIST_FOR_EACH(node, &devices) {
        struct pci_device *device = LIST_CONTAINER(node, struct pci_device, link);
        if (device->segment == segment && device->bus == bus && device->slot == slot &&
            device->function == function)
            return device;
    }
    return NULL;
}

static void read_identity(struct pci_device *device) {
    device->vendor = pci_config_read16(device, PCI_VENDOR);
    device->device = pci_config_read16(device, PCI_DEVICE);
    device->revision = pci_config_read8(device, PCI_REVISION);
    device->interface = pci_config_read8(device, PCI_INTERFACE);
    device->subclass = pci_config_read8(device, PCI_SUBCLASS);
    device->class_code = pci_config_read8(device, PCI_CLASS);
    format_text(device->address, sizeof device->address, "%04x:%02x:%02x.%x", device->segment,
                device->bus, device->slot, device->function);
}

/* What stays of all ones: the size's complement. The register gets its value back. */
static uint32_t probe(struct pci_device *device, uint16_t offset) {
    uint32_t value = pci_config_read32(device, offset);
    pci_config_write32(device, offset, UINT32_MAX);
    uint32_t mask = pci_config_read32(device, offset);
    pci_config_write32(device, offset, value);
    return mask;
}

/* PCI 3.0, section 6.2.5.1. Returns how many registers the BAR takes. */
static unsigned read_bar(struct pci_device *device, unsigned index) {
    struct pci_bar *bar = &device->bars[index];
    uint16_t offset = (uint16_t)(PCI_BAR0 + index * 4);
    uint32_t value = pci_config_read32(device, offset);
    uint32_t mask = probe(device, offset);
    if (value & PCI_BAR_PORT) {
        bar->is_port = true;
        bar->address = value & PCI_BAR_PORT_MASK & UINT16_MAX;
        mask = (mask & PCI_BAR_PORT_MASK) | 0xffff0000u; /* the upper half may be wired to 0 */
        bar->size = mask == 0xffff0000u ? 0 : (uint32_t)~mask + 1u;
        return 1;
    }
    bar->address = value & PCI_BAR_MEMORY_MASK;
    uint64_t wide_mask = mask & PCI_BAR_MEMORY_MASK;
    bool wide = (value & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64 && index < 5;
    if (wide) {
        bar->address |= (uint64_t)pci_config_read32(device, (uint16_t)(offset + 4)) << 32;
        wide_mask |= (uint64_t)probe(device, (uint16_t)(offset + 4)) << 32;
    } else if (wide_mask != 0) {
        wide_mask |= 0xffffffffull << 32;
    }
    bar->size = ~wide_mask + 1; /* 0 stays 0 */
    return wide ? 2 : 1;
}

/* Decoding is off meanwhile, so that the half-written address reaches nobody. */
static void read_bars(struct pci_device *device) {
    uint8_t type = pci_config_read8(device, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MASK;
    unsigned count = type == PCI_HEADER_DEVICE ? 6 : type == PCI_HEADER_BRIDGE ? 2 : 0;
    uint16_t command = pci_config_read16(device, PCI_COMMAND);
    pci_config_write16(device, PCI_COMMAND,
                       command & (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    for (unsigned i = 0; i < count;)
        i += read_bar(device, i);
    pci_config_write16(device, PCI_COMMAND, command);
    if (type == PCI_HEADER_BRIDGE)
        device->secondary_bus = pci_config_read8(device, PCI_SECONDARY_BUS);
}

static enum status add_function(const struct pci_device *found) {
    struct pci_device *device = kmalloc(sizeof *device);
    if (device == NULL)
        return STATUS_NO_MEMORY;
    *device = *found;
    read_identity(device);
    read_bars(device);
    list_push_back(&devices, &device->link);
    log_info("pci", "%s %04x:%04x class %02x%02x%02x", device->address, device->vendor,
             device->device, device->class_code, device->subclass, device->interface);
    return STATUS_OK;
}

/* A look without mapping, where the ports reach: is there anything on the bus? */
static bool bus_has_device(uint16_t segment, uint8_t bus) {
    if (segment != 0)
        return true;
    struct pci_device probe_at = {.bus = bus};
    for (; probe_at.slot < PCI_SLOTS; probe_at.slot++)
        if (pci_config_read16(&probe_at, PCI_VENDOR) != PCI_VENDOR_NONE)
            return true;
    return false;
}

static enum status scan_slot(struct pci_device at, volatile uint8_t *bus_config) {
    unsigned functions = 1;
    for (unsigned function = 0; function < functions; function++) {
        at.function = (uint8_t)function;
        at.config = bus_config == NULL ? NULL
                                       : bus_config + (size_t)(at.slot * PCI_FUNCTIONS + function) *
                                                          PCI_CONFIG_EXPRESS_SIZE;
        if (pci_config_read16(&at, PCI_VENDOR) == PCI_VENDOR_NONE)
            continue;
        if (pci_config_read8(&at, PCI_HEADER_TYPE) & PCI_HEADER_MULTI_FUNCTION)
            functions = PCI_FUNCTIONS;
        enum status status = add_function(&at);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* `ecam` is NULL to go through the ports. */
static enum status scan_bus(const struct acpi_ecam *ecam, uint8_t bus) {
    struct pci_device at = {.segment = ecam != NULL ? ecam->segment : 0, .bus = bus};
    if (!bus_has_device(at.segment, bus))
        return STATUS_OK;
    volatile uint8_t *config = NULL;
    size_t length = (size_t)PCI_SLOTS * PCI_FUNCTIONS * PCI_CONFIG_EXPRESS_SIZE;
    if (ecam != NULL)
        config = memory_map_device(ecam->base + (uint64_t)bus * length, length);
    if (ecam != NULL && config == NULL)
        return STATUS_NO_MEMORY;
    for (; at.slot < PCI_SLOTS; at.slot++) {
        enum status status = scan_slot(at, config);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status scan_range(const struct acpi_ecam *ecam, unsigned first, unsigned last) {
    for (unsigned bus = first; bus <= last; bus++) {
        enum status status = scan_bus(ecam, (uint8_t)bus);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void find_bridges(void) {
    LIST_FOR_EACH(node, &devices) {
        struct pci_device *device = LIST_CONTAINER(node, struct pci_device, link);
        LIST_FOR_EACH(other, &devices) {
            struct pci_device *bridge = LIST_CONTAINER(other, struct pci_device, link);
            if (bridge->segment == device->segment && bridge->secondary_bus != 0 &&
                bridge->secondary_bus == device->bus)
                device->bridge = bridge;
        }
    }
}

enum status pci_scan(void) {
    struct acpi_ecam ecam;
    size_t count = 0;
    enum status status = STATUS_OK;
    for (; status == STATUS_OK && acpi_ecam(count, &ecam); count++)
        status = scan_range(&ecam, ecam.bus_start, ecam.bus_end);
    if (count == 0) {
        log_info("pci", "no MCFG table: configuration space through ports");
        status = scan_range(NULL, 0, PCI_BUSES - 1);
    }
    find_bridges();
    return status;
}

static void offer(struct pci_device *device, const struct pci_driver *driver) {
    if (device->driver != NULL || !driver->match(device))
        return;
    device->driver = driver;
    enum status status = driver->attach(device);
    if (status == STATUS_OK)
        return;
    device->driver = NULL;
    log_error("pci", "%s: driver %s does not attach: %s", device->address, driver->name,
              status_text(status));
}

void pci_attach_drivers(const struct pci_driver *const *drivers, size_t count) {
    LIST_FOR_EACH(node, &devices)
    for (size_t i = 0; i < count; i++)
        offer(LIST_CONTAINER(node, struct pci_device, link), drivers[i]);
}
