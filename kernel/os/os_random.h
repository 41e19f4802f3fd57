/* SPDX-License-Identifier: Apache-2.0 */
/* The start of os_random(), and what it is worth on this machine. */
#ifndef KERNEL_OS_OS_RANDOM_H
#define KERNEL_OS_OS_RANDOM_H

#include <stdbool.h>

/* Gathers the first key. Boot CPU, once, after the clock. */
void os_random_initialize(void);

/* Whether the processor gives entropy of its own; without, nothing long-lived and secret should be
 * made of os_random() alone. Any context. */
bool os_random_is_strong(void);

#endif
