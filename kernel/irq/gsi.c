/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global system interrupts: which vector each pin in use has. Invariants: a pin is routed once,
 * with its first handler; later handlers join the same vector. Pins stay routed. The list is
 * guarded by gsi_mutex, which is taken before any lock of irq.c and ioapic.c.
 */
#include "base/log.h"
#include "base/os.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/percpu.h"
#include "kernel/irq/ioapic.h"
#include "kernel/irq/irq_internal.h"
#include "kernel/mm/memory.h"

#include <stddef.h>

#define ISA_COUNT 16u

struct gsi {
    struct gsi *next;
    uint32_t number;
    uint8_t vector;
    bool level;
};

static struct os_mutex gsi_mutex;
static struct gsi *gsis;

void gsi_initialize(void) {
    os_mutex_init(&gsi_mutex);
}

static void gsi_mask(void *context, bool masked) {
    const struct gsi *gsi = context;
    ioapic_mask(gsi->number, masked);
}

static enum status gsi_join(struct gsi *gsi, bool level, const char *name, irq_handler *handler,
                            void *context) {
    if (gsi->level != level)
        log_warning("irq", "GSI %u: %s wants another trigger than its first user; kept",
                    gsi->number, name);
    return irq_action_add(gsi->vector, name, handler, context);
}

static enum status gsi_route(uint32_t number, bool level, bool active_low, const char *name,
                             irq_handler *handler, void *context) {
    struct gsi *gsi = kmalloc(sizeof *gsi);
    if (gsi == NULL)
        return STATUS_NO_MEMORY;
    *gsi = (struct gsi){.next = gsis, .number = number, .level = level};
    enum status status = irq_vector_register(name, handler, context, &gsi->vector);
    if (status != STATUS_OK) {
        kfree(gsi);
        return status;
    }
    irq_vector_set_mask(gsi->vector, gsi_mask, gsi);
    gsis = gsi;
    ioapic_route(number, gsi->vector, cpu_get(0)->apic_id, level, active_low);
    return STATUS_OK;
}

enum status irq_gsi_register_as(uint32_t gsi, bool level, bool active_low, const char *name,
                                irq_handler *handler, void *context) {
    if (!ioapic_has(gsi)) {
        log_error("irq", "%s: no I/O APIC has GSI %u", name, gsi);
        return STATUS_UNSUPPORTED;
    }
    os_mutex_lock(&gsi_mutex);
    struct gsi *found = gsis;
    while (found != NULL && found->number != gsi)
        found = found->next;
    enum status status = found != NULL ? gsi_join(found, level, name, handler, context)
                                       : gsi_route(gsi, level, active_low, name, handler, context);
    os_mutex_unlock(&gsi_mutex);
    return status;
}

static const struct acpi_override *override_of_source(uint32_t source) {
    const struct acpi_platform *platform = acpi_platform();
    for (size_t i = 0; i < platform->override_count; i++)
        if (platform->overrides[i].source == source)
            return &platform->overrides[i];
    return NULL;
}

static const struct acpi_override *override_of_gsi(uint32_t gsi) {
    const struct acpi_platform *platform = acpi_platform();
    for (size_t i = 0; i < platform->override_count; i++)
        if (platform->overrides[i].gsi == gsi)
            return &platform->overrides[i];
    return NULL;
}

enum status irq_gsi_register(uint32_t gsi, const char *name, irq_handler *handler, void *context) {
    const struct acpi_override *override = override_of_gsi(gsi);
    bool level = override != NULL ? override->level : gsi >= ISA_COUNT;
    bool active_low = override != NULL ? override->active_low : gsi >= ISA_COUNT;
    return irq_gsi_register_as(gsi, level, active_low, name, handler, context);
}

enum status irq_isa_register(uint8_t isa_irq, const char *name, irq_handler *handler,
                             void *context) {
    const struct acpi_override *override = override_of_source(isa_irq);
    if (override != NULL)
        return irq_gsi_register_as(override->gsi, override->level, override->active_low, name,
                                   handler, context);
    return irq_gsi_register_as(isa_irq, false, false, name, handler, context);
}

enum status irq_sci_register(uint32_t interrupt, const char *name, irq_handler *handler,
                             void *context) {
    const struct acpi_override *override = override_of_source(interrupt);
    if (override != NULL)
        return irq_gsi_register_as(override->gsi, override->level, override->active_low, name,
                                   handler, context);
    return irq_gsi_register_as(interrupt, true, true, name, handler, context);
}
