/* SPDX-License-Identifier: Apache-2.0 */
/* Without the exception switched on, a machine check resets the machine without a word. */
#include "kernel/cpu/machine_check.h"

#include "base/format.h"
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/machine_check_regs.h"

static uint32_t features(void) {
    uint32_t a = 1;
    uint32_t b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return d;
}

static uint32_t bank_count(void) {
    if (!(features() & MACHINE_CHECK_CPUID_ARCHITECTURE))
        return 0;
    return cpu_read_msr(MSR_MACHINE_CHECK_CAPABILITY) & MACHINE_CHECK_CAPABILITY_BANKS;
}

void machine_check_enable(void) {
    if (!(features() & MACHINE_CHECK_CPUID_EXCEPTION))
        return;
    uint32_t banks = bank_count();
    if (banks > 0 &&
        (cpu_read_msr(MSR_MACHINE_CHECK_CAPABILITY) & MACHINE_CHECK_CAPABILITY_CONTROL))
        cpu_write_msr(MSR_MACHINE_CHECK_CONTROL, UINT64_MAX);
    for (uint32_t i = 0; i < banks; i++) {
        cpu_write_msr(MSR_MACHINE_CHECK_BANK_CONTROL(i), UINT64_MAX);
        cpu_write_msr(MSR_MACHINE_CHECK_BANK_STATUS(i), 0);
    }
    uint64_t cr4;
    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("movq %0, %%cr4" ::"r"(cr4 | MACHINE_CHECK_CR4) : "memory");
}

void machine_check_describe(char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0, banks = bank_count(); i < banks && at < size; i++) {
        uint64_t status = cpu_read_msr(MSR_MACHINE_CHECK_BANK_STATUS(i));
        if (!(status & MACHINE_CHECK_STATUS_VALID))
            continue;
        at += format_text(out + at, size - at, "; bank %u status 0x%016lx", i, status);
        if ((status & MACHINE_CHECK_STATUS_ADDRESS) && at < size)
            at += format_text(out + at, size - at, " address 0x%lx",
                              cpu_read_msr(MSR_MACHINE_CHECK_BANK_ADDRESS(i)));
    }
}
