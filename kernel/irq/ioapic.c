/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: the array of I/O APICs is made once by the boot CPU and only read after. The select
 * and window registers of one are used under its lock.
 */
#include "kernel/irq/ioapic.h"
#include "base/assert.h"
#include "base/log.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/irq/ioapic_regs.h"
#include "kernel/mm/memory.h"

#include <stddef.h>

struct ioapic {
    struct spinlock lock; /* guards the registers */
    volatile uint32_t *registers;
    uint32_t first; /* GSI of pin 0 */
    uint32_t count; /* pins */
};

static struct ioapic *ioapics;
static size_t ioapic_count;

static uint32_t window_read(struct ioapic *ioapic, unsigned index) {
    ioapic->registers[IOAPIC_SELECT / 4] = index;
    return ioapic->registers[IOAPIC_WINDOW / 4];
}

static void window_write(struct ioapic *ioapic, unsigned index, uint32_t value) {
    ioapic->registers[IOAPIC_SELECT / 4] = index;
    ioapic->registers[IOAPIC_WINDOW / 4] = value;
}

static struct ioapic *ioapic_find(uint32_t gsi) {
    for (size_t i = 0; i < ioapic_count; i++)
        if (gsi >= ioapics[i].first && gsi - ioapics[i].first < ioapics[i].count)
            return &ioapics[i];
    return NULL;
}

/* The pair is given vectors away from the exceptions, because a masked one can still send the
 * spurious interrupts 7 and 15. */
static void pic_mask(void) {
    cpu_out8(PIC_FIRST_COMMAND, PIC_ICW1_CASCADE_ICW4);
    cpu_out8(PIC_SECOND_COMMAND, PIC_ICW1_CASCADE_ICW4);
    cpu_out8(PIC_FIRST_DATA, PIC_VECTOR);
    cpu_out8(PIC_SECOND_DATA, PIC_VECTOR + 8);
    cpu_out8(PIC_FIRST_DATA, 1u << PIC_SECOND_LINE);
    cpu_out8(PIC_SECOND_DATA, PIC_SECOND_LINE);
    cpu_out8(PIC_FIRST_DATA, PIC_ICW4_8086);
    cpu_out8(PIC_SECOND_DATA, PIC_ICW4_8086);
    cpu_out8(PIC_FIRST_DATA, 0xff);
    cpu_out8(PIC_SECOND_DATA, 0xff);
}

static enum status ioapic_add(const struct acpi_io_apic *found) {
    struct ioapic ioapic = {.first = found->gsi_base};
    ioapic.registers = memory_map_device(found->address, IOAPIC_LENGTH);
    if (ioapic.registers == NULL)
        return STATUS_NO_MEMORY;
    ioapic.count = ((window_read(&ioapic, IOAPIC_VERSION) >> IOAPIC_VERSION_LAST_SHIFT) & 0xff) + 1;
    for (uint32_t pin = 0; pin < ioapic.count; pin++)
        window_write(&ioapic, IOAPIC_REDIRECTION + pin * 2, IOAPIC_MASKED);
    ioapics[ioapic_count++] = ioapic;
    log_info("irq", "I/O APIC: GSI %u to %u", ioapic.first, ioapic.first + ioapic.count - 1);
    return STATUS_OK;
}

enum status ioapic_initialize(void) {
    pic_mask();
    const struct acpi_platform *platform = acpi_platform();
    ioapics = kmalloc((platform->io_apic_count + 1) * sizeof *ioapics);
    if (ioapics == NULL)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < platform->io_apic_count; i++) {
        enum status status = ioapic_add(&platform->io_apics[i]);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

bool ioapic_has(uint32_t gsi) {
    return ioapic_find(gsi) != NULL;
}

void ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low) {
    struct ioapic *ioapic = ioapic_find(gsi);
    ASSERT(ioapic != NULL);
    unsigned index = IOAPIC_REDIRECTION + (gsi - ioapic->first) * 2;
    uint64_t flags = spinlock_lock(&ioapic->lock);
    window_write(ioapic, index, IOAPIC_MASKED);
    window_write(ioapic, index + 1, apic_id << IOAPIC_DESTINATION_SHIFT);
    window_write(ioapic, index,
                 vector | (level ? IOAPIC_LEVEL : 0) | (active_low ? IOAPIC_ACTIVE_LOW : 0));
    spinlock_unlock(&ioapic->lock, flags);
}

void ioapic_mask(uint32_t gsi, bool masked) {
    struct ioapic *ioapic = ioapic_find(gsi);
    ASSERT(ioapic != NULL);
    unsigned index = IOAPIC_REDIRECTION + (gsi - ioapic->first) * 2;
    uint64_t flags = spinlock_lock(&ioapic->lock);
    uint32_t entry = window_read(ioapic, index) & ~IOAPIC_MASKED;
    window_write(ioapic, index, entry | (masked ? IOAPIC_MASKED : 0));
    spinlock_unlock(&ioapic->lock, flags);
}
