/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI: the tables that describe the machine, and the fixed hardware for power button, power-off
 * and reset. There is no AML interpreter: what needs one (control methods, _PRT) is not used.
 */
#ifndef KERNEL_ACPI_ACPI_H
#define KERNEL_ACPI_ACPI_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Finds, validates and copies the tables. `rsdp` is the physical address that UEFI gives, 0 to
 * search the BIOS areas. A table that fails its checksum is logged and left out. Once, at boot,
 * after memory; needs no interrupts. NOT_FOUND (no usable root table), NO_MEMORY.
 */
enum status acpi_initialize(uint64_t rsdp);

/* The index-th table with a signature of four letters, NULL if there is none. Valid for ever and
 * *length bytes long, checksummed. Any context after acpi_initialize(). */
const void *acpi_table_find(const char *signature, size_t index, size_t *length);

struct acpi_cpu {
    uint32_t apic_id;
};
struct acpi_io_apic {
    uint64_t address;
    uint32_t gsi_base;
};
struct acpi_override {
    uint8_t source; /* ISA interrupt */
    uint32_t gsi;
    bool level;
    bool active_low;
};

/* What the MADT says; constant after acpi_initialize(). */
struct acpi_platform {
    uint64_t local_apic; /* physical */
    struct acpi_cpu *cpus;
    size_t cpu_count; /* those that firmware enabled; 0: no MADT */
    struct acpi_io_apic *io_apics;
    size_t io_apic_count;
    struct acpi_override *overrides;
    size_t override_count;
};
const struct acpi_platform *acpi_platform(void);

/* One range of memory-mapped PCI configuration space. */
struct acpi_ecam {
    uint64_t base; /* physical, of bus 0 of the segment */
    uint16_t segment;
    uint8_t bus_start, bus_end;
};
/* False beyond the last. */
bool acpi_ecam(size_t index, struct acpi_ecam *out);

/* Physical address of the HPET's registers, 0 if there is none. */
uint64_t acpi_hpet(void);

/* CMOS register that holds the century, 0 if there is none. */
uint8_t acpi_cmos_century(void);

/*
 * Switches to ACPI mode and registers the system control interrupt. Thread context, after
 * interrupts and scheduler. UNSUPPORTED (no fixed hardware), NO_MEMORY, TIMEOUT.
 */
enum status acpi_start(void);

/* Sets who is told when the power button is pressed. Called in a thread of its own, one press at a
 * time; may block. Thread context, once. */
void acpi_on_power_button(void (*pressed)(void *context), void *context);

/* Switches the machine off (sleep state S5). Any context; returns only if that did not work. */
void acpi_power_off(void);

/* Resets the machine, by the ACPI reset register or older means. Any context. */
_Noreturn void acpi_reset(void);

#endif
