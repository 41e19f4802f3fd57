/* SPDX-License-Identifier: Apache-2.0 */
/* The start of os.h's memory. */
#ifndef KERNEL_OS_OS_MEMORY_H
#define KERNEL_OS_OS_MEMORY_H

/* Boot CPU, once, after memory. Before, os_alloc works but asks no cache to shrink. */
void os_memory_initialize(void);

#endif
