/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/everything.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "storage/lfsx/pool/reaper.h"
#include "tests/fuzz/everything_share.h"

#define BLOCKS (EVERYTHING_VOLUME_BYTES / LFSX_BLOCK_SIZE)
#define PIECE (64u << 10)
#define DAY_NS (24 * 3600 * 1000000000ull)

static struct everything everything;
static bool is_made;
static struct random generator;

bool everything_is_damage(enum status status) {
    return status == STATUS_CHECKSUM || status == STATUS_CORRUPT;
}

static struct everything_view *find_view(const char *name) {
    for (unsigned i = 0; i < everything.view_count; i++)
        if (strcmp(everything.views[i].name, name) == 0)
            return &everything.views[i];
    return NULL;
}

static struct everything_view *add_view(const char *name, const char *snapshot,
                                        const unsigned char *content) {
    REQUIRE(everything.view_count < EVERYTHING_VIEWS_MAX);
    struct everything_view *view = &everything.views[everything.view_count++];
    snprintf(view->name, sizeof view->name, "%s%s%s", name, snapshot[0] == '\0' ? "" : "@",
             snapshot);
    view->content = calloc(1, EVERYTHING_VOLUME_BYTES);
    if (content != NULL)
        memcpy(view->content, content, EVERYTHING_VOLUME_BYTES);
    return view;
}

/* ---- making it ---- */

static void forget(const char *name) {
    struct everything_view *view = find_view(name);
    free(view->content);
    *view = everything.views[--everything.view_count];
}

static void create(struct lfsx_pool *pool, const char *name) {
    REQUIRE(lfsx_volume_create(pool, name, EVERYTHING_VOLUME_BYTES) == STATUS_OK);
    add_view(name, "", NULL);
}

/* Writes blocks first, first + step, ... of the volume, an extent each. */
static void write_blocks(struct lfsx_pool *pool, const char *name, uint64_t first, uint64_t step,
                         uint32_t flags) {
    struct lfsx_volume *volume;
    REQUIRE(lfsx_volume_open(pool, name, &volume) == STATUS_OK);
    struct everything_view *view = find_view(name);
    for (uint64_t block = first; block < BLOCKS; block += step) {
        struct lfsx_buffer *buffer;
        unsigned char *content = view->content + block * LFSX_BLOCK_SIZE;
        REQUIRE(lfsx_buffer_alloc(block * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE, &buffer) == STATUS_OK);
        random_fill(&generator, content, LFSX_BLOCK_SIZE);
        memcpy(buffer->spans[0].base, content, LFSX_BLOCK_SIZE);
        REQUIRE(lfsx_volume_write(volume, buffer, flags) == STATUS_OK);
        lfsx_buffer_free(buffer);
    }
    lfsx_volume_close(volume);
}

static void snapshot(struct lfsx_pool *pool, const char *volume, const char *name) {
    REQUIRE(lfsx_snapshot_create(pool, &volume, 1, name, 0) == STATUS_OK);
    add_view(volume, name, find_view(volume)->content);
}

static void clone(struct lfsx_pool *pool, const char *volume, const char *name, const char *as) {
    char full[64];
    snprintf(full, sizeof full, "%s@%s", volume, name);
    REQUIRE(lfsx_clone_create(pool, volume, name, as) == STATUS_OK);
    add_view(as, "", find_view(full)->content);
}

/* Four eras; what one of them rewrites stands between blocks that it does not. */
static void make_chain(struct lfsx_pool *pool) {
    create(pool, "alpha");
    write_blocks(pool, "alpha", 0, 2, 0);
    snapshot(pool, "alpha", "one");
    write_blocks(pool, "alpha", 0, 4, 0);
    snapshot(pool, "alpha", "two");
    write_blocks(pool, "alpha", 2, 4, 0);
    snapshot(pool, "alpha", "three");
    write_blocks(pool, "alpha", 4, 6, 0);
    write_blocks(pool, "alpha", 101, 20, 0);
    snapshot(pool, "alpha", "four");
    write_blocks(pool, "alpha", 120, 8, 0);
    clone(pool, "alpha", "one", "copy");
    write_blocks(pool, "copy", 150, 7, 0);
}

static bool name_automatic(void *context, const struct lfsx_snapshot_info *info) {
    char *name = context;
    REQUIRE(info->automatic && strlen(info->name) < 40);
    memcpy(name, info->name, strlen(info->name) + 1);
    return false;
}

/* The clock stands still, so that the schedule takes one snapshot and no other. */
static void make_scheduled(struct lfsx_pool *pool) {
    static const struct lfsx_schedule_rule rules[] = {{DAY_NS, 7}, {30 * DAY_NS, 12}};
    create(pool, "hourly");
    write_blocks(pool, "hourly", 0, 70, LFSX_FUA);
    REQUIRE(lfsx_schedule_set(pool, "hourly", rules, 2) == STATUS_OK);
    char name[40] = "";
    while (name[0] == '\0') {
        os_sleep_ns(1000000);
        REQUIRE(lfsx_snapshot_list(pool, "hourly", name_automatic, name) == STATUS_OK);
    }
    add_view("hourly", name, find_view("hourly")->content);
}

static void delete_some(struct lfsx_pool *pool) {
    create(pool, "kept");
    write_blocks(pool, "kept", 0, 90, 0);
    REQUIRE(lfsx_volume_protect(pool, "kept", false, DAY_NS) == STATUS_OK);
    REQUIRE(lfsx_volume_delete(pool, "kept", 0) == STATUS_OK);
    forget("kept");
    create(pool, "gone");
    write_blocks(pool, "gone", 0, 2, 0);
    snapshot(pool, "gone", "too");
    write_blocks(pool, "gone", 0, 30, 0);
    reaper_stop(pool); /* nothing is freed from here on */
    REQUIRE(lfsx_snapshot_delete(pool, "alpha", "two") == STATUS_OK);
    REQUIRE(lfsx_volume_delete(pool, "gone", LFSX_DELETE_SNAPSHOTS) == STATUS_OK);
    forget("alpha@two");
    forget("gone@too");
    forget("gone");
}

/* After the last checkpoint: an entry in the journal each. */
static void make_journal(struct lfsx_pool *pool, struct lfsx_share *share) {
    struct lfsx_volume *volume;
    write_blocks(pool, "alpha", 90, 60, LFSX_FUA);
    REQUIRE(lfsx_volume_open(pool, "copy", &volume) == STATUS_OK);
    REQUIRE(lfsx_volume_trim(volume, 8 * LFSX_BLOCK_SIZE, 5 * LFSX_BLOCK_SIZE, LFSX_FUA) ==
            STATUS_OK);
    memset(find_view("copy")->content + 8 * LFSX_BLOCK_SIZE, 0, 5 * LFSX_BLOCK_SIZE);
    lfsx_volume_close(volume);
    everything_share_record(share);
    struct everything_view *view = find_view("hourly");
    struct everything_last *last = &everything.last;
    last->view = (unsigned)(view - everything.views);
    last->offset = (BLOCKS - 1) * LFSX_BLOCK_SIZE;
    memcpy(last->before, view->content + last->offset, LFSX_BLOCK_SIZE);
    write_blocks(pool, "hourly", BLOCKS - 1, 1, LFSX_FUA);
}

static bool count_volume(void *context, const struct lfsx_volume_info *info) {
    (void)info;
    ++*(uint32_t *)context;
    return true;
}

const struct everything *everything_make(struct ramdisk *disk, unsigned char *content) {
    static const struct lfsx_format_options options = {.label = "everything"};
    struct lfsx_pool *pool;
    REQUIRE(!is_made);
    generator = (struct random){7};
    REQUIRE(lfsx_format(&disk->device, &options) == STATUS_OK);
    REQUIRE(lfsx_pool_open(&disk->device, NULL, &pool) == STATUS_OK);
    make_chain(pool);
    make_scheduled(pool);
    struct lfsx_share *share = everything_share_begin(pool);
    static const char *const name = "share";
    REQUIRE(lfsx_snapshot_create(pool, &name, 1, "then", 0) == STATUS_OK);
    struct lfsx_file *removed = everything_share_change(share);
    delete_some(pool);
    make_journal(pool, share);
    os_mutex_lock(&disk->lock);
    memcpy(content, disk->content, disk->device.size);
    os_mutex_unlock(&disk->lock);
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    everything.volume_count = info.volume_count;
    uint32_t listed = 0;
    REQUIRE(lfsx_volume_list(pool, count_volume, &listed) == STATUS_OK && listed == 3);
    lfsx_file_close(removed);
    lfsx_share_close(share);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
    is_made = true;
    return &everything;
}

const struct everything *everything_get(void) {
    return is_made ? &everything : NULL;
}

/* ---- reading it ---- */

static void compare_piece(unsigned view, uint64_t offset, const struct lfsx_buffer *buffer,
                          bool last_is_open) {
    const struct everything_last *last = &everything.last;
    for (uint32_t i = 0; i < buffer->block_count; i++, offset += LFSX_BLOCK_SIZE) {
        const void *found = buffer->blocks[i];
        bool is_last = last_is_open && view == last->view && offset == last->offset;
        if (memcmp(found, everything.views[view].content + offset, LFSX_BLOCK_SIZE) != 0)
            REQUIRE(is_last && memcmp(found, last->before, LFSX_BLOCK_SIZE) == 0);
    }
}

static uint64_t read_view(struct lfsx_pool *pool, unsigned view, bool last_is_open) {
    struct lfsx_volume *volume;
    enum status status = lfsx_volume_open(pool, everything.views[view].name, &volume);
    REQUIRE(status == STATUS_OK || everything_is_damage(status));
    if (status != STATUS_OK)
        return 1;
    uint64_t errors = 0;
    for (uint64_t at = 0; at < EVERYTHING_VOLUME_BYTES; at += PIECE) {
        struct lfsx_buffer *buffer;
        uint32_t length = (uint32_t)MATH_MIN(PIECE, EVERYTHING_VOLUME_BYTES - at);
        REQUIRE(lfsx_buffer_alloc(at, length, &buffer) == STATUS_OK);
        status = lfsx_volume_read(volume, buffer);
        REQUIRE(status == STATUS_OK || everything_is_damage(status));
        if (status == STATUS_OK)
            compare_piece(view, at, buffer, last_is_open);
        errors += status != STATUS_OK;
        lfsx_buffer_free(buffer);
    }
    lfsx_volume_close(volume);
    return errors;
}

uint64_t everything_read(struct lfsx_pool *pool, bool last_is_open) {
    uint64_t errors = 0;
    for (unsigned i = 0; i < everything.view_count; i++)
        errors += read_view(pool, i, last_is_open);
    return errors + everything_share_read(pool);
}
