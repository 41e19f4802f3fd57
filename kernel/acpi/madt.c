/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MADT: processors, I/O APICs, and where ISA interrupts really arrive. Invariant: `platform` is
 * written by acpi_madt_parse() alone, on the boot CPU, and only read after.
 */
#include "base/log.h"
#include "base/mem.h"
#include "kernel/acpi/acpi.h"
#include "kernel/acpi/acpi_internal.h"
#include "kernel/mm/memory.h"

static struct acpi_platform platform;

const struct acpi_platform *acpi_platform(void) {
    return &platform;
}

typedef void visit_entry(const struct acpi_madt_entry *entry);

/* Stops at the first entry that does not fit into the table. */
static void for_each_entry(const uint8_t *madt, size_t length, visit_entry *visit) {
    size_t at = sizeof(struct acpi_madt);
    while (at + sizeof(struct acpi_madt_entry) <= length) {
        const struct acpi_madt_entry *entry = (const struct acpi_madt_entry *)(madt + at);
        if (entry->length < sizeof *entry || entry->length > length - at) {
            log_error("acpi", "MADT entry at offset %zu has length %u: the rest is ignored", at,
                      entry->length);
            return;
        }
        visit(entry);
        at += entry->length;
    }
}

static bool is_cpu(const struct acpi_madt_entry *entry, uint32_t *apic_id) {
    if (entry->type == ACPI_MADT_LOCAL_APIC &&
        entry->length >= sizeof(struct acpi_madt_local_apic)) {
        const struct acpi_madt_local_apic *cpu = (const struct acpi_madt_local_apic *)entry;
        *apic_id = cpu->apic_id;
        return (le32_get(cpu->flags) & ACPI_MADT_CPU_ENABLED) != 0;
    }
    if (entry->type == ACPI_MADT_LOCAL_X2APIC &&
        entry->length >= sizeof(struct acpi_madt_local_x2apic)) {
        const struct acpi_madt_local_x2apic *cpu = (const struct acpi_madt_local_x2apic *)entry;
        *apic_id = le32_get(cpu->apic_id);
        return (le32_get(cpu->flags) & ACPI_MADT_CPU_ENABLED) != 0;
    }
    return false;
}

static bool is_io_apic(const struct acpi_madt_entry *entry) {
    return entry->type == ACPI_MADT_IO_APIC && entry->length >= sizeof(struct acpi_madt_io_apic);
}

static bool is_override(const struct acpi_madt_entry *entry) {
    return entry->type == ACPI_MADT_OVERRIDE && entry->length >= sizeof(struct acpi_madt_override);
}

static void count_entry(const struct acpi_madt_entry *entry) {
    uint32_t apic_id;
    platform.cpu_count += is_cpu(entry, &apic_id);
    platform.io_apic_count += is_io_apic(entry);
    platform.override_count += is_override(entry);
}

static void add_override(const struct acpi_madt_override *entry) {
    uint16_t flags = le16_get(entry->flags);
    platform.overrides[platform.override_count++] = (struct acpi_override){
        .source = entry->source,
        .gsi = le32_get(entry->gsi),
        .level = (flags & ACPI_INTI_TRIGGER_MASK) == ACPI_INTI_LEVEL,
        .active_low = (flags & ACPI_INTI_POLARITY_MASK) == ACPI_INTI_ACTIVE_LOW};
}

static void add_entry(const struct acpi_madt_entry *entry) {
    uint32_t apic_id;
    if (is_cpu(entry, &apic_id))
        platform.cpus[platform.cpu_count++].apic_id = apic_id;
    if (is_override(entry))
        add_override((const struct acpi_madt_override *)entry);
    if (is_io_apic(entry)) {
        const struct acpi_madt_io_apic *io_apic = (const struct acpi_madt_io_apic *)entry;
        platform.io_apics[platform.io_apic_count++] = (struct acpi_io_apic){
            .address = le32_get(io_apic->address), .gsi_base = le32_get(io_apic->gsi_base)};
    }
    if (entry->type == ACPI_MADT_LOCAL_APIC_ADDRESS &&
        entry->length >= sizeof(struct acpi_madt_local_apic_address))
        platform.local_apic =
            le64_get(((const struct acpi_madt_local_apic_address *)entry)->address);
}

enum status acpi_madt_parse(void) {
    size_t length = 0;
    const struct acpi_madt *madt = acpi_table_find("APIC", 0, &length);
    if (madt == NULL || length < sizeof *madt) {
        log_error("acpi", "no MADT: only the boot CPU and message-signalled interrupts will work");
        return STATUS_OK;
    }
    for_each_entry((const uint8_t *)madt, length, count_entry);
    platform.cpus = kmalloc((platform.cpu_count + 1) * sizeof *platform.cpus);
    platform.io_apics = kmalloc((platform.io_apic_count + 1) * sizeof *platform.io_apics);
    platform.overrides = kmalloc((platform.override_count + 1) * sizeof *platform.overrides);
    if (platform.cpus == NULL || platform.io_apics == NULL || platform.overrides == NULL) {
        memset(&platform, 0, sizeof platform);
        return STATUS_NO_MEMORY;
    }
    platform.cpu_count = platform.io_apic_count = platform.override_count = 0;
    platform.local_apic = le32_get(madt->local_apic);
    for_each_entry((const uint8_t *)madt, length, add_entry);
    return STATUS_OK;
}
