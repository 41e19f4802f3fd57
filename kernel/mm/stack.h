/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/mm: what lies in the stacks' part of the address space. */
#ifndef KERNEL_MM_STACK_H
#define KERNEL_MM_STACK_H

#include <stdint.h>

/* Bytes of all stacks, in use or kept. */
uint64_t stack_bytes(void);

#endif
