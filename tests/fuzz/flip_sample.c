/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sample of the single bits of a large pool's metadata, flipped. A check of it takes its time, so
 * that some hundred are flipped at once, each in another block and none hiding another; for each of
 * those that count the check must have a finding, and none for one that does not. Then the pool is
 * opened, and what the flipped leaves are about, and what others are about, is read from volumes,
 * snapshots and a clone: it is what was written, or an error. Then all is flipped back.
 *
 * Usage: flip_sample FLIPS EXTENTS. SEED in the environment repeats a run.
 */
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/large_map.h"

#define BATCH_MAX 500u
#define BATCH_SHARE                                                                                \
    8u                   /* of a class one in so many: each volume's first leaf, and all above     \
                            it, must be whole for the pool to open */
#define OTHER_READS 200u /* of a batch */
#define PROGRESS_BATCHES 100u

static const char *const class_names[LARGE_CLASSES] = {
    "leaves",  "branches",    "roots",    "catalog leaves", "catalog root",
    "bitmaps", "map entries", "map root", "head area",      "tail area"};

/* How often each is drawn: the many leaves most of all. */
static const unsigned class_weights[LARGE_CLASSES] = {64, 10, 4, 3, 1, 10, 2, 1, 3, 2};

struct flip {
    const struct large_block *target;
    uint32_t bit;
};

struct sample {
    struct thin_disk disk;
    struct large large;
    struct large_map map;
    struct random random;
    struct flip flips[BATCH_MAX];
    unsigned count; /* of flips in this batch */
    bool *reported; /* of this batch's blocks: with a finding */
    uint64_t findings;
    struct lfsx_volume *views[LARGE_VIEWS_MAX]; /* NULL: cannot be opened */

    uint64_t batches, flipped, seen, harmless, refused, reads, read_errors;
    uint64_t by_class[LARGE_CLASSES];
};

/* ---- flipping ---- */

/* Twice is not at all. */
static void flip_all(struct sample *sample) {
    for (unsigned i = 0; i < sample->count; i++) {
        unsigned char *page = thin_disk_page(&sample->disk, sample->flips[i].target->block);
        page[sample->flips[i].bit / 8] ^= (unsigned char)(1u << sample->flips[i].bit % 8);
    }
}

static enum large_class draw_class(struct sample *sample) {
    unsigned sum = 0;
    for (unsigned i = 0; i < LARGE_CLASSES; i++)
        sum += class_weights[i];
    uint64_t drawn = random_below(&sample->random, sum);
    unsigned class = 0;
    for (; drawn >= class_weights[class]; class ++)
        drawn -= class_weights[class];
    return (enum large_class) class;
}

/* A run of them from anywhere on, each with a chance: no block twice. */
static void draw_flips(struct sample *sample, enum large_class class) {
    uint64_t there = sample->map.count[class];
    uint64_t wanted = MATH_MIN(MATH_MAX(there / BATCH_SHARE, 1), BATCH_MAX);
    uint64_t at = there == 0 ? 0 : random_below(&sample->random, there);
    sample->count = 0;
    for (uint64_t i = 0; i < there && sample->count < BATCH_MAX; i++, at = (at + 1) % there)
        if (random_below(&sample->random, there) < wanted)
            sample->flips[sample->count++] =
                (struct flip){&sample->map.blocks[class][at],
                              (uint32_t)random_below(&sample->random, 8 * DISK_BLOCK_SIZE)};
    sample->flipped += sample->count;
    sample->by_class[class] += sample->count;
}

/* ---- the check ---- */

static void take_finding(void *context, const struct lfsx_finding *finding) {
    struct sample *sample = context;
    sample->findings++;
    if (finding->block < LARGE_DISK_BYTES / DISK_BLOCK_SIZE)
        sample->reported[finding->block] = true;
}

static void check(struct sample *sample) {
    struct lfsx_check_options options = {.finding = take_finding, .context = sample};
    struct lfsx_check_summary summary;
    for (unsigned i = 0; i < sample->count; i++)
        sample->reported[sample->flips[i].target->block] = false;
    sample->findings = 0;
    REQUIRE(lfsx_check(&sample->disk.device, &options, &summary) == STATUS_OK);
}

static void judge_findings(struct sample *sample) {
    for (unsigned i = 0; i < sample->count; i++) {
        const struct large_block *target = sample->flips[i].target;
        if (sample->reported[target->block] != target->counts)
            fprintf(stderr, "block %llu, bit %u, batch %llu: %s\n",
                    (unsigned long long)target->block, sample->flips[i].bit,
                    (unsigned long long)sample->batches,
                    target->counts ? "nobody saw it" : "it is reported, but does not count");
        REQUIRE(sample->reported[target->block] == target->counts);
        sample->seen += target->counts;
        sample->harmless += !target->counts;
    }
}

/* ---- reading ---- */

static bool is_damage(enum status status) {
    return status == STATUS_CHECKSUM || status == STATUS_CORRUPT;
}

/* Some blocks at or around one. */
static void read_at(struct sample *sample, unsigned view, uint64_t block) {
    uint32_t count = (uint32_t)(1 + random_below(&sample->random, 8));
    block = MATH_MIN(block, LARGE_VOLUME_BLOCKS - count);
    sample->reads++;
    if (sample->views[view] == NULL ||
        !large_read(&sample->large, view, sample->views[view], block, count))
        sample->read_errors++;
}

/* The leaf's, from a tree that has it, and the same place of any other. */
static void read_leaf(struct sample *sample, const struct large_block *leaf) {
    uint64_t at = leaf->first + random_below(&sample->random, leaf->last - leaf->first + 1);
    read_at(sample, (unsigned)leaf->view, at);
    read_at(sample, (unsigned)random_below(&sample->random, sample->large.view_count), at);
}

static void read_some(struct sample *sample, struct lfsx_pool *pool) {
    uint64_t errors = sample->read_errors;
    for (unsigned i = 0; i < sample->large.view_count; i++) {
        enum status status = lfsx_volume_open(pool, sample->large.views[i].name, &sample->views[i]);
        REQUIRE(status == STATUS_OK || is_damage(status));
        if (status != STATUS_OK)
            sample->views[i] = NULL;
    }
    for (unsigned i = 0; i < sample->count; i++)
        if (sample->flips[i].target->view >= 0)
            read_leaf(sample, sample->flips[i].target);
    for (unsigned i = 0; i < OTHER_READS; i++)
        read_at(sample, (unsigned)random_below(&sample->random, sample->large.view_count),
                random_below(&sample->random, LARGE_VOLUME_BLOCKS));
    for (unsigned i = 0; i < sample->large.view_count; i++)
        if (sample->views[i] != NULL)
            lfsx_volume_close(sample->views[i]);
    REQUIRE(sample->findings > 0 || sample->read_errors == errors);
}

static void open_and_read(struct sample *sample) {
    struct lfsx_open_options options = {.flags = LFSX_OPEN_READ_ONLY, .cache_bytes = 1};
    struct lfsx_pool *pool;
    struct lfsx_pool_info info;
    enum status status = lfsx_pool_open(&sample->disk.device, &options, &pool);
    REQUIRE(status == STATUS_OK || (is_damage(status) && sample->findings > 0));
    sample->refused += status != STATUS_OK;
    if (status != STATUS_OK)
        return;
    lfsx_pool_info(pool, &info);
    REQUIRE(info.checkpoint == sample->map.checkpoint);
    read_some(sample, pool);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
}

/* ---- the run ---- */

static void tell(const struct sample *sample) {
    printf("%llu flips in %llu batches: %llu seen by the check, %llu harmless, %llu pools refused, "
           "%llu reads, of which %llu failed\n",
           (unsigned long long)sample->flipped, (unsigned long long)sample->batches,
           (unsigned long long)sample->seen, (unsigned long long)sample->harmless,
           (unsigned long long)sample->refused, (unsigned long long)sample->reads,
           (unsigned long long)sample->read_errors);
    fflush(stdout);
}

static void run_batch(struct sample *sample) {
    draw_flips(sample, draw_class(sample));
    if (sample->count == 0)
        return;
    flip_all(sample);
    check(sample);
    judge_findings(sample);
    open_and_read(sample);
    flip_all(sample);
    if (++sample->batches % PROGRESS_BATCHES == 0)
        tell(sample);
}

static void expect_whole(struct sample *sample) {
    uint64_t errors = sample->read_errors;
    sample->count = 0;
    check(sample);
    REQUIRE(sample->findings == 0);
    open_and_read(sample);
    REQUIRE(sample->read_errors == errors);
}

static void start(struct sample *sample, uint64_t extents) {
    sample->random = random_start("flip_sample");
    sample->reported = calloc(LARGE_DISK_BYTES / DISK_BLOCK_SIZE, sizeof *sample->reported);
    REQUIRE(sample->reported != NULL);
    thin_disk_init(&sample->disk, LARGE_DISK_BYTES);
    large_make(&sample->large, &sample->disk.device, extents, &sample->random);
    large_map_make(&sample->map, &sample->disk, &sample->large);
    const struct large_map *map = &sample->map;
    printf("%u volumes and snapshots; %llu nodes of dead trees, %llu shared;",
           sample->large.view_count, (unsigned long long)map->dead_nodes,
           (unsigned long long)map->shared);
    for (unsigned i = 0; i < LARGE_CLASSES; i++)
        printf(" %llu %s%s", (unsigned long long)map->count[i], class_names[i],
               i + 1 < LARGE_CLASSES ? "," : "\n");
    expect_whole(sample);
}

int main(int argc, char **argv) {
    static struct sample sample;
    uint64_t flips = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t extents = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (flips == 0 || extents == 0) {
        fprintf(stderr, "Usage: flip_sample FLIPS EXTENTS\n");
        return 2;
    }
    start(&sample, extents);
    while (sample.flipped < flips)
        run_batch(&sample);
    tell(&sample);
    expect_whole(&sample);
    for (unsigned i = 0; i < LARGE_CLASSES; i++)
        printf("%llu flips of %s\n", (unsigned long long)sample.by_class[i], class_names[i]);
    large_map_destroy(&sample.map);
    large_destroy(&sample.large);
    thin_disk_destroy(&sample.disk);
    free(sample.reported);
    return 0;
}
