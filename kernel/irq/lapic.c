/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: `registers` is NULL exactly in x2APIC mode, where registers are MSRs; it and
 * `timer_scale` are set once by the boot CPU and only read after. All CPUs use the same mode.
 */
#include "kernel/irq/lapic.h"
#include "base/log.h"
#include "kernel/cpu/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/irq/lapic_regs.h"
#include "kernel/mm/memory.h"
#include "kernel/time/clock.h"

#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>

#define CALIBRATION_NS 20000000ull
#define NS_PER_TICK_SHIFT 32

static volatile uint32_t *registers;
static uint64_t timer_scale; /* ticks per nanosecond * 2^32 */

static uint32_t lapic_read(unsigned index) {
    if (registers == NULL)
        return (uint32_t)cpu_read_msr(LAPIC_MSR_X2APIC + index);
    return registers[index * 4];
}

static void lapic_write(unsigned index, uint32_t value) {
    if (registers == NULL)
        cpu_write_msr(LAPIC_MSR_X2APIC + index, value);
    else
        registers[index * 4] = value;
}

enum status lapic_initialize(void) {
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (d & 1u << 9) == 0) {
        log_error("irq", "the processor has no local APIC");
        return STATUS_UNSUPPORTED;
    }
    uint64_t base = cpu_read_msr(LAPIC_MSR_BASE);
    bool x2apic = (c & 1u << 21) != 0;
    if (!x2apic) {
        registers = memory_map_device(base & LAPIC_MSR_BASE_ADDRESS, LAPIC_LENGTH);
        if (registers == NULL)
            return STATUS_NO_MEMORY;
    }
    log_info("irq", "local APIC in %s mode", x2apic ? "x2APIC" : "xAPIC");
    return STATUS_OK;
}

void lapic_enable(void) {
    /* x2APIC can only be entered from xAPIC mode: the two bits are set one after the other. */
    uint64_t base = cpu_read_msr(LAPIC_MSR_BASE) | LAPIC_MSR_BASE_ENABLE;
    cpu_write_msr(LAPIC_MSR_BASE, base);
    if (registers == NULL)
        cpu_write_msr(LAPIC_MSR_BASE, base | LAPIC_MSR_BASE_X2APIC);
    lapic_write(LAPIC_TASK_PRIORITY, 0);
    lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | IRQ_VECTOR_TIMER);
    lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LAPIC_LVT_NMI);
    lapic_write(LAPIC_LVT_ERROR, IRQ_VECTOR_LOCAL_ERROR);
    lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIVIDE_BY_16);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_write(LAPIC_SPURIOUS, LAPIC_SPURIOUS_ENABLE | IRQ_VECTOR_SPURIOUS);
}

uint32_t lapic_id(void) {
    uint32_t id = lapic_read(LAPIC_ID);
    return registers == NULL ? id : id >> 24;
}

void lapic_eoi(void) {
    lapic_write(LAPIC_EOI, 0);
}

uint32_t lapic_errors(void) {
    lapic_write(LAPIC_ERROR_STATUS, 0); /* a write latches what happened since the last */
    return lapic_read(LAPIC_ERROR_STATUS);
}

static void send_command(uint32_t apic_id, uint32_t command) {
    uint64_t flags = cpu_interrupts_disable();
    if (registers == NULL) {
        __asm__ volatile("mfence; lfence" ::: "memory"); /* section 11.12.3: WRMSR does not wait */
        cpu_write_msr(LAPIC_MSR_X2APIC + LAPIC_COMMAND, (uint64_t)apic_id << 32 | command);
    } else {
        while (lapic_read(LAPIC_COMMAND) & LAPIC_COMMAND_PENDING)
            cpu_pause();
        lapic_write(LAPIC_COMMAND_HIGH, apic_id << 24);
        lapic_write(LAPIC_COMMAND, command);
    }
    cpu_interrupts_restore(flags);
}

void lapic_send(uint32_t apic_id, uint8_t vector) {
    send_command(apic_id, LAPIC_COMMAND_FIXED | LAPIC_COMMAND_ASSERT | vector);
}

void lapic_send_nmi_to_others(void) {
    send_command(0, LAPIC_COMMAND_NMI | LAPIC_COMMAND_ASSERT | LAPIC_COMMAND_OTHERS);
}

void lapic_send_init(uint32_t apic_id) {
    send_command(apic_id, LAPIC_COMMAND_INIT | LAPIC_COMMAND_ASSERT);
}

void lapic_send_startup(uint32_t apic_id, uint8_t page) {
    send_command(apic_id, LAPIC_COMMAND_STARTUP | LAPIC_COMMAND_ASSERT | page);
}

static void calibrate(void) {
    uint64_t flags = cpu_interrupts_disable();
    lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);
    uint64_t start = clock_now_ns();
    uint32_t first = lapic_read(LAPIC_TIMER_CURRENT);
    clock_delay_ns(CALIBRATION_NS);
    uint32_t ticks = first - lapic_read(LAPIC_TIMER_CURRENT);
    uint64_t passed = clock_now_ns() - start;
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    cpu_interrupts_restore(flags);
    timer_scale = ((uint64_t)ticks << NS_PER_TICK_SHIFT) / passed;
    log_info("irq", "local APIC timer: %llu kHz",
             (unsigned long long)((timer_scale * 1000000) >> NS_PER_TICK_SHIFT));
}

void lapic_timer_start(void) {
    if (timer_scale == 0)
        calibrate();
    lapic_write(LAPIC_LVT_TIMER, IRQ_VECTOR_TIMER);
}

void lapic_timer_arm(uint64_t nanoseconds) {
    unsigned __int128 ticks = ((unsigned __int128)nanoseconds * timer_scale >> NS_PER_TICK_SHIFT);
    ticks += 1; /* a count of 0 would stop the timer */
    lapic_write(LAPIC_TIMER_INITIAL, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}
