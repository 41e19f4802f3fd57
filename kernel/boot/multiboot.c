/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's structures are input: every address and length is checked against the memory that is
 * mapped before it is followed, and a wrong one counts as absent.
 */
#include "kernel/boot/multiboot.h"

#include "base/math.h"
#include "base/mem.h"
#include "kernel/boot/image.h"
#include "kernel/boot/multiboot_proto.h"
#include "kernel/mm/memory.h"

/* Longer than any loader passes; an unterminated text ends here. */
#define COMMAND_LINE_LIMIT 0x100000u

static bool flag(const struct multiboot_info *info, uint32_t bit) {
    return (le32_get(info->flags) & bit) != 0;
}

static const void *at(uint64_t physical, uint64_t length) {
    if (physical == 0 || !math_range_inside(physical, length, MEMORY_MAP_EARLY))
        return NULL;
    return memory_virtual(physical);
}

const struct multiboot_info *multiboot_validate(uint32_t magic, uint32_t address) {
    if (magic != MULTIBOOT_LOADER_MAGIC)
        return NULL;
    const struct multiboot_info *info = at(address, sizeof(struct multiboot_info));
    if (info == NULL ||
        !(flag(info, MULTIBOOT_INFO_MEMORY) || flag(info, MULTIBOOT_INFO_MEMORY_MAP)))
        return NULL;
    return info;
}

static size_t command_line_length(const struct multiboot_info *info) {
    uint32_t address = le32_get(info->command_line);
    if (!flag(info, MULTIBOOT_INFO_COMMAND_LINE) || at(address, COMMAND_LINE_LIMIT) == NULL)
        return 0;
    size_t length = strnlen(memory_virtual(address), COMMAND_LINE_LIMIT);
    return length == COMMAND_LINE_LIMIT ? 0 : length;
}

const char *multiboot_command_line(const struct multiboot_info *info) {
    return command_line_length(info) == 0 ? "" : memory_virtual(le32_get(info->command_line));
}

static enum memory_kind kind_of(uint32_t type) {
    switch (type) {
    case MULTIBOOT_MEMORY_USABLE:
        return MEMORY_USABLE;
    case MULTIBOOT_MEMORY_ACPI_RECLAIMABLE:
        return MEMORY_ACPI_RECLAIMABLE;
    case MULTIBOOT_MEMORY_ACPI_NVS:
        return MEMORY_ACPI_NVS;
    case MULTIBOOT_MEMORY_DEFECTIVE:
        return MEMORY_DEFECTIVE;
    default:
        return MEMORY_RESERVED;
    }
}

static void visit_range(memory_map_visit *visit, void *context, uint64_t start, uint64_t length,
                        enum memory_kind kind) {
    if (length > UINT64_MAX - start)
        length = UINT64_MAX - start;
    if (length > 0)
        visit(context, start, start + length, kind);
}

/* False if there is no usable table; then the two old counters have to do. */
static bool visit_table(const struct multiboot_info *info, memory_map_visit *visit, void *context) {
    uint32_t length = le32_get(info->memory_map_length);
    uint64_t address = le32_get(info->memory_map_address);
    if (!flag(info, MULTIBOOT_INFO_MEMORY_MAP) || length == 0)
        return false;
    const unsigned char *table = at(address, length);
    if (table == NULL)
        return false;
    uint64_t offset = 0;
    while (math_range_inside(offset, sizeof(struct multiboot_memory), length)) {
        const struct multiboot_memory *entry = (const void *)(table + offset);
        visit_range(visit, context, le64_get(entry->address), le64_get(entry->length),
                    kind_of(le32_get(entry->type)));
        uint64_t step = (uint64_t)le32_get(entry->size) + sizeof(entry->size);
        if (step < sizeof(struct multiboot_memory))
            break;
        offset += step;
    }
    visit_range(visit, context, address, length, MEMORY_KERNEL);
    return true;
}

static void visit_modules(const struct multiboot_info *info, memory_map_visit *visit,
                          void *context) {
    uint64_t count = le32_get(info->modules_count);
    uint64_t address = le32_get(info->modules_address);
    const struct multiboot_module *modules = at(address, count * sizeof *modules);
    if (!flag(info, MULTIBOOT_INFO_MODULES) || modules == NULL)
        return;
    visit_range(visit, context, address, count * sizeof *modules, MEMORY_KERNEL);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t start = le32_get(modules[i].start);
        uint64_t end = le32_get(modules[i].end);
        if (start < end)
            visit_range(visit, context, start, end - start, MEMORY_KERNEL);
    }
}

void multiboot_memory(const void *loader, memory_map_visit *visit, void *context) {
    const struct multiboot_info *info = loader;
    if (!visit_table(info, visit, context)) {
        visit_range(visit, context, 0, le32_get(info->memory_lower) * 1024ull, MEMORY_USABLE);
        visit_range(visit, context, 0x100000, le32_get(info->memory_upper) * 1024ull,
                    MEMORY_USABLE);
    }
    uint64_t image = (uint64_t)kernel_physical_start;
    visit_range(visit, context, image, (uint64_t)kernel_physical_end - image, MEMORY_KERNEL);
    visit_range(visit, context, (uint64_t)loader - MEMORY_DIRECT_MAP, sizeof *info, MEMORY_KERNEL);
    visit_modules(info, visit, context);
    size_t length = command_line_length(info);
    if (length > 0)
        visit_range(visit, context, le32_get(info->command_line), length + 1, MEMORY_KERNEL);
}
