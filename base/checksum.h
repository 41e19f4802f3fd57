/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 (the xxHash specification, "XXH64 algorithm description"): the one checksum of LFSX, for
 * data blocks and for nodes.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of length bytes; any alignment; any context. */
uint64_t checksum_xxh64(const void *data, size_t length, uint64_t seed);

#endif
