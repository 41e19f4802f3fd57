/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed hardware: power button, S5 and reset (ACPI 6.5, section 4.8.3). Invariants:
 * - `hardware` is written by acpi_power_parse() alone, before interrupts, and only read after.
 * - The interrupt handler touches the PM1 status registers and the event, nothing else; the
 * button's callback runs in the room's own thread.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "kernel/acpi/acpi.h"
#include "kernel/acpi/acpi_internal.h"
#include "kernel/cpu/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/event.h"

#define ENABLE_TIMEOUT_NS 3000000000ull
#define ENABLE_POLL_NS 1000000ull

static struct {
    bool present; /* there is a FADT with fixed hardware */
    struct acpi_fadt fadt;
    uint16_t event[2];   /* PM1a and PM1b event block, 0: none */
    uint16_t control[2]; /* PM1a and PM1b control block, 0: none */
    uint8_t event_half;  /* bytes from a status to its enable register */
    bool s5_known;
    uint8_t s5_type[2];
} hardware;

static struct {
    struct event pressed;
    void (*callback)(void *context); /* set before the thread starts */
    void *context;
} button;

const struct acpi_fadt *acpi_fadt(void) {
    return hardware.present ? &hardware.fadt : NULL;
}

/* The extended address counts where it is a port and not zero (table 5.9). */
static uint16_t port_of(le32 port, const struct acpi_address *extended) {
    if (extended->space == ACPI_SPACE_PORT && le64_get(extended->address) != 0 &&
        le64_get(extended->address) <= UINT16_MAX)
        return (uint16_t)le64_get(extended->address);
    return le32_get(port) <= UINT16_MAX ? (uint16_t)le32_get(port) : 0;
}

static bool s5_search(const char *signature) {
    size_t length = 0;
    const uint8_t *table;
    for (size_t i = 0; (table = acpi_table_find(signature, i, &length)) != NULL; i++)
        if (acpi_aml_find_s5(table + sizeof(struct acpi_header),
                             length - sizeof(struct acpi_header), &hardware.s5_type[0],
                             &hardware.s5_type[1]))
            return true;
    return false;
}

void acpi_power_parse(void) {
    size_t length = 0;
    const void *table = acpi_table_find("FACP", 0, &length);
    if (table == NULL || length < ACPI_FADT_V1_SIZE) {
        log_error("acpi", "no FADT: the power button, power-off and ACPI reset will not work");
        return;
    }
    struct acpi_fadt *fadt = &hardware.fadt;
    memcpy(fadt, table, length < sizeof *fadt ? length : sizeof *fadt);
    hardware.present = true;
    uint64_t dsdt = le64_get(fadt->x_dsdt) != 0 ? le64_get(fadt->x_dsdt) : le32_get(fadt->dsdt);
    if (dsdt != 0)
        acpi_table_add(dsdt);
    hardware.event[0] = port_of(fadt->pm1a_event, &fadt->x_pm1a_event);
    hardware.event[1] = port_of(fadt->pm1b_event, &fadt->x_pm1b_event);
    hardware.control[0] = port_of(fadt->pm1a_control, &fadt->x_pm1a_control);
    hardware.control[1] = port_of(fadt->pm1b_control, &fadt->x_pm1b_control);
    hardware.event_half = fadt->pm1_event_length / 2;
    hardware.s5_known = s5_search("DSDT") || s5_search("SSDT");
    if (!hardware.s5_known)
        log_warning("acpi", "no \\_S5 in the DSDT or an SSDT: power-off will not work");
}

uint8_t acpi_cmos_century(void) {
    return hardware.present ? hardware.fadt.century : 0;
}

static bool acpi_interrupt(void *context) {
    (void)context;
    bool ours = false;
    for (unsigned i = 0; i < 2; i++) {
        if (hardware.event[i] == 0)
            continue;
        uint16_t status = cpu_in16(hardware.event[i]);
        uint16_t enabled = cpu_in16((uint16_t)(hardware.event[i] + hardware.event_half));
        if ((status & enabled) == 0)
            continue;
        ours = true;
        cpu_out16(hardware.event[i], status & ACPI_PM1_STATUS_ALL);
        if (status & enabled & ACPI_PM1_POWER_BUTTON)
            event_signal(&button.pressed);
    }
    return ours;
}

static void button_thread(void *argument) {
    (void)argument;
    for (;;) {
        event_wait(&button.pressed, OS_FOREVER);
        log_info("acpi", "power button pressed");
        void (*callback)(void *) = __atomic_load_n(&button.callback, __ATOMIC_ACQUIRE);
        if (callback != NULL)
            callback(button.context);
    }
}

void acpi_on_power_button(void (*pressed)(void *context), void *context) {
    button.context = context;
    __atomic_store_n(&button.callback, pressed, __ATOMIC_RELEASE);
}

/* Section 16.3: firmware gives up the hardware when its SMI command port is written. */
static enum status enter_acpi_mode(void) {
    const struct acpi_fadt *fadt = &hardware.fadt;
    uint16_t control = hardware.control[0];
    if (cpu_in16(control) & ACPI_PM1_CONTROL_SCI_ENABLE)
        return STATUS_OK;
    if (le32_get(fadt->smi_command) == 0 || fadt->acpi_enable == 0)
        return STATUS_OK;
    cpu_out8((uint16_t)le32_get(fadt->smi_command), fadt->acpi_enable);
    uint64_t deadline = os_now_ns() + ENABLE_TIMEOUT_NS;
    while ((cpu_in16(control) & ACPI_PM1_CONTROL_SCI_ENABLE) == 0) {
        if (os_now_ns() > deadline)
            return STATUS_TIMEOUT;
        os_sleep_ns(ENABLE_POLL_NS);
    }
    return STATUS_OK;
}

/* General-purpose events need AML methods: nobody would ever clear one. */
static void mask_general_events(uint32_t block, uint8_t length) {
    for (unsigned i = 0; block != 0 && block <= UINT16_MAX && i < length / 2u; i++)
        cpu_out8((uint16_t)(block + length / 2u + i), 0);
}

static void set_fixed_events(uint16_t enabled) {
    for (unsigned i = 0; i < 2; i++) {
        if (hardware.event[i] == 0)
            continue;
        cpu_out16(hardware.event[i], ACPI_PM1_STATUS_ALL);
        cpu_out16((uint16_t)(hardware.event[i] + hardware.event_half), enabled);
    }
}

enum status acpi_start(void) {
    const struct acpi_fadt *fadt = &hardware.fadt;
    if (!hardware.present || hardware.control[0] == 0 || hardware.event[0] == 0 ||
        (le32_get(fadt->flags) & ACPI_FADT_HARDWARE_REDUCED))
        return STATUS_UNSUPPORTED;
    enum status status = enter_acpi_mode();
    if (status != STATUS_OK)
        return status;
    mask_general_events(le32_get(fadt->gpe0), fadt->gpe0_length);
    mask_general_events(le32_get(fadt->gpe1), fadt->gpe1_length);
    set_fixed_events(0);
    event_init(&button.pressed);
    status = os_thread_start(NULL, "acpi", button_thread, NULL);
    if (status != STATUS_OK)
        return status;
    status = irq_sci_register(le16_get(fadt->sci_interrupt), "acpi", acpi_interrupt, NULL);
    if (status != STATUS_OK)
        return status;
    if (le32_get(fadt->flags) & ACPI_FADT_POWER_BUTTON_CONTROL_METHOD)
        log_warning("acpi", "the power button is a control method, which is not supported");
    else
        set_fixed_events(ACPI_PM1_POWER_BUTTON);
    return STATUS_OK;
}

void acpi_power_off(void) {
    uint64_t flags = cpu_interrupts_disable();
    for (unsigned i = 0; hardware.s5_known && i < 2; i++) {
        if (hardware.control[i] == 0)
            continue;
        uint16_t control =
            cpu_in16(hardware.control[i]) &
            (uint16_t) ~(ACPI_PM1_CONTROL_SLEEP_TYPE_MASK | ACPI_PM1_CONTROL_SLEEP_ENABLE);
        control |= (uint16_t)((hardware.s5_type[i] & 7u) << ACPI_PM1_CONTROL_SLEEP_TYPE_SHIFT);
        cpu_out16(hardware.control[i], control);
        cpu_out16(hardware.control[i], control | ACPI_PM1_CONTROL_SLEEP_ENABLE);
    }
    cpu_interrupts_restore(flags);
    uint64_t deadline = os_now_ns() + ENABLE_TIMEOUT_NS;
    while (hardware.s5_known && os_now_ns() < deadline)
        cpu_pause();
    log_error("acpi", "the machine did not switch off: switch it off by hand");
}

static void reset_by_register(void) {
    const struct acpi_fadt *fadt = &hardware.fadt;
    if (!hardware.present || !(le32_get(fadt->flags) & ACPI_FADT_RESET_REGISTER))
        return;
    uint64_t address = le64_get(fadt->reset.address);
    if (fadt->reset.space == ACPI_SPACE_PORT && address <= UINT16_MAX)
        cpu_out8((uint16_t)address, fadt->reset_value);
    if (fadt->reset.space == ACPI_SPACE_MEMORY) {
        volatile uint8_t *reset = memory_map_device(address, 1);
        if (reset != NULL)
            *reset = fadt->reset_value;
    }
}

static void pause_before_next_way(void) {
    for (unsigned i = 0; i < 1000000; i++)
        cpu_pause();
}

_Noreturn void acpi_reset(void) {
    cpu_interrupts_disable();
    reset_by_register();
    pause_before_next_way();
    cpu_out8(0xcf9, 0x02); /* Intel chipsets' reset control register: arm, then full reset */
    cpu_out8(0xcf9, 0x0e);
    pause_before_next_way();
    cpu_out8(0x64, 0xfe); /* the keyboard controller's pulse on the reset line */
    pause_before_next_way();
    static const uint8_t no_table[10]; /* limit and base of an empty descriptor table */
    __asm__ volatile("lidt %0; int3" ::"m"(no_table)); /* a fault without a handler shuts down */
    for (;;)
        cpu_pause();
}
