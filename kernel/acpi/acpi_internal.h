/* SPDX-License-Identifier: Apache-2.0 */
/* Shared between the files of this room. */
#ifndef KERNEL_ACPI_ACPI_INTERNAL_H
#define KERNEL_ACPI_ACPI_INTERNAL_H

#include "base/status.h"
#include "kernel/acpi/acpi_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses the MADT; no MADT leaves the platform empty. NO_MEMORY. */
enum status acpi_madt_parse(void);

/* Copies the table at a physical address if it is sound (length, checksum) and adds it. CORRUPT,
 * NO_MEMORY. */
enum status acpi_table_add(uint64_t physical);

/* The fixed description table, padded with zeros where firmware's is older and shorter; NULL if
 * there is none. */
const struct acpi_fadt *acpi_fadt(void);

/* Reads the FADT and \_S5 once the tables are in. */
void acpi_power_parse(void);

/* Searches AML for Name (_S5, Package ...) and takes its first two integers. False if there is
 * none that is well-formed. */
bool acpi_aml_find_s5(const uint8_t *aml, size_t length, uint8_t *type_a, uint8_t *type_b);

#endif
