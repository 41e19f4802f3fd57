/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for kernel/cpu/percpu.h where kernel code runs in a Linux process: see home.h. */
#ifndef KERNEL_CPU_PERCPU_H
#define KERNEL_CPU_PERCPU_H

#include <stdint.h>

uint32_t cpu_index(void);
uint32_t cpu_count(void);

#endif
