/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps. A page that was never written is all zeros, and stays unwritten while only zeros are
 * put into it. */
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/spill/spill_internal.h"

#define WORD_BITS 64u
#define PAGE_BITS (OS_PAGE_SIZE * 8u)

struct spill_bits {
    struct spill_pages pages;
    uint64_t count;
};

/* The part of a range that one page has. */
struct part {
    uint64_t page;
    unsigned first, count; /* bits in it */
};

static struct part part_of(uint64_t index, uint64_t count) {
    unsigned first = (unsigned)(index % PAGE_BITS);
    return (struct part){index / PAGE_BITS, first, (unsigned)MATH_MIN(count, PAGE_BITS - first)};
}

/* `count` bits from `first` on in their word; both inside of it. */
static uint64_t mask_of(unsigned first, unsigned count) {
    return (count == WORD_BITS ? UINT64_MAX : (1ull << count) - 1) << first;
}

struct spill_bits *spill_bits_open(struct spill *spill, uint64_t count) {
    struct spill_bits *bits = os_alloc(sizeof *bits);
    if (bits == NULL) {
        spill_fail(spill, STATUS_NO_MEMORY);
        return NULL;
    }
    spill_pages_init(&bits->pages, spill);
    bits->count = count;
    return bits;
}

void spill_bits_close(struct spill_bits *bits) {
    if (bits == NULL)
        return;
    spill_pages_clear(&bits->pages);
    os_free(bits);
}

void spill_bits_clear(struct spill_bits *bits) {
    spill_pages_clear(&bits->pages);
}

bool spill_bit(struct spill_bits *bits, uint64_t index) {
    ASSERT(index < bits->count);
    const uint64_t *words = spill_page(&bits->pages, index / PAGE_BITS, false);
    return words != NULL && (words[index % PAGE_BITS / WORD_BITS] >> index % WORD_BITS & 1) != 0;
}

bool spill_bit_put(struct spill_bits *bits, uint64_t index, bool value) {
    ASSERT(index < bits->count);
    uint64_t bit = 1ull << index % WORD_BITS;
    uint64_t *words = spill_page(&bits->pages, index / PAGE_BITS, value);
    if (words == NULL)
        return false;
    uint64_t *word = &words[index % PAGE_BITS / WORD_BITS];
    bool was = (*word & bit) != 0;
    if (was != value) {
        bits->pages.last->dirty = true;
        *word ^= bit;
    }
    return was;
}

static void put_part(uint64_t *words, const struct part *part, bool value) {
    for (unsigned at = part->first, end = part->first + part->count; at < end;) {
        unsigned first = at % WORD_BITS;
        unsigned count = MATH_MIN(WORD_BITS - first, end - at);
        if (value)
            words[at / WORD_BITS] |= mask_of(first, count);
        else
            words[at / WORD_BITS] &= ~mask_of(first, count);
        at += count;
    }
}

void spill_bits_put(struct spill_bits *bits, uint64_t index, uint64_t count, bool value) {
    ASSERT(math_range_inside(index, count, bits->count));
    while (count > 0 && !spill_failed(bits->pages.spill)) {
        struct part part = part_of(index, count);
        uint64_t *words = spill_page(&bits->pages, part.page, value);
        if (words != NULL) {
            bits->pages.last->dirty = true;
            put_part(words, &part, value);
        }
        index += part.count;
        count -= part.count;
    }
}

static uint64_t count_part(const uint64_t *words, const struct part *part) {
    uint64_t sum = 0;
    for (unsigned at = part->first, end = part->first + part->count; at < end;) {
        unsigned first = at % WORD_BITS;
        unsigned count = MATH_MIN(WORD_BITS - first, end - at);
        sum += (unsigned)__builtin_popcountll(words[at / WORD_BITS] & mask_of(first, count));
        at += count;
    }
    return sum;
}

uint64_t spill_bits_count(struct spill_bits *bits, uint64_t index, uint64_t count) {
    ASSERT(math_range_inside(index, count, bits->count));
    uint64_t sum = 0;
    while (count > 0 && !spill_failed(bits->pages.spill)) {
        struct part part = part_of(index, count);
        const uint64_t *words = spill_page(&bits->pages, part.page, false);
        sum += words == NULL ? 0 : count_part(words, &part);
        index += part.count;
        count -= part.count;
    }
    return sum;
}

/* The first such bit of the page at or behind; PAGE_BITS: none. */
static unsigned find_in_page(const uint64_t *words, unsigned first, bool value) {
    uint64_t flip = value ? 0 : UINT64_MAX;
    uint64_t mask = UINT64_MAX << first % WORD_BITS;
    for (unsigned word = first / WORD_BITS; word < PAGE_BITS / WORD_BITS; word++) {
        uint64_t found = (words[word] ^ flip) & mask;
        if (found != 0)
            return word * WORD_BITS + (unsigned)__builtin_ctzll(found);
        mask = UINT64_MAX;
    }
    return PAGE_BITS;
}

uint64_t spill_bits_find(struct spill_bits *bits, uint64_t index, bool value) {
    while (index < bits->count) {
        uint64_t page = index / PAGE_BITS;
        uint64_t next = value ? spill_pages_next(&bits->pages, page) : page;
        if (next > (bits->count - 1) / PAGE_BITS)
            return bits->count;
        if (next != page)
            index = next * PAGE_BITS;
        const uint64_t *words = spill_page(&bits->pages, next, false);
        if (words == NULL)
            return value ? bits->count : index;
        unsigned found = find_in_page(words, (unsigned)(index % PAGE_BITS), value);
        index = next * PAGE_BITS + found;
        if (found < PAGE_BITS)
            return MATH_MIN(index, bits->count);
    }
    return bits->count;
}

void spill_bits_read(struct spill_bits *bits, uint64_t index, uint64_t count, void *words) {
    ASSERT(index % WORD_BITS == 0 && count % WORD_BITS == 0);
    ASSERT(math_range_inside(index, count, bits->count));
    for (char *out = words; count > 0;) {
        struct part part = part_of(index, count);
        const char *from = spill_page(&bits->pages, part.page, false);
        if (from == NULL)
            memset(out, 0, part.count / 8);
        else
            memcpy(out, from + part.first / 8, part.count / 8);
        out += part.count / 8;
        index += part.count;
        count -= part.count;
    }
}

void spill_bits_write(struct spill_bits *bits, uint64_t index, uint64_t count, const void *words) {
    ASSERT(index % WORD_BITS == 0 && count % WORD_BITS == 0);
    ASSERT(math_range_inside(index, count, bits->count));
    for (const char *in = words; count > 0;) {
        struct part part = part_of(index, count);
        bool any = !mem_is_zero(in, part.count / 8);
        char *to = spill_page(&bits->pages, part.page, any);
        if (to != NULL) {
            bits->pages.last->dirty = true;
            memcpy(to + part.first / 8, in, part.count / 8);
        }
        in += part.count / 8;
        index += part.count;
        count -= part.count;
    }
}
