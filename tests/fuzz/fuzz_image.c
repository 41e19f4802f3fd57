/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check and the pool on images that nobody would write. Input: which pool (1), flags (1), a
 * seed for what is done with it (1), then edits (edits.h). Unless a flag says otherwise all
 * checksums are made right again after the edits.
 *
 * Whether such an image is refused or served does not matter; that everything comes back does, and
 * that what was served and closed without an error can be checked.
 */
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/edits.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/reseal.h"

#define HEADER_SIZE 3u
#define KEEP_CHECKSUMS 1u
#define CHECK_DATA 2u
#define READ_ONLY 4u
#define STEPS 24u

static void take_finding(void *context, const struct lfsx_finding *finding) {
    uint64_t *count = context;
    if (getenv("FINDINGS") != NULL)
        fprintf(stderr, "block %llu: %s\n", (unsigned long long)finding->block, finding->text);
    REQUIRE(finding->name != NULL && finding->text[0] != '\0');
    REQUIRE(strnlen(finding->text, sizeof finding->text) < sizeof finding->text);
    ++*count;
}

static enum status check(struct ramdisk *disk, bool data, uint64_t *findings) {
    struct lfsx_check_options options = {
        .data = data, .finding = take_finding, .context = findings};
    struct lfsx_check_summary summary;
    *findings = 0;
    enum status status = lfsx_check(&disk->device, &options, &summary);
    REQUIRE(summary.findings == *findings);
    return status;
}

static enum status all_intact(void *context, uint32_t type, const void *payload, uint32_t length,
                              bool *is) {
    (void)context;
    (void)type;
    (void)payload;
    (void)length;
    *is = true;
    return STATUS_OK;
}

/* Whether the newest checkpoint is all there is: the check does not look into the journal. */
static bool journal_is_empty(struct ramdisk *disk) {
    static struct ring ring;
    struct label label;
    struct superblock newest;
    if (label_read(&disk->device, &label) != STATUS_OK ||
        ring_read(&disk->device, &label, &ring) != STATUS_OK ||
        ring_newest(&ring, &newest) != STATUS_OK)
        return false;
    struct journal_area area = {.device = &disk->device,
                                .start = label.geometry.journal_start,
                                .blocks = label.geometry.journal_blocks};
    memcpy(area.pool_uuid, label.pool_uuid, sizeof area.pool_uuid);
    struct journal_found found;
    return journal_find_end(&area, &newest.journal, all_intact, NULL, &found) == STATUS_OK &&
           found.entries == 0;
}

static bool look_at_volume(void *context, const struct lfsx_volume_info *info) {
    uint64_t *volumes = context;
    bool whole = info->damage == STATUS_OK;
    REQUIRE((info->size > 0) == whole && info->size <= LFSX_VOLUME_SIZE_MAX);
    return ++*volumes < 100;
}

static void transfer(struct lfsx_volume *volume, uint64_t offset, uint32_t length, bool write,
                     uint32_t flags) {
    struct lfsx_buffer *buffer;
    if (lfsx_buffer_alloc(offset, length, &buffer) != STATUS_OK)
        return;
    for (uint32_t i = 0; write && i < buffer->span_count; i++)
        memset(buffer->spans[i].base, 0x5c, buffer->spans[i].length);
    if (write)
        (void)lfsx_volume_write(volume, buffer, flags);
    else
        (void)lfsx_volume_read(volume, buffer);
    lfsx_buffer_free(buffer);
}

static void use_volume(struct lfsx_pool *pool, struct lfsx_volume *volume, struct random *random) {
    uint64_t offset = random_below(random, IMAGE_VOLUME_BYTES);
    uint32_t length = (uint32_t)(1 + random_below(random, 40000));
    uint32_t flags = random_one_in(random, 4) ? LFSX_FUA : 0;
    if (random_one_in(random, 2))
        offset = offset / LFSX_BLOCK_SIZE * LFSX_BLOCK_SIZE;
    switch (random_below(random, 6)) {
    case 0:
        (void)lfsx_volume_trim(volume, offset, length, flags);
        return;
    case 1:
        (void)lfsx_volume_zero(volume, offset, length, flags | LFSX_NO_HOLE);
        return;
    case 2:
        (void)lfsx_pool_commit(pool);
        return;
    case 3:
        transfer(volume, offset, length, false, 0);
        return;
    default:
        transfer(volume, offset, length, true, flags);
        return;
    }
}

static void read_volumes(struct lfsx_pool *pool) {
    for (unsigned i = 0; i < IMAGE_VOLUMES; i++) {
        struct lfsx_volume *volume;
        if (lfsx_volume_open(pool, image_volumes[i], &volume) != STATUS_OK)
            continue;
        struct lfsx_volume_info info;
        lfsx_volume_info(volume, &info);
        transfer(volume, 0, (uint32_t)IMAGE_VOLUME_BYTES, false, 0);
        transfer(volume, info.size - 512, 512, false, 0);
        lfsx_volume_close(volume);
    }
}

static void change_pool(struct lfsx_pool *pool, struct random *random) {
    for (unsigned i = 0; i < STEPS; i++) {
        const char *name = image_volumes[random_below(random, IMAGE_VOLUMES)];
        struct lfsx_volume *volume;
        if (lfsx_volume_open(pool, name, &volume) == STATUS_OK) {
            use_volume(pool, volume, random);
            lfsx_volume_close(volume);
        }
        if (random_one_in(random, 12))
            (void)lfsx_volume_delete(pool, name, 0);
        if (random_one_in(random, 12))
            (void)lfsx_volume_create(pool, random_one_in(random, 2) ? name : "delta", 1 << 20);
    }
}

/* True if all of it became durable. */
static bool use_pool(struct ramdisk *disk, bool read_only, struct random *random) {
    struct lfsx_open_options options = {.flags = read_only ? LFSX_OPEN_READ_ONLY : 0,
                                        .cache_bytes = 1};
    struct lfsx_pool *pool;
    uint64_t writes = disk->writes;
    if (lfsx_pool_open(&disk->device, &options, &pool) != STATUS_OK)
        return false;
    uint64_t volumes = 0;
    (void)lfsx_volume_list(pool, look_at_volume, &volumes);
    struct lfsx_pool_info info;
    lfsx_pool_info(pool, &info);
    read_volumes(pool);
    if (!read_only)
        change_pool(pool, random);
    bool durable = lfsx_pool_close(pool) == STATUS_OK;
    REQUIRE(!read_only || disk->writes == writes);
    return durable;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const struct image *image = image_get((unsigned)input_take(&input, 1) % IMAGE_KINDS);
    uint8_t flags = (uint8_t)input_take(&input, 1);
    struct random random = {input_take(&input, 1)};
    fuzz_random_restart();
    struct ramdisk *disk = fuzz_disk(image->content, IMAGE_BYTES);
    bool edited = input.left > 0;
    edits_apply(image, disk->content, &input);
    if ((flags & KEEP_CHECKSUMS) == 0)
        reseal_pool(disk->content, &image->geometry, image->checkpoint);
    uint64_t findings;
    enum status checked = check(disk, flags & CHECK_DATA, &findings);
    REQUIRE(edited || (checked == STATUS_OK && findings == 0));
    bool clean = checked == STATUS_OK && findings == 0 && (flags & CHECK_DATA) != 0 &&
                 journal_is_empty(disk);
    bool durable = use_pool(disk, flags & READ_ONLY, &random);
    REQUIRE(!clean || durable);
    checked = check(disk, flags & CHECK_DATA, &findings);
    REQUIRE(!clean || (checked == STATUS_OK && findings == 0));
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return edits_mutate(data, size, max_size, seed, HEADER_SIZE);
}
