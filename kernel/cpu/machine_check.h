/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/cpu: what the processor says about its own errors and those of memory. */
#ifndef KERNEL_CPU_MACHINE_CHECK_H
#define KERNEL_CPU_MACHINE_CHECK_H

#include <stddef.h>

/* Lets the CPU that runs this raise the exception, where it can. */
void machine_check_enable(void);

/* What this CPU's banks report, as text; "" if none does. In the exception. */
void machine_check_describe(char *out, size_t size);

#endif
