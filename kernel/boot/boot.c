/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/boot/boot.h"

#include "base/format.h"
#include "base/log.h"
#include "kernel/boot/command_line.h"
#include "kernel/boot/memory_map.h"
#include "kernel/boot/multiboot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/panic.h"
#include "kernel/cpu/percpu.h"
#include "kernel/cpu/startup.h"

static void log_memory_map(void) {
    size_t count = 0;
    const struct memory_region *regions = memory_map_regions(&count);
    for (size_t i = 0; i < count; i++) {
        char size[FORMAT_BYTES_SIZE];
        log_info("boot", "memory 0x%012lx-0x%012lx %10s %s", regions[i].start, regions[i].end - 1,
                 format_bytes(size, regions[i].end - regions[i].start),
                 memory_kind_name(regions[i].kind));
    }
}

void boot_start(uint32_t magic, uint32_t information) {
    cpu_initialize();
    console_initialize();
    log_info("boot", "Holdfast starts");
    const struct multiboot_info *info = multiboot_validate(magic, information);
    if (info == NULL)
        panic("the boot loader gave no Multiboot information (magic 0x%x, address 0x%x): start "
              "the kernel with a Multiboot 1 loader",
              magic, information);
    if (!memory_map_build(multiboot_memory, info))
        panic("the boot loader's memory map has no usable memory between 1 MiB and 4 GiB");
    startup_reserve_page();
    command_line_set(multiboot_command_line(info));
    log_memory_map();
    log_info("boot", "command line: %s", command_line_text());
    kernel_main();
}
