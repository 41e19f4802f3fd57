/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/boot and kernel/cpu: the page below 1 MiB where further CPUs begin. */
#ifndef KERNEL_CPU_STARTUP_H
#define KERNEL_CPU_STARTUP_H

/* Takes the page while the early allocator is open. Without one there is one CPU. */
void startup_reserve_page(void);

#endif
