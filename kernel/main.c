/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the kernel together: every room is started here, in this order, and nowhere else. */
#include "base/log.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/mm/memory.h"

void kernel_main(void) {
    memory_initialize();
    console_screen_initialize();
    log_info("main", "nothing more to start; waiting");
    for (;;)
        __asm__ volatile("hlt");
}
