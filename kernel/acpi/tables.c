/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the tables. Invariants:
 * - A table in `tables` was copied out of firmware's memory, has the length that its header says,
 *   and its checksum was right at that time. The copies are never changed or freed.
 * - Everything here is written by acpi_initialize() alone, on the boot CPU, and only read after.
 */
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "kernel/acpi/acpi.h"
#include "kernel/acpi/acpi_internal.h"
#include "kernel/mm/memory.h"

/* No firmware has tables anywhere near this size: a longer one is a damaged length. */
#define TABLE_SIZE_MAX (64u << 20)

#define BIOS_AREA_START 0xe0000u
#define BIOS_AREA_END 0x100000u
#define BIOS_EBDA_POINTER 0x40eu /* real-mode segment of the extended BIOS data area */
#define BIOS_EBDA_SEARCH 1024u
#define RSDP_ALIGNMENT 16u

struct table {
    struct table *next;
    const struct acpi_header *data;
    size_t length;
};

static struct table *tables;
static struct table **tables_end = &tables;

static bool checksum_good(const void *data, size_t length) {
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static struct table *table_copy(uint64_t physical, size_t length) {
    const void *source = memory_map_firmware(physical, length);
    uint8_t *data = kmalloc(length);
    struct table *table = kmalloc(sizeof *table);
    if (source == NULL || data == NULL || table == NULL) {
        kfree(table);
        kfree(data);
        return NULL;
    }
    memcpy(data, source, length);
    *table = (struct table){.data = (const struct acpi_header *)data, .length = length};
    return table;
}

static void table_discard(struct table *table) {
    kfree((void *)(uintptr_t)table->data);
    kfree(table);
}

enum status acpi_table_add(uint64_t physical) {
    const struct acpi_header *header = memory_map_firmware(physical, sizeof *header);
    if (header == NULL)
        return STATUS_NO_MEMORY;
    uint32_t length = le32_get(header->length);
    if (length < sizeof *header || length > TABLE_SIZE_MAX) {
        log_error("acpi", "table at 0x%llx has the impossible length %u: left out",
                  (unsigned long long)physical, length);
        return STATUS_CORRUPT;
    }
    struct table *table = table_copy(physical, length);
    if (table == NULL)
        return STATUS_NO_MEMORY;
    if (le32_get(table->data->length) != length || !checksum_good(table->data, length)) {
        log_error("acpi", "table %.4s at 0x%llx has a wrong checksum: left out",
                  (const char *)table->data->signature, (unsigned long long)physical);
        table_discard(table);
        return STATUS_CORRUPT;
    }
    *tables_end = table;
    tables_end = &table->next;
    return STATUS_OK;
}

const void *acpi_table_find(const char *signature, size_t index, size_t *length) {
    for (struct table *table = tables; table != NULL; table = table->next) {
        if (memcmp(table->data->signature, signature, 4) != 0 || index-- > 0)
            continue;
        if (length != NULL)
            *length = table->length;
        return table->data;
    }
    return NULL;
}

static bool rsdp_good(const struct acpi_rsdp *rsdp) {
    if (memcmp(rsdp->signature, "RSD PTR ", 8) != 0 || !checksum_good(rsdp, ACPI_RSDP_V1_SIZE))
        return false;
    if (rsdp->revision < 2)
        return true;
    uint32_t length = le32_get(rsdp->length);
    return length >= sizeof *rsdp && length <= MEMORY_PAGE_SIZE && checksum_good(rsdp, length);
}

static bool rsdp_search(uint64_t start, size_t length, struct acpi_rsdp *out) {
    /* One page more is mapped than searched, so that a structure at the end can be read whole. */
    const uint8_t *area = memory_map_firmware(start, length + MEMORY_PAGE_SIZE);
    if (area == NULL)
        return false;
    for (size_t offset = 0; offset + ACPI_RSDP_V1_SIZE <= length; offset += RSDP_ALIGNMENT) {
        if (rsdp_good((const struct acpi_rsdp *)(area + offset))) {
            memcpy(out, area + offset, sizeof *out);
            return true;
        }
    }
    return false;
}

/* ACPI 6.5, section 5.2.5.1: the first KiB of the EBDA, then the BIOS read-only memory. */
static bool rsdp_find(uint64_t given, struct acpi_rsdp *out) {
    if (given != 0)
        return rsdp_search(given, sizeof(struct acpi_rsdp), out);
    const uint8_t *pointer = memory_map_firmware(BIOS_EBDA_POINTER, 2);
    if (pointer != NULL) {
        uint64_t ebda = (uint64_t)(pointer[0] | pointer[1] << 8) << 4;
        if (ebda >= 0x400 && ebda < BIOS_AREA_START && rsdp_search(ebda, BIOS_EBDA_SEARCH, out))
            return true;
    }
    return rsdp_search(BIOS_AREA_START, BIOS_AREA_END - BIOS_AREA_START, out);
}

/* Adds every table that the root lists; damaged ones are left out. */
static enum status root_walk(const char *signature, size_t entry_size) {
    size_t length = 0;
    const uint8_t *root = acpi_table_find(signature, 0, &length);
    for (size_t at = sizeof(struct acpi_header); at + entry_size <= length; at += entry_size) {
        uint64_t physical = 0;
        memcpy(&physical, root + at, entry_size);
        if (physical != 0 && acpi_table_add(physical) == STATUS_NO_MEMORY)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

/* The XSDT, or the RSDT where there is no sound XSDT. */
static enum status root_load(const struct acpi_rsdp *rsdp) {
    uint64_t xsdt = rsdp->revision >= 2 ? le64_get(rsdp->xsdt) : 0;
    if (xsdt != 0 && acpi_table_add(xsdt) == STATUS_OK && acpi_table_find("XSDT", 0, NULL) != NULL)
        return root_walk("XSDT", sizeof(le64));
    uint64_t rsdt = le32_get(rsdp->rsdt);
    if (rsdt != 0 && acpi_table_add(rsdt) == STATUS_OK && acpi_table_find("RSDT", 0, NULL) != NULL)
        return root_walk("RSDT", sizeof(le32));
    return STATUS_NOT_FOUND;
}

enum status acpi_initialize(uint64_t rsdp_physical) {
    struct acpi_rsdp rsdp;
    if (!rsdp_find(rsdp_physical, &rsdp)) {
        log_error("acpi", "no RSDP found: the machine has no ACPI, or the boot path hides it");
        return STATUS_NOT_FOUND;
    }
    enum status status = root_load(&rsdp);
    if (status != STATUS_OK) {
        log_error("acpi", "no sound RSDT or XSDT: %s", status_text(status));
        return status;
    }
    acpi_power_parse();
    return acpi_madt_parse();
}

bool acpi_ecam(size_t index, struct acpi_ecam *out) {
    size_t length = 0;
    const uint8_t *mcfg = acpi_table_find("MCFG", 0, &length);
    size_t at = sizeof(struct acpi_mcfg) + index * sizeof(struct acpi_mcfg_entry);
    if (mcfg == NULL || !math_range_inside(at, sizeof(struct acpi_mcfg_entry), length))
        return false;
    const struct acpi_mcfg_entry *entry = (const struct acpi_mcfg_entry *)(mcfg + at);
    *out = (struct acpi_ecam){.base = le64_get(entry->base),
                              .segment = le16_get(entry->segment),
                              .bus_start = entry->bus_start,
                              .bus_end = entry->bus_end};
    return true;
}

uint64_t acpi_hpet(void) {
    size_t length = 0;
    const struct acpi_hpet *hpet = acpi_table_find("HPET", 0, &length);
    if (hpet == NULL || length < sizeof *hpet || hpet->address.space != ACPI_SPACE_MEMORY)
        return 0;
    return le64_get(hpet->address.address);
}
