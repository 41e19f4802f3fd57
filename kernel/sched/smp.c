/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the other processors (Intel SDM volume 3, section 9.4.4). Invariants: CPUs are started
 * one at a time, by the boot CPU; one that runs threads has set `sched` in its structure. After one
 * that did not come up no other is tried, because it may still come, late, and read what belongs to
 * the next.
 */
#include "base/log.h"
#include "base/os.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/panic.h"
#include "kernel/cpu/percpu.h"
#include "kernel/irq/irq.h"
#include "kernel/irq/lapic.h"
#include "kernel/sched/sched.h"
#include "kernel/time/timer.h"

#define INIT_NS 10000000ull
#define STARTUP_NS 1000000ull
#define PATIENCE_NS 1000000000ull

static bool stopping; /* atomic: a panic wants all CPUs to stand still */

static bool stop_on_nmi(struct cpu_trap_frame *frame) {
    (void)frame;
    while (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
        __asm__ volatile("cli; hlt");
    return false;
}

static void stop_others(void) {
    __atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
    lapic_send_nmi_to_others();
}

/* The first code of a CPU: interrupts off, on its own stack. */
static void cpu_entry(void) {
    irq_initialize_cpu();
    if (timer_initialize_cpu() != STATUS_OK) {
        log_error("sched", "no memory for CPU %u's timers: it stays unused", cpu_index());
        return;
    }
    sched_run_cpu();
}

static bool is_running(const struct cpu *cpu) {
    return __atomic_load_n(&cpu->sched, __ATOMIC_ACQUIRE) != NULL;
}

static bool wait_until_running(const struct cpu *cpu, uint64_t nanoseconds) {
    uint64_t deadline = os_now_ns() + nanoseconds;
    while (!is_running(cpu) && os_now_ns() < deadline)
        os_sleep_ns(STARTUP_NS / 10);
    return is_running(cpu);
}

static enum status start(uint32_t apic_id) {
    struct cpu *cpu;
    uint8_t page;
    enum status status = cpu_create(apic_id, &cpu);
    if (status == STATUS_OK)
        status = cpu_start_prepare(cpu, cpu_entry, &page);
    if (status != STATUS_OK)
        return status;
    lapic_send_init(apic_id);
    os_sleep_ns(INIT_NS);
    lapic_send_startup(apic_id, page);
    if (wait_until_running(cpu, STARTUP_NS))
        return STATUS_OK;
    lapic_send_startup(apic_id, page);
    return wait_until_running(cpu, PATIENCE_NS) ? STATUS_OK : STATUS_TIMEOUT;
}

enum status sched_start_cpus(void) {
    const struct acpi_platform *platform = acpi_platform();
    uint32_t boot_apic_id = cpu_get(0)->apic_id;
    enum status status = STATUS_OK;
    trap_set_nmi_handler(stop_on_nmi);
    panic_set_stop_others(stop_others);
    for (size_t i = 0; i < platform->cpu_count && status == STATUS_OK; i++) {
        if (platform->cpus[i].apic_id == boot_apic_id)
            continue;
        status = start(platform->cpus[i].apic_id);
        if (status != STATUS_OK)
            log_error("sched",
                      "the CPU with APIC identifier %u does not start (%s): running with %u",
                      platform->cpus[i].apic_id, status_text(status), (unsigned)i);
    }
    log_info("sched", "CPUs: %u", cpu_count());
    return status;
}
