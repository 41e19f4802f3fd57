/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from the boot loader to kernel_main(). When kernel_main() starts there are: the serial
 * console and the log, exception handlers, the memory map, the command line. It runs on the boot
 * stack with interrupts off; what comes next is its composition.
 */
#ifndef KERNEL_BOOT_BOOT_H
#define KERNEL_BOOT_BOOT_H

#include <stdint.h>

/* Called by entry.S with what the loader left in EAX and EBX. */
_Noreturn void boot_start(uint32_t magic, uint32_t information);

/* kernel/main.c provides it. */
_Noreturn void kernel_main(void);

#endif
