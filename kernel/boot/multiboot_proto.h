/* SPDX-License-Identifier: Apache-2.0 */
/* What a Multiboot 1 loader hands over (Multiboot Specification 0.6.96, section 3.3). */
#ifndef KERNEL_BOOT_MULTIBOOT_PROTO_H
#define KERNEL_BOOT_MULTIBOOT_PROTO_H

#include "base/endian.h"

#include <stddef.h>

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u

#define MULTIBOOT_INFO_MEMORY 0x001u
#define MULTIBOOT_INFO_COMMAND_LINE 0x004u
#define MULTIBOOT_INFO_MODULES 0x008u
#define MULTIBOOT_INFO_MEMORY_MAP 0x040u
#define MULTIBOOT_INFO_LOADER_NAME 0x200u

struct multiboot_info {
    le32 flags;
    le32 memory_lower; /* KiB from 0 */
    le32 memory_upper; /* KiB from 1 MiB */
    le32 boot_device;
    le32 command_line; /* physical address of a NUL-terminated text */
    le32 modules_count;
    le32 modules_address;
    le32 symbols[4];
    le32 memory_map_length; /* bytes */
    le32 memory_map_address;
    le32 drives_length;
    le32 drives_address;
    le32 config_table;
    le32 loader_name;
};
_Static_assert(sizeof(struct multiboot_info) == 68, "Multiboot 1, 3.3");
_Static_assert(offsetof(struct multiboot_info, memory_map_length) == 44, "Multiboot 1, 3.3");

struct multiboot_module {
    le32 start;
    le32 end;
    le32 text;
    le32 reserved;
};
_Static_assert(sizeof(struct multiboot_module) == 16, "Multiboot 1, 3.3");

/* `size` counts the bytes behind itself: the next entry is at size + 4. */
struct multiboot_memory {
    le32 size;
    le64 address;
    le64 length;
    le32 type;
};
_Static_assert(sizeof(struct multiboot_memory) == 24, "Multiboot 1, 3.3");

#define MULTIBOOT_MEMORY_USABLE 1u
#define MULTIBOOT_MEMORY_ACPI_RECLAIMABLE 3u
#define MULTIBOOT_MEMORY_ACPI_NVS 4u
#define MULTIBOOT_MEMORY_DEFECTIVE 5u

#endif
