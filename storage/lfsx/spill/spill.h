/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what grows with a pool, within a budget: bitmaps and arrays in pages of which those
 * used last are in memory and the others on a scratch device. What was never set takes neither.
 *
 * One thread's. Everything may sleep. The first failure is kept in *failure, which must be
 * STATUS_OK at the beginning: NO_MEMORY (not even the budget is there, or it is used up and the
 * scratch device is full or missing), or what the scratch device answers; what was missing is said
 * in the log. From then on, and also when the caller puts a failure of its own there, reads may
 * give zeros and writes may do nothing, so that only loops need to look at it.
 */
#ifndef STORAGE_LFSX_SPILL_SPILL_H
#define STORAGE_LFSX_SPILL_SPILL_H

#include "base/blockdev.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPILL_BUDGET_MIN (64u << 10) /* bytes: less than this is not enough to work in */

struct spill; /* a budget and a scratch device */

/* `budget` in bytes, at least SPILL_BUDGET_MIN; 0: no limit, and the scratch device is not used.
 * `scratch` may be NULL; it is the caller's, for one spill at a time, its content is lost.
 * `failure` must outlive the spill. NO_MEMORY, INVALID (budget; a scratch device that is read-only
 * or has blocks larger than a page). */
enum status spill_open(uint64_t budget, struct blockdev *scratch, enum status *failure,
                       struct spill **spill);
/* All bitmaps and arrays of it were closed. `spill` may be NULL. */
void spill_close(struct spill *spill);
/* Bytes that are in memory now, and the most there ever were; the most that ever were on the
 * scratch device. */
void spill_usage(const struct spill *spill, uint64_t *memory, uint64_t *peak, uint64_t *scratch);

/* ---- a bitmap ---- */

struct spill_bits; /* all zero at the beginning */

/* NULL: no memory, said in *failure. */
struct spill_bits *spill_bits_open(struct spill *spill, uint64_t count);
void spill_bits_close(struct spill_bits *bits); /* may be NULL */
bool spill_bit(struct spill_bits *bits, uint64_t index);
/* What the bit was. */
bool spill_bit_put(struct spill_bits *bits, uint64_t index, bool value);
void spill_bits_put(struct spill_bits *bits, uint64_t index, uint64_t count, bool value);
/* How many of them are set. */
uint64_t spill_bits_count(struct spill_bits *bits, uint64_t index, uint64_t count);
/* The first one at or behind the index that has this value; the count of all if none has. */
uint64_t spill_bits_find(struct spill_bits *bits, uint64_t index, bool value);
/* `count`/64 words of little-endian bits, to compare with or to fill from an allocation map's.
 * Index and count are multiples of 64. */
void spill_bits_read(struct spill_bits *bits, uint64_t index, uint64_t count, void *words);
void spill_bits_write(struct spill_bits *bits, uint64_t index, uint64_t count, const void *words);
void spill_bits_clear(struct spill_bits *bits); /* all; gives back what they took */

/* ---- an array ---- */

struct spill_array;

/* Items of this size, at most a page. NULL: no memory, said in *failure. */
struct spill_array *spill_array_open(struct spill *spill, size_t item_size);
void spill_array_close(struct spill_array *array); /* may be NULL */
uint64_t spill_array_count(const struct spill_array *array);
void spill_array_add(struct spill_array *array, const void *item);
void spill_array_get(struct spill_array *array, uint64_t index, void *item);
void spill_array_put(struct spill_array *array, uint64_t index, const void *item);
/* Keeps this many; none: gives back what they took. */
void spill_array_cut(struct spill_array *array, uint64_t count);
/* Sorts within the budget; stable. Both functions `before` must not use the spill. While it runs,
 * the items are there twice, in memory or on the scratch device. */
void spill_array_sort(struct spill_array *array, bool (*before)(const void *a, const void *b));
/* The first item of a sorted array that is not before the key; the count if there is none. */
uint64_t spill_array_search(struct spill_array *array, const void *key,
                            bool (*before)(const void *item, const void *key));

#endif
