/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the HPET (IA-PC HPET specification 1.0a, section 2.3), of the 8254 timer's channel 2
 * (Intel ICH9 datasheet, section 13.3) and of the CMOS clock (MC146818A data sheet).
 */
#ifndef KERNEL_TIME_TIME_REGS_H
#define KERNEL_TIME_TIME_REGS_H

#include <stdint.h>

/* Byte offsets of 32-bit registers. */
#define HPET_PERIOD 0x04u /* femtoseconds per tick: the upper half of the capabilities */
#define HPET_CONFIGURATION 0x10u
#define HPET_COUNTER 0xf0u
#define HPET_LENGTH 0x400u
#define HPET_CONFIGURATION_ENABLE (1u << 0)
#define HPET_PERIOD_MAX 0x05f5e100u /* section 2.3.4 */

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42u
#define PIT_COMMAND 0x43u
#define PIT_COMMAND_CHANNEL2_ONE_SHOT 0xb0u /* low byte then high byte, mode 0, binary */
#define PIT_GATE 0x61u
#define PIT_GATE_ENABLE (1u << 0)
#define PIT_GATE_SPEAKER (1u << 1)
#define PIT_GATE_OUTPUT (1u << 5)

#define CMOS_INDEX 0x70u
#define CMOS_DATA 0x71u
#define CMOS_SECOND 0x00u
#define CMOS_MINUTE 0x02u
#define CMOS_HOUR 0x04u
#define CMOS_DAY 0x07u
#define CMOS_MONTH 0x08u
#define CMOS_YEAR 0x09u
#define CMOS_STATUS_A 0x0au
#define CMOS_STATUS_B 0x0bu
#define CMOS_STATUS_A_UPDATING (1u << 7)
#define CMOS_STATUS_B_24_HOURS (1u << 1)
#define CMOS_STATUS_B_BINARY (1u << 2)
#define CMOS_HOUR_AFTERNOON 0x80u

#endif
