/* SPDX-License-Identifier: Apache-2.0 */
/* Tells a person what an address is, from the address alone: it runs inside of panics. */
#include "kernel/boot/image.h"
#include "kernel/mm/layout.h"
#include "kernel/mm/memory.h"
#include "kernel/mm/page_table.h"

static const char *describe_image(uint64_t address) {
    if (address < (uint64_t)kernel_text_start)
        return "below the kernel image";
    if (address < (uint64_t)kernel_text_end)
        return "kernel text";
    if (address < (uint64_t)kernel_rodata_end)
        return "kernel constants";
    if (address >= (uint64_t)boot_stack_guard && address < (uint64_t)boot_stack)
        return "guard page under the boot stack: stack overflow";
    if (address < (uint64_t)kernel_end)
        return "kernel data";
    return "behind the kernel image";
}

static const char *describe_unmapped(uint64_t address) {
    if (address < MEMORY_PAGE_SIZE)
        return "null pointer";
    if (address < 1ull << 47)
        return "lower half, where nothing is mapped";
    if (address < MEMORY_DIRECT_MAP)
        return "not an address at all";
    if (address < MEMORY_DIRECT_MAP + MEMORY_DIRECT_MAP_SIZE)
        return "direct map where there is no memory";
    if (address < LAYOUT_PAGE_ARRAY_END)
        return "page descriptor of what is not usable memory: bad pointer given to free";
    if (address >= LAYOUT_STACKS && address < LAYOUT_STACKS_END)
        return "guard page under a stack: stack overflow";
    return "unused part of the upper half";
}

const char *memory_describe(uint64_t address) {
    uint64_t physical, rights;
    if (address >= IMAGE_BASE)
        return describe_image(address);
    if (!page_table_lookup(address, &physical, &rights))
        return describe_unmapped(address);
    if (address < MEMORY_DIRECT_MAP + MEMORY_DIRECT_MAP_SIZE)
        return rights & PAGE_TABLE_WRITE ? "memory in the direct map"
                                         : "the kernel's text or constants in the direct map";
    if (address < LAYOUT_PAGE_ARRAY_END)
        return "page descriptor";
    if (address < LAYOUT_DEVICES_END)
        return "device registers or firmware table";
    return "thread stack";
}
