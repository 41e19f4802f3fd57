/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts of the ACPI tables that Holdfast reads (ACPI specification 6.5, chapter 5) and the bits
 * of the fixed hardware registers (section 4.8.3). All integers are little-endian.
 */
#ifndef KERNEL_ACPI_ACPI_REGS_H
#define KERNEL_ACPI_ACPI_REGS_H

#include "base/endian.h"

#include <stddef.h>

/* Root System Description Pointer, section 5.2.5.3. */
struct acpi_rsdp {
    uint8_t signature[8]; /* "RSD PTR " */
    uint8_t checksum;     /* over the first 20 bytes */
    uint8_t oem[6];
    uint8_t revision; /* 0: ACPI 1.0, ends after rsdt; 2: all of it */
    le32 rsdt;
    le32 length;
    le64 xsdt;
    uint8_t extended_checksum; /* over length bytes */
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 5.2.5.3");
#define ACPI_RSDP_V1_SIZE 20u

/* System description table header, section 5.2.6. */
struct acpi_header {
    uint8_t signature[4];
    le32 length; /* of the whole table */
    uint8_t revision;
    uint8_t checksum;
    uint8_t oem[6];
    uint8_t oem_table[8];
    le32 oem_revision;
    uint8_t creator[4];
    le32 creator_revision;
};
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");

/* Generic Address Structure, section 5.2.3.2. */
struct acpi_address {
    uint8_t space;
    uint8_t width;
    uint8_t offset;
    uint8_t access;
    le64 address;
};
_Static_assert(sizeof(struct acpi_address) == 12, "ACPI 5.2.3.2");
#define ACPI_SPACE_MEMORY 0u
#define ACPI_SPACE_PORT 1u
#define ACPI_SPACE_PCI 2u

/* Fixed ACPI Description Table, section 5.2.9; older revisions are shorter. */
struct acpi_fadt {
    struct acpi_header header;
    le32 facs;
    le32 dsdt;
    uint8_t reserved0;
    uint8_t profile;
    le16 sci_interrupt;
    le32 smi_command;
    uint8_t acpi_enable;
    uint8_t acpi_disable;
    uint8_t s4bios_request;
    uint8_t pstate_control;
    le32 pm1a_event;
    le32 pm1b_event;
    le32 pm1a_control;
    le32 pm1b_control;
    le32 pm2_control;
    le32 pm_timer;
    le32 gpe0;
    le32 gpe1;
    uint8_t pm1_event_length;
    uint8_t pm1_control_length;
    uint8_t pm2_control_length;
    uint8_t pm_timer_length;
    uint8_t gpe0_length;
    uint8_t gpe1_length;
    uint8_t gpe1_base;
    uint8_t cstate_control;
    le16 c2_latency;
    le16 c3_latency;
    le16 flush_size;
    le16 flush_stride;
    uint8_t duty_offset;
    uint8_t duty_width;
    uint8_t day_alarm;
    uint8_t month_alarm;
    uint8_t century; /* CMOS register, 0: none */
    le16 boot_flags;
    uint8_t reserved1;
    le32 flags;
    struct acpi_address reset;
    uint8_t reset_value;
    le16 arm_boot_flags;
    uint8_t minor_revision;
    le64 x_facs;
    le64 x_dsdt;
    struct acpi_address x_pm1a_event;
    struct acpi_address x_pm1b_event;
    struct acpi_address x_pm1a_control;
    struct acpi_address x_pm1b_control;
};
_Static_assert(offsetof(struct acpi_fadt, smi_command) == 48, "ACPI table 5.9");
_Static_assert(offsetof(struct acpi_fadt, century) == 108, "ACPI table 5.9");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI table 5.9");
_Static_assert(offsetof(struct acpi_fadt, reset) == 116, "ACPI table 5.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI table 5.9");
_Static_assert(sizeof(struct acpi_fadt) == 196, "ACPI table 5.9, up to X_PM1b_CNT_BLK");
#define ACPI_FADT_V1_SIZE 116u
#define ACPI_FADT_POWER_BUTTON_CONTROL_METHOD (1u << 4)
#define ACPI_FADT_RESET_REGISTER (1u << 10)
#define ACPI_FADT_HARDWARE_REDUCED (1u << 20)

/* PM1 status and enable registers, section 4.8.3.1; control, 4.8.3.2. */
#define ACPI_PM1_POWER_BUTTON (1u << 8)
#define ACPI_PM1_STATUS_ALL 0x8731u /* every bit that is cleared by writing one */
#define ACPI_PM1_CONTROL_SCI_ENABLE (1u << 0)
#define ACPI_PM1_CONTROL_SLEEP_TYPE_SHIFT 10u
#define ACPI_PM1_CONTROL_SLEEP_TYPE_MASK (7u << 10)
#define ACPI_PM1_CONTROL_SLEEP_ENABLE (1u << 13)

/* Multiple APIC Description Table, section 5.2.12: header, then entries of type and length. */
struct acpi_madt {
    struct acpi_header header;
    le32 local_apic;
    le32 flags;
};
_Static_assert(sizeof(struct acpi_madt) == 44, "ACPI 5.2.12");

#define ACPI_MADT_LOCAL_APIC 0u
#define ACPI_MADT_IO_APIC 1u
#define ACPI_MADT_OVERRIDE 2u
#define ACPI_MADT_LOCAL_APIC_ADDRESS 5u
#define ACPI_MADT_LOCAL_X2APIC 9u

struct acpi_madt_entry {
    uint8_t type;
    uint8_t length;
};

struct acpi_madt_local_apic {
    struct acpi_madt_entry entry;
    uint8_t processor;
    uint8_t apic_id;
    le32 flags;
};
_Static_assert(sizeof(struct acpi_madt_local_apic) == 8, "ACPI 5.2.12.2");
#define ACPI_MADT_CPU_ENABLED (1u << 0)

struct acpi_madt_io_apic {
    struct acpi_madt_entry entry;
    uint8_t id;
    uint8_t reserved;
    le32 address;
    le32 gsi_base;
};
_Static_assert(sizeof(struct acpi_madt_io_apic) == 12, "ACPI 5.2.12.3");

struct acpi_madt_override {
    struct acpi_madt_entry entry;
    uint8_t bus;
    uint8_t source;
    le32 gsi;
    le16 flags;
};
_Static_assert(sizeof(struct acpi_madt_override) == 10, "ACPI 5.2.12.5");
/* MPS INTI flags, table 5.26. */
#define ACPI_INTI_POLARITY_MASK 0x3u
#define ACPI_INTI_ACTIVE_HIGH 0x1u
#define ACPI_INTI_ACTIVE_LOW 0x3u
#define ACPI_INTI_TRIGGER_MASK 0xcu
#define ACPI_INTI_EDGE 0x4u
#define ACPI_INTI_LEVEL 0xcu

struct acpi_madt_local_apic_address {
    struct acpi_madt_entry entry;
    le16 reserved;
    le64 address;
};
_Static_assert(sizeof(struct acpi_madt_local_apic_address) == 12, "ACPI 5.2.12.8");

struct acpi_madt_local_x2apic {
    struct acpi_madt_entry entry;
    le16 reserved;
    le32 apic_id;
    le32 flags;
    le32 processor;
};
_Static_assert(sizeof(struct acpi_madt_local_x2apic) == 16, "ACPI 5.2.12.12");

/* PCI Express memory-mapped configuration: PCI Firmware specification 3.0, table 4-2. */
struct acpi_mcfg {
    struct acpi_header header;
    uint8_t reserved[8];
};
_Static_assert(sizeof(struct acpi_mcfg) == 44, "PCI Firmware 4.1.2");
struct acpi_mcfg_entry {
    le64 base; /* of bus 0, also where the segment starts at another bus */
    le16 segment;
    uint8_t bus_start;
    uint8_t bus_end;
    le32 reserved;
};
_Static_assert(sizeof(struct acpi_mcfg_entry) == 16, "PCI Firmware table 4-3");

/* IA-PC HPET specification 1.0a, section 3.2.4. */
struct acpi_hpet {
    struct acpi_header header;
    le32 block;
    struct acpi_address address;
    uint8_t number;
    le16 minimum_tick;
    uint8_t flags;
};
_Static_assert(sizeof(struct acpi_hpet) == 56, "HPET 3.2.4");

/* ACPI Machine Language, section 20.2: the few encodings of a package of integers. */
#define ACPI_AML_ZERO 0x00u
#define ACPI_AML_ONE 0x01u
#define ACPI_AML_NAME 0x08u
#define ACPI_AML_BYTE 0x0au
#define ACPI_AML_WORD 0x0bu
#define ACPI_AML_DWORD 0x0cu
#define ACPI_AML_PACKAGE 0x12u
#define ACPI_AML_ONES 0xffu

#endif
