/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own function names, embedded by the second pass of the link. */
#ifndef KERNEL_CPU_SYMBOLS_H
#define KERNEL_CPU_SYMBOLS_H

#include <stdint.h>

/* The function that holds the address, and how far into it; NULL outside of the text. Any context.
 */
const char *symbols_find(uint64_t address, uint64_t *offset);

#endif
