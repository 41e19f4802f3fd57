/* SPDX-License-Identifier: Apache-2.0 */
/* Shared between the files of this room. */
#ifndef KERNEL_TIME_TIME_INTERNAL_H
#define KERNEL_TIME_TIME_INTERNAL_H

#include <stdint.h>

/* Seconds since 1970-01-01 UTC by the CMOS clock, which is taken to run on UTC; 0 if what it says
 * is no date. */
uint64_t rtc_read_seconds(void);

#endif
