/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/observation.h"
#include "base/math.h"
#include "host/sim/sim.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/sim/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (1u << 20)

void observation_clear(struct observation *o) {
    o->count = 0;
    o->pool_bytes = 0;
}

void observation_destroy(struct observation *o) {
    for (unsigned i = 0; i < o->capacity; i++) {
        free(o->all[i].content);
        free(o->all[i].unreadable);
    }
    free(o->all);
    *o = (struct observation){0};
}

void observation_room(struct seen *one, uint64_t bytes) {
    if (one->capacity >= bytes && one->content != NULL)
        return;
    one->capacity = bytes;
    one->content = realloc(one->content, bytes);
    one->unreadable = realloc(one->unreadable, math_divide_up(bytes, LFSX_BLOCK_SIZE));
    if (one->content == NULL || one->unreadable == NULL)
        abort();
}

struct seen *observation_add(struct observation *o, const char *name, int volume, uint64_t id,
                             uint64_t size) {
    if (o->count == o->capacity) {
        unsigned capacity = 2 * o->capacity + 4;
        o->all = realloc(o->all, capacity * sizeof *o->all);
        if (o->all == NULL)
            abort();
        memset(o->all + o->capacity, 0, (capacity - o->capacity) * sizeof *o->all);
        o->capacity = capacity;
    }
    struct seen *one = &o->all[o->count++];
    snprintf(one->name, sizeof one->name, "%s", name);
    one->volume = volume;
    one->cloned = one->kept = one->is_share = one->is_clone = one->automatic = false;
    one->schedule = 0;
    one->id = id;
    one->size = size;
    one->bad_blocks = 0;
    observation_room(one, size + 1);
    memset(one->unreadable, 0, math_divide_up(size, LFSX_BLOCK_SIZE));
    return one;
}

void observation_copy(struct observation *to, const struct observation *from) {
    observation_clear(to);
    to->pool_bytes = from->pool_bytes;
    for (unsigned i = 0; i < from->count; i++) {
        const struct seen *one = &from->all[i];
        struct seen *copy = observation_add(to, one->name, one->volume, one->id, one->size);
        copy->cloned = one->cloned;
        copy->kept = one->kept;
        copy->is_share = one->is_share;
        copy->automatic = one->automatic;
        copy->created_ns = one->created_ns;
        copy->schedule = one->schedule;
        copy->is_clone = one->is_clone;
        copy->logical_blocks = one->logical_blocks;
        copy->quota = one->quota;
        copy->reserved = one->reserved;
        memcpy(copy->content, one->content, one->size);
    }
}

static enum status read_range(struct seen *one, struct lfsx_volume *volume, uint64_t at,
                              uint32_t length) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(at, length, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_volume_read(volume, buffer);
    unsigned char *to = one->content + at;
    for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

/* Block by block, so that one that cannot be read does not hide its neighbours. */
static void read_blocks(struct seen *one, struct lfsx_volume *volume, uint64_t at, uint64_t end) {
    for (; at < end; at += LFSX_BLOCK_SIZE) {
        uint32_t length = (uint32_t)MATH_MIN(end - at, LFSX_BLOCK_SIZE);
        if (read_range(one, volume, at, length) == STATUS_OK)
            continue;
        one->unreadable[at / LFSX_BLOCK_SIZE] = 1;
        one->bad_blocks++;
    }
}

enum status observe_content(struct seen *one, struct lfsx_volume *volume, bool tolerant) {
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < one->size && status == STATUS_OK; at += READ_BYTES) {
        uint64_t end = MATH_MIN(one->size, at + READ_BYTES);
        status = read_range(one, volume, at, (uint32_t)(end - at));
        if (status == STATUS_OK || !tolerant)
            continue;
        read_blocks(one, volume, at, end);
        status = STATUS_OK;
    }
    return status;
}

enum status observation_schedule(struct lfsx_pool *pool, const char *name, uint64_t *hash) {
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count = 0;
    enum status status = lfsx_schedule_get(pool, name, rules, &count);
    *hash = status != STATUS_OK || count == 0 ? 0 : tree_hash(rules, count * sizeof *rules);
    return status;
}

static bool note_volume(void *context, const struct lfsx_volume_info *info) {
    struct seen *one = observation_add(context, info->name, -1, info->id, info->size);
    one->kept = info->keep_deleted_ns > 0;
    one->is_clone = info->origin[0] != '\0';
    one->logical_blocks = info->logical_bytes / LFSX_BLOCK_SIZE;
    one->quota = info->quota_bytes / LFSX_BLOCK_SIZE;
    one->reserved = info->reserved_bytes / LFSX_BLOCK_SIZE;
    return true;
}

static bool note_share(void *context, const struct lfsx_share_info *info) {
    observation_add(context, info->name, -1, info->id, 0)->is_share = true;
    return true;
}

struct listing {
    struct observation *observation;
    int volume;
};

static bool note_snapshot(void *context, const struct lfsx_snapshot_info *info) {
    struct listing *listing = context;
    if (info->automatic && info->created_ns < SIM_START_NS)
        return true; /* the pool took it just now */
    struct seen *one =
        observation_add(listing->observation, info->name, listing->volume, info->epoch, info->size);
    one->cloned = info->clone_count > 0;
    one->automatic = info->automatic;
    one->created_ns = info->created_ns;
    one->is_share = listing->observation->all[listing->volume].is_share;
    return true;
}

static enum status observe_share(struct seen *one, struct lfsx_pool *pool, const char *name,
                                 bool tolerant) {
    struct lfsx_share *share;
    enum status status = lfsx_share_open(pool, name, &share);
    if (status != STATUS_OK)
        return status;
    status = tree_observe(one, share, tolerant ? TREE_DAMAGED : TREE_STILL);
    lfsx_share_close(share);
    return status;
}

static enum status observe(struct observation *o, unsigned i, struct lfsx_pool *pool,
                           bool tolerant) {
    char name[2 * sizeof o->all[i].name];
    if (o->all[i].volume < 0)
        snprintf(name, sizeof name, "%s", o->all[i].name);
    else
        snprintf(name, sizeof name, "%s@%s", o->all[o->all[i].volume].name, o->all[i].name);
    if (o->all[i].is_share)
        return observe_share(&o->all[i], pool, name, tolerant);
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(pool, name, &volume);
    if (status != STATUS_OK)
        return status;
    status = observe_content(&o->all[i], volume, tolerant);
    lfsx_volume_close(volume);
    return status;
}

enum status observe_pool(struct observation *o, struct lfsx_pool *pool, bool tolerant) {
    observation_clear(o);
    enum status status = lfsx_volume_list(pool, note_volume, o);
    if (status == STATUS_OK)
        status = lfsx_share_list(pool, note_share, o);
    unsigned volumes = o->count;
    for (unsigned i = 0; i < volumes && status == STATUS_OK; i++) {
        struct listing listing = {o, (int)i};
        status = observation_schedule(pool, o->all[i].name, &o->all[i].schedule);
        if (status == STATUS_OK)
            status = lfsx_snapshot_list(pool, o->all[i].name, note_snapshot, &listing);
    }
    for (unsigned i = 0; i < o->count && status == STATUS_OK; i++)
        status = observe(o, i, pool, tolerant);
    return status;
}
