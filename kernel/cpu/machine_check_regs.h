/* SPDX-License-Identifier: Apache-2.0 */
/* Machine-check architecture (Intel SDM volume 3, chapter 16). */
#ifndef KERNEL_CPU_MACHINE_CHECK_REGS_H
#define KERNEL_CPU_MACHINE_CHECK_REGS_H

#define MACHINE_CHECK_CR4 (1ull << 6)
#define MACHINE_CHECK_CPUID_EXCEPTION (1u << 7)     /* leaf 1, EDX */
#define MACHINE_CHECK_CPUID_ARCHITECTURE (1u << 14) /* leaf 1, EDX */

#define MSR_MACHINE_CHECK_CAPABILITY 0x179u
#define MSR_MACHINE_CHECK_STATUS 0x17au
#define MSR_MACHINE_CHECK_CONTROL 0x17bu
#define MACHINE_CHECK_CAPABILITY_BANKS 0xffu
#define MACHINE_CHECK_CAPABILITY_CONTROL (1u << 8)

#define MSR_MACHINE_CHECK_BANK_CONTROL(bank) (0x400u + 4 * (bank))
#define MSR_MACHINE_CHECK_BANK_STATUS(bank) (0x401u + 4 * (bank))
#define MSR_MACHINE_CHECK_BANK_ADDRESS(bank) (0x402u + 4 * (bank))
#define MACHINE_CHECK_STATUS_VALID (1ull << 63)
#define MACHINE_CHECK_STATUS_ADDRESS (1ull << 58)

#endif
