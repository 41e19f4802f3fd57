/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what a Multiboot 1 loader handed over. Boot only, while the first 4 GiB are mapped. */
#ifndef KERNEL_BOOT_MULTIBOOT_H
#define KERNEL_BOOT_MULTIBOOT_H

#include "kernel/boot/memory_map.h"

struct multiboot_info;

/* The information block, NULL if this loader did not give one that makes sense. */
const struct multiboot_info *multiboot_validate(uint32_t magic, uint32_t address);

/* A memory_map_source; `loader` is the information block. */
void multiboot_memory(const void *loader, memory_map_visit *visit, void *context);

/* "" if there is none. In the loader's memory. */
const char *multiboot_command_line(const struct multiboot_info *info);

#endif
