/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting what may be larger than memory: runs as long as a part of the budget are sorted in memory
 * and put back; then as many neighbouring runs at a time as have their page in memory are merged
 * into a second array, until there is one run.
 *
 * Stable: of equal items the one of the earlier run comes first, and runs are merged in order.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/spill/array.h"

#define SHARE 8u           /* of the budget, for a run; its sorting takes two of them */
#define MOST (4ull << 20)  /* bytes of a run, whatever the budget */
#define WAYS_MAX 64u       /* runs merged at once */
#define PAGES_FOR_A_WAY 4u /* with its directories, and what else is in use */

typedef bool is_before(const void *a, const void *b);

/* ---- in memory ---- */

/* Merges [first, middle) and [middle, end) of `from` into `to`, by items. */
static void merge_pair(const char *from, char *to, uint64_t first, uint64_t middle, uint64_t end,
                       size_t size, is_before *before) {
    uint64_t left = first;
    uint64_t right = middle;
    for (uint64_t at = first; at < end; at++) {
        bool take_right =
            left == middle || (right < end && before(from + right * size, from + left * size));
        memcpy(to + at * size, from + (take_right ? right++ : left++) * size, size);
    }
}

/* Returns which of the two it is in, sorted. */
static char *sort_in_memory(char *items, char *other, uint64_t count, size_t size,
                            is_before *before) {
    for (uint64_t length = 1; length < count; length *= 2) {
        for (uint64_t first = 0; first < count; first += 2 * length)
            merge_pair(items, other, first, MATH_MIN(first + length, count),
                       MATH_MIN(first + 2 * length, count), size, before);
        char *swapped = items;
        items = other;
        other = swapped;
    }
    return items;
}

static void sort_run(struct spill_array *array, uint64_t first, uint64_t end, char *memory,
                     uint64_t run, is_before *before) {
    size_t size = array->item_size;
    for (uint64_t i = first; i < end; i++)
        spill_array_get(array, i, memory + (i - first) * size);
    char *sorted = sort_in_memory(memory, memory + run * size, end - first, size, before);
    for (uint64_t i = first; i < end; i++)
        spill_array_put(array, i, sorted + (i - first) * size);
}

/* Items of a run. */
static uint64_t run_length(const struct spill_array *array) {
    uint64_t budget = array->pages->spill->budget;
    uint64_t bytes = budget == 0 ? MOST : MATH_MIN(budget / SHARE, MOST);
    return MATH_MIN(bytes / array->item_size, array->count);
}

static void sort_runs(struct spill_array *array, uint64_t run, is_before *before) {
    struct spill *spill = array->pages->spill;
    uint64_t bytes = 2 * run * array->item_size;
    char *memory = spill_alloc(spill, bytes);
    if (memory == NULL)
        return;
    for (uint64_t first = 0; first < array->count && !spill_failed(spill); first += run)
        sort_run(array, first, MATH_MIN(first + run, array->count), memory, run, before);
    spill_free(spill, memory, bytes);
}

/* ---- merging ---- */

struct way {
    uint64_t next, end; /* in the array; next is the item in `head` */
    char *head;
};

/* A heap of runs that have items left, the one with the first item on top. */
struct merge {
    struct spill_array *from;
    is_before *before;
    struct way ways[WAYS_MAX];
    unsigned count;
};

static bool way_before(const struct merge *merge, const struct way *a, const struct way *b) {
    if (merge->before(a->head, b->head))
        return true;
    return a->next < b->next && !merge->before(b->head, a->head);
}

static void sift(struct merge *merge, unsigned at) {
    struct way *ways = merge->ways;
    while (2 * at + 1 < merge->count) {
        unsigned child = 2 * at + 1;
        if (child + 1 < merge->count && way_before(merge, &ways[child + 1], &ways[child]))
            child++;
        if (!way_before(merge, &ways[child], &ways[at]))
            return;
        struct way swapped = ways[at];
        ways[at] = ways[child];
        ways[child] = swapped;
        at = child;
    }
}

/* Merges the runs that begin in [first, end) to the end of `to`. */
static void merge_runs(struct merge *merge, struct spill_array *to, uint64_t first, uint64_t end,
                       uint64_t run) {
    struct spill_array *from = merge->from;
    merge->count = 0;
    for (; first < end; first += run) {
        struct way *way = &merge->ways[merge->count++];
        way->next = first;
        way->end = MATH_MIN(first + run, end);
        spill_array_get(from, first, way->head);
    }
    for (unsigned i = merge->count / 2; i-- > 0;)
        sift(merge, i);
    while (merge->count > 0 && !spill_failed(from->pages->spill)) {
        struct way *top = &merge->ways[0];
        spill_array_add(to, top->head);
        if (++top->next < top->end) {
            spill_array_get(from, top->next, top->head);
        } else { /* its head must stay among the ways: the next merge uses it again */
            struct way ended = *top;
            *top = merge->ways[--merge->count];
            merge->ways[merge->count] = ended;
        }
        sift(merge, 0);
    }
}

static void swap(struct spill_array *a, struct spill_array *b) {
    struct spill_array swapped = *a;
    *a = *b;
    *b = swapped;
}

/* One pass: afterwards runs are longer by the factor `ways`. */
static void merge_all(struct merge *merge, struct spill_array *other, uint64_t run, unsigned ways) {
    struct spill_array *array = merge->from;
    uint64_t stride = run * ways; /* run < count, and ways are few: no overflow in any memory */
    for (uint64_t first = 0; first < array->count && !spill_failed(array->pages->spill);
         first += stride)
        merge_runs(merge, other, first, MATH_MIN(first + stride, array->count), run);
    if (!spill_failed(array->pages->spill))
        swap(array, other);
    spill_array_cut(other, 0);
}

static unsigned count_ways(const struct spill *spill) {
    uint64_t pages = spill->budget / OS_PAGE_SIZE / PAGES_FOR_A_WAY;
    return spill->budget == 0 || pages > WAYS_MAX ? WAYS_MAX : (unsigned)pages;
}

static void merge_passes(struct spill_array *array, struct spill_array *other, uint64_t run,
                         is_before *before) {
    struct spill *spill = array->pages->spill;
    unsigned ways = count_ways(spill);
    uint64_t bytes = sizeof(struct merge) + ways * array->item_size;
    struct merge *merge = spill_alloc(spill, bytes);
    if (merge == NULL)
        return;
    merge->from = array;
    merge->before = before;
    for (unsigned i = 0; i < ways; i++)
        merge->ways[i].head = (char *)(merge + 1) + i * array->item_size;
    for (; run < array->count && !spill_failed(spill); run *= ways)
        merge_all(merge, other, run, ways);
    spill_free(spill, merge, bytes);
}

void spill_array_sort(struct spill_array *array, is_before *before) {
    struct spill *spill = array->pages->spill;
    if (array->count < 2 || spill_failed(spill))
        return;
    uint64_t run = run_length(array);
    sort_runs(array, run, before);
    if (run >= array->count || spill_failed(spill))
        return;
    struct spill_array *other = spill_array_open(spill, array->item_size);
    if (other == NULL)
        return;
    merge_passes(array, other, run, before);
    spill_array_close(other);
}
