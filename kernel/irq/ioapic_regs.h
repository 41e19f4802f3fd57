/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O APIC (Intel ICH9 datasheet, section 13.5) and the legacy 8259 pair (13.4). */
#ifndef KERNEL_IRQ_IOAPIC_REGS_H
#define KERNEL_IRQ_IOAPIC_REGS_H

#include <stdint.h>

/* Byte offsets. */
#define IOAPIC_SELECT 0x00u
#define IOAPIC_WINDOW 0x10u
#define IOAPIC_LENGTH 0x20u

/* Registers behind the window. */
#define IOAPIC_VERSION 0x01u
#define IOAPIC_VERSION_LAST_SHIFT 16u /* bits 16 to 23: the last pin's number */
#define IOAPIC_REDIRECTION 0x10u      /* two registers per pin */
#define IOAPIC_ACTIVE_LOW (1u << 13)
#define IOAPIC_LEVEL (1u << 15)
#define IOAPIC_MASKED (1u << 16)
#define IOAPIC_DESTINATION_SHIFT 24u /* in the upper register */

#define PIC_FIRST_COMMAND 0x20u
#define PIC_FIRST_DATA 0x21u
#define PIC_SECOND_COMMAND 0xa0u
#define PIC_SECOND_DATA 0xa1u
#define PIC_ICW1_CASCADE_ICW4 0x11u
#define PIC_ICW4_8086 0x01u
#define PIC_SECOND_LINE 2u
#define PIC_VECTOR 0x20u /* where a spurious interrupt of a masked pair still arrives */
#define PIC_VECTOR_COUNT 16u

#endif
