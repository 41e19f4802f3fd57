/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 * 1. A region's `busy` contains its `used`; bits behind the device's end are set in both.
 * 2. free_blocks is the sum of the regions' free_count, used_blocks of their used_count.
 * 3. Every block that is busy and not used is in flight or in exactly one run of a stage.
 * Without maps none of them holds, and nothing changes but node_cursor.
 */
#include "storage/lfsx/space/alloc.h"
#include "base/assert.h"
#include "base/math.h"
#include "base/mem.h"

#define WORD_BITS 64u
#define REGION_WORDS (DISK_REGION_BLOCKS / WORD_BITS)
_Static_assert(DISK_REGION_BLOCKS % WORD_BITS == 0, "bitmaps are whole words");

static bool has_maps(const struct allocator *a) {
    return a->regions != NULL;
}

static uint64_t region_of(uint64_t block) {
    return block / DISK_REGION_BLOCKS;
}

static bool bit_test(const uint64_t *bitmap, uint64_t bit) {
    return bitmap[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

/* The mask of word `word` for the bits [first, first + count). */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t count) {
    uint64_t begin = MATH_MAX(first, word * WORD_BITS) - word * WORD_BITS;
    uint64_t end = MATH_MIN(first + count, (word + 1) * WORD_BITS) - word * WORD_BITS;
    uint64_t low = begin == 0 ? 0 : UINT64_MAX >> (WORD_BITS - begin);
    return (UINT64_MAX >> (WORD_BITS - end)) & ~low;
}

/* All bits of the range are clear, and become set. */
static void bits_set(uint64_t *bitmap, uint64_t first, uint64_t count) {
    for (uint64_t word = first / WORD_BITS; word <= (first + count - 1) / WORD_BITS; word++) {
        uint64_t mask = word_mask(word, first, count);
        ASSERT((bitmap[word] & mask) == 0);
        bitmap[word] |= mask;
    }
}

/* All bits of the range are set, and become clear. */
static void bits_clear(uint64_t *bitmap, uint64_t first, uint64_t count) {
    for (uint64_t word = first / WORD_BITS; word <= (first + count - 1) / WORD_BITS; word++) {
        uint64_t mask = word_mask(word, first, count);
        ASSERT((bitmap[word] & mask) == mask);
        bitmap[word] &= ~mask;
    }
}

/* What one state change does to the part of a run that lies in one region. */
enum change { CHANGE_TAKE, CHANGE_CANCEL, CHANGE_COMMIT, CHANGE_RELEASE, CHANGE_EXPIRE };

static void change_region(struct allocator *a, uint64_t index, uint64_t first, uint32_t count,
                          enum change change) {
    struct alloc_region *region = &a->regions[index];
    switch (change) {
    case CHANGE_TAKE:
        bits_set(region->busy, first, count);
        region->free_count -= count;
        a->free_blocks -= count;
        return;
    case CHANGE_CANCEL:
    case CHANGE_EXPIRE:
        bits_clear(region->busy, first, count);
        region->free_count += count;
        a->free_blocks += count;
        return;
    case CHANGE_COMMIT:
        bits_set(region->used, first, count);
        region->used_count += count;
        a->used_blocks += count;
        region->dirty = true;
        return;
    case CHANGE_RELEASE:
        bits_clear(region->used, first, count);
        region->used_count -= count;
        a->used_blocks -= count;
        region->dirty = true;
        return;
    }
}

static void change_run(struct allocator *a, uint64_t block, uint64_t count, enum change change) {
    ASSERT(os_mutex_is_held(&a->lock));
    ASSERT(geometry_is_data(&a->geometry, block, count));
    while (count > 0) {
        uint64_t first = block % DISK_REGION_BLOCKS;
        uint32_t piece = (uint32_t)MATH_MIN(count, DISK_REGION_BLOCKS - first);
        change_region(a, region_of(block), first, piece, change);
        block += piece;
        count -= piece;
    }
}

/* Length of the run of clear bits at `first`, at most `limit` and up to the region's end. */
static uint64_t clear_run(const uint64_t *bitmap, uint64_t first, uint64_t limit) {
    uint64_t end = MATH_MIN(first + limit, DISK_REGION_BLOCKS);
    uint64_t bit = first;
    while (bit < end) {
        uint64_t rest = bitmap[bit / WORD_BITS] >> bit % WORD_BITS;
        if (rest != 0) {
            bit += (unsigned)__builtin_ctzll(rest);
            break;
        }
        bit = (bit / WORD_BITS + 1) * WORD_BITS;
    }
    return MATH_MIN(bit, end) - first;
}

/* First clear bit at or after `first`; DISK_REGION_BLOCKS if there is none. */
static uint64_t next_clear(const uint64_t *bitmap, uint64_t first) {
    for (uint64_t word = first / WORD_BITS; word < REGION_WORDS; word++) {
        uint64_t clear = ~bitmap[word];
        if (word == first / WORD_BITS)
            clear &= UINT64_MAX << first % WORD_BITS;
        if (clear != 0)
            return word * WORD_BITS + (unsigned)__builtin_ctzll(clear);
    }
    return DISK_REGION_BLOCKS;
}

/* Takes up to `count` blocks, starting the search at *cursor and going round once. Returns how many
 * it got; blocks[] names them. */
static uint64_t take(struct allocator *a, uint64_t *cursor, uint64_t count, uint64_t *blocks) {
    uint64_t got = 0;
    uint64_t block = *cursor;
    for (uint64_t tried = 0; tried <= a->geometry.regions && got < count; tried++) {
        uint64_t index = region_of(block);
        struct alloc_region *region = &a->regions[index];
        uint64_t bit = block % DISK_REGION_BLOCKS;
        while (region->free_count > 0 && got < count) {
            bit = next_clear(region->busy, bit);
            if (bit == DISK_REGION_BLOCKS)
                break;
            uint64_t run = clear_run(region->busy, bit, count - got);
            uint64_t start = index * DISK_REGION_BLOCKS + bit;
            change_run(a, start, run, CHANGE_TAKE);
            for (uint64_t i = 0; i < run; i++)
                blocks[got++] = start + i;
            bit += run;
            *cursor = start + run;
        }
        index = index + 1 < a->geometry.regions ? index + 1 : 0;
        block = index * DISK_REGION_BLOCKS;
    }
    if (*cursor >= a->geometry.data_end)
        *cursor = a->geometry.data_start;
    return got;
}

enum status alloc_data(struct allocator *a, uint64_t count, uint64_t reserve, uint64_t *blocks) {
    os_mutex_lock(&a->lock);
    bool enough = a->free_blocks >= reserve && a->free_blocks - reserve >= count;
    if (enough) {
        uint64_t got = take(a, &a->data_cursor, count, blocks);
        ASSERT(got == count);
    }
    os_mutex_unlock(&a->lock);
    return enough ? STATUS_OK : STATUS_NO_SPACE;
}

enum status alloc_claim(struct allocator *a, uint64_t block, uint64_t count) {
    ASSERT(geometry_is_data(&a->geometry, block, count));
    os_mutex_lock(&a->lock);
    enum status status = STATUS_OK;
    for (uint64_t at = block; has_maps(a) && status == STATUS_OK && at < block + count; at++)
        if (bit_test(a->regions[region_of(at)].busy, at % DISK_REGION_BLOCKS))
            status = STATUS_CORRUPT;
    if (has_maps(a) && status == STATUS_OK)
        change_run(a, block, count, CHANGE_TAKE);
    os_mutex_unlock(&a->lock);
    return status;
}

static void change_locked(struct allocator *a, uint64_t block, uint64_t count, enum change change) {
    os_mutex_lock(&a->lock);
    if (has_maps(a))
        change_run(a, block, count, change);
    os_mutex_unlock(&a->lock);
}

void alloc_data_commit(struct allocator *a, uint64_t block, uint64_t count) {
    change_locked(a, block, count, CHANGE_COMMIT);
}

void alloc_data_cancel(struct allocator *a, uint64_t block, uint64_t count) {
    change_locked(a, block, count, CHANGE_CANCEL);
}

uint64_t alloc_node(struct allocator *a) {
    uint64_t block;
    os_mutex_lock(&a->lock);
    if (has_maps(a)) {
        uint64_t got = take(a, &a->node_cursor, 1, &block);
        ASSERT(got == 1);
        change_run(a, block, 1, CHANGE_COMMIT);
    } else {
        block = a->node_cursor++;
    }
    os_mutex_unlock(&a->lock);
    return block;
}

enum status alloc_reserve_releases(struct allocator *a, uint64_t count) {
    os_mutex_lock(&a->lock);
    struct alloc_log *log = &a->stages[ALLOC_STAGE_OPEN];
    enum status status = STATUS_OK;
    if (log->capacity - log->count < count) {
        uint64_t capacity = MATH_MAX(2 * log->capacity, log->count + count);
        struct alloc_run *runs = os_alloc(capacity * sizeof *runs);
        if (runs != NULL) {
            if (log->count > 0)
                memcpy(runs, log->runs, log->count * sizeof *runs);
            os_free(log->runs);
            log->runs = runs;
            log->capacity = capacity;
        } else {
            status = STATUS_NO_MEMORY;
        }
    }
    os_mutex_unlock(&a->lock);
    return status;
}

static void log_append(struct alloc_log *log, uint64_t block, uint64_t count) {
    if (log->count > 0) {
        struct alloc_run *last = &log->runs[log->count - 1];
        if (last->block + last->count == block) {
            last->count += count;
            return;
        }
    }
    ASSERT(log->count < log->capacity);
    log->runs[log->count++] = (struct alloc_run){block, count};
}

static bool all_used(const struct allocator *a, uint64_t block, uint64_t count) {
    for (uint64_t at = block; at < block + count; at++)
        if (!bit_test(a->regions[region_of(at)].used, at % DISK_REGION_BLOCKS))
            return false;
    return true;
}

bool alloc_release(struct allocator *a, uint64_t block, uint64_t count) {
    os_mutex_lock(&a->lock);
    bool used = !has_maps(a) || all_used(a, block, count);
    if (used && has_maps(a)) {
        change_run(a, block, count, CHANGE_RELEASE);
        log_append(&a->stages[ALLOC_STAGE_OPEN], block, count);
        a->pending_blocks += count;
    }
    os_mutex_unlock(&a->lock);
    return used;
}

static uint64_t read_locked(struct allocator *a, const uint64_t *counter) {
    os_mutex_lock(&a->lock);
    uint64_t value = *counter;
    os_mutex_unlock(&a->lock);
    return value;
}

uint64_t alloc_free_blocks(struct allocator *a) {
    return read_locked(a, &a->free_blocks);
}

uint64_t alloc_used_blocks(struct allocator *a) {
    return read_locked(a, &a->used_blocks);
}

uint64_t alloc_pending_blocks(struct allocator *a) {
    return read_locked(a, &a->pending_blocks);
}

const struct alloc_log *alloc_expiring(struct allocator *a) {
    return &a->stages[ALLOC_STAGE_DURABLE];
}

void alloc_rotate(struct allocator *a) {
    os_mutex_lock(&a->lock);
    struct alloc_log *expired = &a->stages[ALLOC_STAGE_DURABLE];
    for (uint64_t i = 0; i < expired->count; i++) {
        change_run(a, expired->runs[i].block, expired->runs[i].count, CHANGE_EXPIRE);
        a->pending_blocks -= expired->runs[i].count;
    }
    os_free(expired->runs);
    *expired = a->stages[ALLOC_STAGE_WRITING];
    a->stages[ALLOC_STAGE_WRITING] = (struct alloc_log){0};
    os_mutex_unlock(&a->lock);
}

bool alloc_is_free(struct allocator *a, uint64_t block) {
    os_mutex_lock(&a->lock);
    bool busy =
        !has_maps(a) || bit_test(a->regions[region_of(block)].busy, block % DISK_REGION_BLOCKS);
    os_mutex_unlock(&a->lock);
    return !busy;
}

bool alloc_is_used(struct allocator *a, uint64_t block) {
    os_mutex_lock(&a->lock);
    bool used =
        !has_maps(a) || bit_test(a->regions[region_of(block)].used, block % DISK_REGION_BLOCKS);
    os_mutex_unlock(&a->lock);
    return used;
}
