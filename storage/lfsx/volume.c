/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes as clients use them: handles, and the way of one read and one write.
 *
 * Write: the range is locked against other writes; blocks that are covered in part are completed
 * from what is there; new space is taken, checksummed and written; then, in one update, the extents
 * of the range are replaced. Nothing that a checkpoint names is ever overwritten, and a crash sees
 * all of the update or nothing.
 *
 * Read: the extents are looked up, the blocks read without any lock, and their checksums compared.
 * Meanwhile they may have been replaced, freed and reused, which a second look-up tells from
 * damage.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/pool.h"

#define PUNCH_EXTENTS 256u /* per update, so that nobody waits long for the lock */

static void change_open_count(struct lfsx_volume *v, int change) {
    os_rwlock_lock_exclusive(&v->pool->lock);
    v->open_count += (uint32_t)change;
    os_rwlock_unlock_exclusive(&v->pool->lock);
}

/* No journal record may name a volume that a power cut would undo, so nobody gets a handle before
 * its creation is durable. */
static enum status settle_creation(struct lfsx_volume *v) {
    struct lfsx_pool *pool = v->pool;
    os_mutex_lock(&pool->commit_lock);
    bool durable = pool->durable_generation >= v->created_in;
    os_mutex_unlock(&pool->commit_lock);
    return durable ? STATUS_OK : pool_checkpoint(pool);
}

enum status lfsx_volume_open(struct lfsx_pool *pool, const char *name,
                             struct lfsx_volume **volume) {
    *volume = NULL;
    os_rwlock_lock_exclusive(&pool->lock);
    struct lfsx_volume *v = catalog_find(pool, name);
    if (v != NULL)
        v->open_count++;
    os_rwlock_unlock_exclusive(&pool->lock);
    if (v == NULL)
        return STATUS_NOT_FOUND;
    enum status status = settle_creation(v);
    if (status != STATUS_OK) {
        change_open_count(v, -1);
        return status;
    }
    *volume = v;
    return STATUS_OK;
}

void lfsx_volume_close(struct lfsx_volume *v) {
    os_rwlock_lock_exclusive(&v->pool->lock);
    ASSERT(v->open_count > 0);
    v->open_count--;
    os_rwlock_unlock_exclusive(&v->pool->lock);
}

static void fill_info(struct lfsx_volume *v, struct lfsx_volume_info *info) {
    memset(info, 0, sizeof *info);
    memcpy(info->name, v->name, sizeof info->name);
    memcpy(info->uuid, v->uuid, sizeof info->uuid);
    info->id = v->id;
    info->size = v->size;
    info->used_bytes = v->data_blocks * LFSX_BLOCK_SIZE;
    info->created_ns = v->created_ns;
    info->open_count = v->open_count;
    info->read_only = pool_writable(v->pool) != STATUS_OK;
}

void lfsx_volume_info(struct lfsx_volume *v, struct lfsx_volume_info *info) {
    os_rwlock_lock_shared(&v->pool->lock);
    fill_info(v, info);
    os_rwlock_unlock_shared(&v->pool->lock);
}

/* The live volume with the lowest identifier that is at least `id`. */
static bool next_info(struct lfsx_pool *pool, uint64_t id, struct lfsx_volume_info *info) {
    struct lfsx_volume *next = NULL;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct lfsx_volume *v = LIST_CONTAINER(link, struct lfsx_volume, link);
        if (!v->deleting && v->id >= id && (next == NULL || v->id < next->id))
            next = v;
    }
    if (next != NULL)
        fill_info(next, info);
    os_rwlock_unlock_shared(&pool->lock);
    return next != NULL;
}

enum status lfsx_volume_list(struct lfsx_pool *pool,
                             bool (*visit)(void *context, const struct lfsx_volume_info *info),
                             void *context) {
    struct lfsx_volume_info *info = os_alloc(sizeof *info);
    if (info == NULL)
        return STATUS_NO_MEMORY;
    for (uint64_t id = 0; next_info(pool, id, info); id = info->id + 1)
        if (!visit(context, info))
            break;
    os_free(info);
    return STATUS_OK;
}

struct lookup {
    struct lfsx_volume *volume;
    uint64_t first;
    struct block_map *map;
};

static enum status look_up(void *context, struct btree_cursor *cursor) {
    struct lookup *lookup = context;
    return extents_lookup(lookup->volume, lookup->first, lookup->map, cursor);
}

/* Index of the first block whose content is not what its checksum says; map->count if all are. */
static uint64_t first_mismatch(const struct block_map *map, void *const *pages) {
    for (uint64_t i = 0; i < map->count; i++)
        if (map->blocks[i] != 0 &&
            checksum_xxh64(pages[i], LFSX_BLOCK_SIZE, 0) != map->checksums[i])
            return i;
    return map->count;
}

/* Reads the mapped blocks and verifies them; *bad is the index of the first that is wrong. */
static enum status read_mapped(struct lfsx_pool *pool, const struct block_map *map,
                               void *const *pages, uint64_t *bad) {
    *bad = map->count;
    enum status status = data_transfer(pool->device, BLOCK_READ, map, pages);
    if (status != STATUS_OK)
        return status;
    *bad = first_mismatch(map, pages);
    return *bad == map->count ? STATUS_OK : STATUS_CHECKSUM;
}

static void report_bad_block(struct lfsx_volume *v, uint64_t first, const struct block_map *map,
                             uint64_t bad) {
    POOL_COUNT(v->pool, checksum_errors, 1);
    log_error("lfsx",
              "%s: volume %s, bytes %llu to %llu (device block %llu) do not match their checksum: "
              "the device returned other data than was written",
              v->pool->device->name, v->name, (unsigned long long)((first + bad) * LFSX_BLOCK_SIZE),
              (unsigned long long)((first + bad + 1) * LFSX_BLOCK_SIZE - 1),
              (unsigned long long)map->blocks[bad]);
}

static bool same_map(const struct block_map *a, const struct block_map *b) {
    size_t bytes = a->count * sizeof *a->blocks;
    if (memcmp(a->blocks, b->blocks, bytes) != 0)
        return false;
    for (uint64_t i = 0; i < a->count; i++)
        if (a->blocks[i] != 0 && a->checksums[i] != b->checksums[i])
            return false;
    return true;
}

/* Reads blocks [first, first + count) of the file into pages. */
static enum status read_blocks(struct lfsx_volume *v, uint64_t first, uint64_t count,
                               void *const *pages) {
    struct block_map maps[2];
    enum status status = block_map_alloc(&maps[0], count);
    if (status != STATUS_OK)
        return status;
    status = block_map_alloc(&maps[1], count);
    unsigned now = 0;
    struct lookup lookup = {v, first, &maps[now]};
    if (status == STATUS_OK)
        status = pool_look(v->pool, look_up, &lookup);
    while (status == STATUS_OK) {
        uint64_t bad;
        enum status read = read_mapped(v->pool, &maps[now], pages, &bad);
        if (read == STATUS_OK)
            break;
        lookup.map = &maps[now ^ 1];
        status = pool_look(v->pool, look_up, &lookup);
        if (status == STATUS_OK && same_map(&maps[0], &maps[1])) {
            if (bad < count)
                report_bad_block(v, first, &maps[now], bad);
            status = read;
        }
        now ^= 1;
    }
    for (uint64_t i = 0; status == STATUS_OK && i < count; i++)
        if (maps[now].blocks[i] == 0)
            memset(pages[i], 0, LFSX_BLOCK_SIZE);
    block_map_free(&maps[0]);
    block_map_free(&maps[1]);
    return status;
}

enum status lfsx_volume_read(struct lfsx_volume *v, struct lfsx_buffer *buffer) {
    if (!math_range_inside(buffer->offset, buffer->length, v->size))
        return STATUS_OUT_OF_RANGE;
    POOL_COUNT(v->pool, reads, 1);
    POOL_COUNT(v->pool, read_bytes, buffer->length);
    return read_blocks(v, buffer->offset / LFSX_BLOCK_SIZE, buffer->block_count, buffer->blocks);
}

/* Completes a block that the payload covers in [begin, end) only, from what the volume has. */
static enum status complete_block(struct lfsx_volume *v, uint64_t block, char *page, uint32_t begin,
                                  uint32_t end) {
    if (begin == 0 && end == LFSX_BLOCK_SIZE)
        return STATUS_OK;
    char *old = os_page_alloc(LFSX_BLOCK_SIZE);
    if (old == NULL)
        return STATUS_NO_MEMORY;
    void *pages[1] = {old};
    enum status status = read_blocks(v, block, 1, pages);
    if (status == STATUS_OK) {
        memcpy(page, old, begin);
        memcpy(page + end, old + end, LFSX_BLOCK_SIZE - end);
    }
    os_page_free(old, LFSX_BLOCK_SIZE);
    return status;
}

static enum status complete_ends(struct lfsx_volume *v, struct lfsx_buffer *buffer) {
    uint64_t first = buffer->offset / LFSX_BLOCK_SIZE;
    uint32_t begin = (uint32_t)(buffer->offset % LFSX_BLOCK_SIZE);
    uint64_t last = buffer->block_count - 1;
    uint32_t end = (uint32_t)(begin + buffer->length - last * LFSX_BLOCK_SIZE);
    if (last == 0)
        return complete_block(v, first, buffer->blocks[0], begin, end);
    enum status status = complete_block(v, first, buffer->blocks[0], begin, LFSX_BLOCK_SIZE);
    if (status == STATUS_OK)
        status = complete_block(v, first + last, buffer->blocks[last], 0, end);
    return status;
}

static void cancel_space(struct lfsx_pool *pool, const struct block_map *map) {
    for (uint64_t i = 0; i < map->count; i++)
        alloc_data_cancel(&pool->allocator, map->blocks[i], 1);
}

static enum status take_space(struct lfsx_pool *pool, struct block_map *map) {
    os_rwlock_lock_shared(&pool->lock);
    uint64_t reserve = pool_reserve_blocks(pool);
    os_rwlock_unlock_shared(&pool->lock);
    enum status status = alloc_data(&pool->allocator, map->count, reserve, map->blocks);
    if (status == STATUS_NO_SPACE && pool_reclaim(pool))
        status = alloc_data(&pool->allocator, map->count, reserve, map->blocks);
    return status;
}

struct replacement {
    struct lfsx_volume *volume;
    uint64_t first;
    const struct block_map *map;
};

/* The map's words are little-endian already, this being x86-64. */
static void journal_write(const struct replacement *r) {
    struct journal *journal = r->volume->pool->journal;
    if (journal == NULL)
        return;
    struct disk_record_write record = {.dataset = le64_make(r->volume->id),
                                       .first = le64_make(r->first),
                                       .count = le32_make((uint32_t)r->map->count)};
    size_t bytes = r->map->count * sizeof(le64);
    struct span spans[] = {
        {&record, sizeof record}, {r->map->blocks, bytes}, {r->map->checksums, bytes}};
    (void)journal_add(journal, DISK_RECORD_WRITE, spans, ARRAY_LENGTH(spans));
}

/* The moment at which a write happens: the new extents take the place of the old. */
static enum status replace_step(void *context, struct btree_cursor *cursor) {
    struct replacement *r = context;
    struct lfsx_volume *v = r->volume;
    struct update_need need = {0};
    enum status status =
        extents_prefetch(v, r->first, r->map->count, extents_count(r->map), cursor, &need);
    need.record = sizeof(struct disk_record_write) + 2 * r->map->count * sizeof(le64);
    if (status == STATUS_OK)
        status = pool_update_begin(v->pool, &need);
    if (status != STATUS_OK)
        return status;
    extents_punch(v, r->first, r->map->count);
    extents_add(v, r->first, r->map);
    journal_write(r);
    pool_update_end(v->pool);
    return STATUS_OK;
}

enum status volume_replace(struct lfsx_volume *v, uint64_t first, const struct block_map *map) {
    struct replacement replacement = {v, first, map};
    return pool_change(v->pool, replace_step, &replacement);
}

/* Writes whole blocks to new space and makes them the volume's. */
static enum status write_blocks(struct lfsx_volume *v, uint64_t first, uint64_t count,
                                void *const *pages) {
    struct block_map map;
    enum status status = block_map_alloc(&map, count);
    if (status != STATUS_OK)
        return status;
    status = take_space(v->pool, &map);
    if (status != STATUS_OK) {
        block_map_free(&map);
        return status;
    }
    for (uint64_t i = 0; i < count; i++)
        map.checksums[i] = checksum_xxh64(pages[i], LFSX_BLOCK_SIZE, 0);
    status = data_transfer(v->pool->device, BLOCK_WRITE, &map, pages);
    if (status != STATUS_OK) {
        pool_fail(v->pool, status, "data could not be written");
    } else {
        status = volume_replace(v, first, &map);
    }
    if (status != STATUS_OK)
        cancel_space(v->pool, &map);
    block_map_free(&map);
    return status;
}

static enum status finish_write(struct lfsx_volume *v, enum status status, uint32_t flags) {
    if (status != STATUS_OK)
        return status;
    if (flags & LFSX_FUA)
        return pool_commit(v->pool);
    pool_throttle(v->pool);
    return STATUS_OK;
}

enum status lfsx_volume_write(struct lfsx_volume *v, struct lfsx_buffer *buffer, uint32_t flags) {
    if (!math_range_inside(buffer->offset, buffer->length, v->size))
        return STATUS_OUT_OF_RANGE;
    enum status status = pool_writable(v->pool);
    if (status != STATUS_OK)
        return status;
    uint64_t first = buffer->offset / LFSX_BLOCK_SIZE;
    struct rangelock_hold hold;
    rangelock_acquire(&v->ranges, &hold, first, buffer->block_count);
    status = complete_ends(v, buffer);
    if (status == STATUS_OK)
        status = write_blocks(v, first, buffer->block_count, buffer->blocks);
    rangelock_release(&v->ranges, &hold);
    POOL_COUNT(v->pool, writes, 1);
    POOL_COUNT(v->pool, written_bytes, status == STATUS_OK ? buffer->length : 0);
    return finish_write(v, status, flags);
}

struct punch {
    struct lfsx_volume *volume;
    uint64_t at, end; /* blocks */
};

static void journal_punch(struct lfsx_volume *v, uint64_t first, uint64_t count) {
    if (v->pool->journal == NULL)
        return;
    struct disk_record_punch record = {
        .dataset = le64_make(v->id), .first = le64_make(first), .count = le64_make(count)};
    struct span span = {&record, sizeof record};
    (void)journal_add(v->pool->journal, DISK_RECORD_PUNCH, &span, 1);
}

/* Frees some extents at `at` and moves it behind them. */
static enum status punch_step(void *context, struct btree_cursor *cursor) {
    struct punch *p = context;
    struct lfsx_volume *v = p->volume;
    uint64_t begin;
    uint64_t end;
    enum status status = extents_next(v, p->at, PUNCH_EXTENTS, &begin, &end, cursor);
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && begin >= p->end)) {
        p->at = p->end;
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    end = MATH_MIN(end, p->end);
    struct update_need need = {.frees = true};
    status = extents_prefetch(v, begin, end - begin, 0, cursor, &need);
    need.frees = true;
    need.record = sizeof(struct disk_record_punch);
    if (status == STATUS_OK)
        status = pool_update_begin(v->pool, &need);
    if (status != STATUS_OK)
        return status;
    extents_punch(v, begin, end - begin);
    journal_punch(v, begin, end - begin);
    pool_update_end(v->pool);
    p->at = end;
    return STATUS_OK;
}

enum status volume_punch(struct lfsx_volume *v, uint64_t first, uint64_t count) {
    struct punch punch = {v, first, first + count};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && punch.at < punch.end) {
        if (v->reaped && __atomic_load_n(&v->pool->closing, __ATOMIC_RELAXED))
            return STATUS_SHUTDOWN;
        status = pool_change(v->pool, punch_step, &punch);
        if (status == STATUS_OK)
            pool_throttle(v->pool);
    }
    return status;
}

static enum status punch_range(struct lfsx_volume *v, uint64_t first, uint64_t count) {
    if (count == 0)
        return STATUS_OK;
    struct rangelock_hold hold;
    rangelock_acquire(&v->ranges, &hold, first, count);
    enum status status = volume_punch(v, first, count);
    rangelock_release(&v->ranges, &hold);
    return status;
}

/* The whole blocks inside of a range of bytes; none if *count is 0. The volume's last block counts
 * as whole if the range goes to its end. */
static void whole_blocks(const struct lfsx_volume *v, uint64_t offset, uint64_t length,
                         uint64_t *first, uint64_t *count) {
    uint64_t end = offset + length;
    *first = math_divide_up(offset, LFSX_BLOCK_SIZE);
    uint64_t last = end == v->size ? math_divide_up(end, LFSX_BLOCK_SIZE) : end / LFSX_BLOCK_SIZE;
    *count = last > *first ? last - *first : 0;
}

enum status lfsx_volume_trim(struct lfsx_volume *v, uint64_t offset, uint64_t length,
                             uint32_t flags) {
    if (!math_range_inside(offset, length, v->size))
        return STATUS_OUT_OF_RANGE;
    enum status status = pool_writable(v->pool);
    if (status != STATUS_OK)
        return status;
    uint64_t first;
    uint64_t count;
    whole_blocks(v, offset, length, &first, &count);
    POOL_COUNT(v->pool, trims, 1);
    return finish_write(v, punch_range(v, first, count), flags);
}

/* Writes zeros, at most LFSX_MAX_IO of them at a time. */
static enum status write_zeros(struct lfsx_volume *v, uint64_t offset, uint64_t length) {
    enum status status = STATUS_OK;
    while (length > 0 && status == STATUS_OK) {
        uint32_t piece = (uint32_t)MATH_MIN(length, LFSX_MAX_IO / 8);
        struct lfsx_buffer *buffer;
        status = lfsx_buffer_alloc(offset, piece, &buffer);
        if (status != STATUS_OK)
            return status;
        for (uint32_t i = 0; i < buffer->span_count; i++)
            memset(buffer->spans[i].base, 0, buffer->spans[i].length);
        status = lfsx_volume_write(v, buffer, 0);
        lfsx_buffer_free(buffer);
        offset += piece;
        length -= piece;
    }
    return status;
}

/* Zeroes what of the range is not whole blocks, then makes a hole of those. */
static enum status zero_with_hole(struct lfsx_volume *v, uint64_t offset, uint64_t length) {
    uint64_t first;
    uint64_t count;
    whole_blocks(v, offset, length, &first, &count);
    if (count == 0)
        return write_zeros(v, offset, length);
    uint64_t hole = first * LFSX_BLOCK_SIZE;
    uint64_t hole_end = (first + count) * LFSX_BLOCK_SIZE;
    uint64_t end = offset + length;
    enum status status = write_zeros(v, offset, hole - offset);
    if (status == STATUS_OK && hole_end < end)
        status = write_zeros(v, hole_end, end - hole_end);
    return status == STATUS_OK ? punch_range(v, first, count) : status;
}

enum status lfsx_volume_zero(struct lfsx_volume *v, uint64_t offset, uint64_t length,
                             uint32_t flags) {
    if (!math_range_inside(offset, length, v->size))
        return STATUS_OUT_OF_RANGE;
    enum status status = pool_writable(v->pool);
    if (status != STATUS_OK)
        return status;
    if (flags & LFSX_NO_HOLE)
        status = write_zeros(v, offset, length);
    else
        status = zero_with_hole(v, offset, length);
    return finish_write(v, status, flags);
}
