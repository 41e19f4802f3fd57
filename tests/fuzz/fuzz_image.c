/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check and the pool on images that nobody would write. Input: which pool (1), flags (1), a
 * seed for what is done with it (1), then edits of 14 bytes: how (1), width (1), place (2), offset
 * (2), value (8). Unless a flag says otherwise all checksums are made right again after the edits.
 *
 * Whether such an image is refused or served does not matter; that everything comes back does, and
 * that what was served and closed without an error can be checked.
 */
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/super.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/reseal.h"

#define HEADER_SIZE 3u
#define EDIT_SIZE 14u
#define EDITS_MAX 16u
#define KEEP_CHECKSUMS 1u
#define CHECK_DATA 2u
#define READ_ONLY 4u
#define STEPS 24u

enum how { SET, ADD, NAME_PLACE, COPY_BLOCK, CLEAR_BLOCK, HOWS };

/* ---- edits ---- */

static void put(unsigned char *block, uint64_t offset, unsigned width, uint64_t value) {
    for (unsigned i = 0; i < width && offset + i < DISK_BLOCK_SIZE; i++)
        block[offset + i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *block, uint64_t offset, unsigned width) {
    uint64_t value = 0;
    for (unsigned i = 0; i < width && offset + i < DISK_BLOCK_SIZE; i++)
        value |= (uint64_t)block[offset + i] << 8 * i;
    return value;
}

static void edit(const struct image *image, unsigned char *content, struct input *input) {
    uint64_t how = input_take(input, 1) % HOWS;
    unsigned width = 1u << input_take(input, 1) % 4;
    uint64_t place = image->places[input_take(input, 2) % image->place_count];
    uint64_t offset = input_take(input, 2) % DISK_BLOCK_SIZE;
    uint64_t value = input_take(input, 8);
    uint64_t other = image->places[value % image->place_count];
    unsigned char *block = content + place * DISK_BLOCK_SIZE;
    switch (how) {
    case SET:
        put(block, offset, width, value);
        return;
    case ADD:
        put(block, offset, width, get(block, offset, width) + value);
        return;
    case NAME_PLACE:
        put(block, offset, 8, other);
        return;
    case COPY_BLOCK: /* with its own address, or it would be refused at once */
        memcpy(block, content + other * DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
        if (width > 2)
            put(block, 16, 8, place);
        return;
    default:
        memset(block + offset, 0, DISK_BLOCK_SIZE - offset);
        return;
    }
}

/* ---- what is done with the image ---- */

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
    REQUIRE(info->size > 0 && info->size <= LFSX_VOLUME_SIZE_MAX);
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
    for (unsigned i = 0; i < EDITS_MAX && input.left > 0; i++)
        edit(image, disk->content, &input);
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

/* ---- mutation ---- */

/* Where something begins in a block, mostly. */
static unsigned likely_offset(struct random *random) {
    static const uint8_t items[] = {0, 8, 16, 17, 18, 20, 22};
    switch (random_below(random, 5)) {
    case 0: /* a header's field */
        return (unsigned)(8 + random_below(random, 240) / 4 * 4);
    case 1: /* an item */
        return (unsigned)(64 + 24 * random_below(random, 60) +
                          items[random_below(random, sizeof items)]);
    case 2: /* a value, all of which stand at the end */
        return (unsigned)(DISK_BLOCK_SIZE - 4 * (1 + random_below(random, 300)));
    case 3: /* the pointers of an inner node */
        return (unsigned)(DISK_BLOCK_SIZE - 32 * (1 + random_below(random, 20)) +
                          8 * random_below(random, 4));
    default:
        return (unsigned)random_below(random, DISK_BLOCK_SIZE);
    }
}

static uint64_t likely_value(struct random *random) {
    switch (random_below(random, 6)) {
    case 0:
        return random_below(random, 70);
    case 1:
        return UINT64_MAX - random_below(random, 70);
    case 2:
        return 1ull << random_below(random, 64);
    case 3:
        return random_below(random, DISK_MIN_DEVICE_BLOCKS);
    case 4:
        return DISK_BLOCK_SIZE - random_below(random, 70);
    default:
        return random_next(random);
    }
}

static void make_edit(struct random *random, uint8_t *at) {
    unsigned offset = likely_offset(random);
    uint64_t value = likely_value(random);
    uint64_t place = random_below(random, 128);
    at[0] = (uint8_t)(random_one_in(random, 3) ? random_below(random, HOWS)
                                               : random_below(random, NAME_PLACE));
    at[1] = (uint8_t)random_below(random, 4);
    memcpy(at + 2, &place, 2);
    memcpy(at + 4, &offset, 2);
    memcpy(at + 6, &value, 8);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    struct random random = {seed};
    if (size < HEADER_SIZE || random_one_in(&random, 5))
        return LLVMFuzzerMutate(data, size, max_size);
    size_t edits = (size - HEADER_SIZE) / EDIT_SIZE;
    if (random_one_in(&random, 4))
        data[random_below(&random, HEADER_SIZE)] = (uint8_t)random_next(&random);
    if (edits > 1 && random_one_in(&random, 4)) {
        size_t gone = random_below(&random, edits);
        uint8_t *at = data + HEADER_SIZE + gone * EDIT_SIZE;
        memmove(at, at + EDIT_SIZE, (edits - gone - 1) * EDIT_SIZE);
        return HEADER_SIZE + (edits - 1) * EDIT_SIZE;
    }
    size_t index = edits == 0 ? 0 : random_below(&random, edits + 1);
    if (index >= EDITS_MAX || HEADER_SIZE + (index + 1) * EDIT_SIZE > max_size)
        index = 0;
    if (HEADER_SIZE + EDIT_SIZE > max_size)
        return size;
    make_edit(&random, data + HEADER_SIZE + index * EDIT_SIZE);
    return HEADER_SIZE + MATH_MAX(edits, index + 1) * EDIT_SIZE;
}
