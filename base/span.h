/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of memory. Arrays of them describe scattered buffers to devices and streams. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stddef.h>

struct span {
    void *base;
    size_t length; /* bytes */
};

#endif
