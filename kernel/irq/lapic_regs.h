/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC (Intel SDM volume 3, chapter 11). Register numbers are those of x2APIC mode; in
 * xAPIC mode the same register is 32 bits at number * 16 in the page at IA32_APIC_BASE.
 */
#ifndef KERNEL_IRQ_LAPIC_REGS_H
#define KERNEL_IRQ_LAPIC_REGS_H

#include <stdint.h>

#define LAPIC_MSR_BASE 0x1bu
#define LAPIC_MSR_BASE_ENABLE (1ull << 11)
#define LAPIC_MSR_BASE_X2APIC (1ull << 10)
#define LAPIC_MSR_BASE_ADDRESS 0x000ffffffffff000ull
#define LAPIC_MSR_X2APIC 0x800u
#define LAPIC_LENGTH 0x1000u

#define LAPIC_ID 0x02u
#define LAPIC_TASK_PRIORITY 0x08u
#define LAPIC_EOI 0x0bu
#define LAPIC_SPURIOUS 0x0fu
#define LAPIC_SPURIOUS_ENABLE (1u << 8)
#define LAPIC_ERROR_STATUS 0x28u
#define LAPIC_COMMAND 0x30u
#define LAPIC_COMMAND_HIGH 0x31u /* xAPIC only: destination in bits 24 to 31 */
#define LAPIC_COMMAND_FIXED (0u << 8)
#define LAPIC_COMMAND_NMI (4u << 8)
#define LAPIC_COMMAND_INIT (5u << 8)
#define LAPIC_COMMAND_STARTUP (6u << 8)
#define LAPIC_COMMAND_PENDING (1u << 12)
#define LAPIC_COMMAND_ASSERT (1u << 14)
#define LAPIC_COMMAND_OTHERS (3u << 18)
#define LAPIC_LVT_TIMER 0x32u
#define LAPIC_LVT_LINT0 0x35u
#define LAPIC_LVT_LINT1 0x36u
#define LAPIC_LVT_ERROR 0x37u
#define LAPIC_LVT_MASKED (1u << 16)
#define LAPIC_LVT_NMI (4u << 8)
#define LAPIC_TIMER_INITIAL 0x38u
#define LAPIC_TIMER_CURRENT 0x39u
#define LAPIC_TIMER_DIVIDE 0x3eu
#define LAPIC_TIMER_DIVIDE_BY_16 0x3u

/* MSI messages (section 11.11): address of an APIC, data with the vector, edge, fixed. */
#define LAPIC_MESSAGE_ADDRESS 0xfee00000u
#define LAPIC_MESSAGE_DESTINATION_SHIFT 12u
#define LAPIC_MESSAGE_ID_MAX 0xffu

#endif
