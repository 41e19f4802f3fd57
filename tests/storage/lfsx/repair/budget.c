/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a repair within a budget of memory does what one without does, and leaves the same bytes on
 * the device: on a large pool whose data and nodes are scattered all over it, with snapshots and a
 * clone, whatever is damaged. Where the scratch device is missing or full it says so, and changes
 * nothing that counts.
 */
#include "tests/storage/lfsx/scattered.h"
#include "tests/storage/lfsx/sparsedisk.h"

#define DISK_BYTES (24ull << 30)
#define WRITES 400u
#define BUDGET LFSX_MEMORY_MIN
#define SCRATCH (64ull << 20)
#define TEXT_MAX (4u << 20)

/* What a repair said. */
struct said {
    char *text;
    size_t length;
    uint64_t losses;
};

struct scene {
    struct random random;
    struct sparsedisk *disk;
    struct label label;
    struct superblock super;
    uint64_t *nodes; /* blocks that hold one, old versions too */
    uint64_t node_count;
};

/* Repairs are alike only if they are told the same random numbers and times. */
static uint64_t random_state;
void __wrap_os_random(void *bytes, size_t size);
uint64_t __wrap_os_wall_clock_ns(void);

void __wrap_os_random(void *bytes, size_t size) {
    struct random random = {random_state++};
    random_fill(&random, bytes, size);
}

uint64_t __wrap_os_wall_clock_ns(void) {
    return 1700000000000000000u;
}

/* ---- the pool ---- */

static void find_nodes(struct scene *s) {
    s->nodes = calloc(s->disk->pages, sizeof *s->nodes);
    for (uint64_t block = s->label.geometry.data_start; block < s->label.geometry.data_end;
         block++) {
        const struct disk_node *node = (const struct disk_node *)sparsedisk_page(s->disk, block);
        if (node != NULL && le32_get(node->magic) == DISK_NODE_MAGIC)
            s->nodes[s->node_count++] = block;
    }
    assert_true(s->node_count > 500);
}

static int set_up(void **state) {
    static struct ring ring;
    struct scene *s = calloc(1, sizeof *s);
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 64u << 20};
    s->random = random_start("repair_budget");
    s->disk = sparsedisk_create(DISK_BYTES);
    assert_int_equal(
        lfsx_format(&s->disk->device, &(struct lfsx_format_options){.label = "scattered"}),
        STATUS_OK);
    assert_int_equal(lfsx_pool_open(&s->disk->device, &options, &pool), STATUS_OK);
    scattered_make_volumes(pool, &s->random, WRITES);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    assert_int_equal(label_read(&s->disk->device, &s->label), STATUS_OK);
    assert_int_equal(ring_read(&s->disk->device, &s->label, &ring), STATUS_OK);
    assert_int_equal(ring_newest(&ring, &s->super), STATUS_OK);
    find_nodes(s);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    sparsedisk_destroy(s->disk);
    free(s->nodes);
    free(s);
    return 0;
}

static struct sparsedisk *copy_of(const struct sparsedisk *disk) {
    struct sparsedisk *copy = sparsedisk_create(DISK_BYTES);
    for (uint64_t group = 0; group < disk->group_count; group++)
        for (uint64_t i = 0; disk->groups[group] != NULL && i < SPARSEDISK_GROUP; i++) {
            uint64_t page = group * SPARSEDISK_GROUP + i;
            if (sparsedisk_page(disk, page) != NULL)
                memcpy(sparsedisk_page_for_writing(copy, page), sparsedisk_page(disk, page),
                       SPARSEDISK_PAGE);
        }
    return copy;
}

static bool is_same_page(const unsigned char *a, const unsigned char *b) {
    static const unsigned char zeros[SPARSEDISK_PAGE];
    return memcmp(a == NULL ? zeros : a, b == NULL ? zeros : b, SPARSEDISK_PAGE) == 0;
}

static void assert_same_disks(const struct sparsedisk *a, const struct sparsedisk *b) {
    for (uint64_t page = 0; page < DISK_BYTES / SPARSEDISK_PAGE; page++) {
        if (a->groups[page / SPARSEDISK_GROUP] == NULL &&
            b->groups[page / SPARSEDISK_GROUP] == NULL)
            page |= SPARSEDISK_GROUP - 1;
        else if (!is_same_page(sparsedisk_page(a, page), sparsedisk_page(b, page)))
            fail_msg("block %llu differs", (unsigned long long)page);
    }
}

/* ---- repairs ---- */

static void say(struct said *said, const char *text) {
    size_t length = strlen(text);
    assert_true(said->length + length + 1 < TEXT_MAX);
    memcpy(said->text + said->length, text, length);
    said->text[said->length += length] = '\n';
    said->text[++said->length] = '\0';
}

static void on_finding(void *context, const struct lfsx_finding *finding) {
    say(context, finding->text);
}

static void on_action(void *context, const char *text) {
    say(context, text);
}

static void on_loss(void *context, const struct lfsx_loss *loss) {
    struct said *said = context;
    char text[2 * LFSX_NAME_MAX + 80];
    snprintf(text, sizeof text, "%s: %llu + %llu, %d", loss->volume,
             (unsigned long long)loss->offset, (unsigned long long)loss->length, loss->doubtful);
    say(said, text);
    said->losses++;
}

static enum status repair(struct sparsedisk *disk, uint64_t budget, struct blockdev *scratch,
                          struct said *said, struct lfsx_repair_summary *summary) {
    struct lfsx_repair_options options = {.level = LFSX_REPAIR_ALL,
                                          .memory_bytes = budget,
                                          .scratch = scratch,
                                          .finding = on_finding,
                                          .action = on_action,
                                          .loss = on_loss,
                                          .context = said};
    *said = (struct said){.text = calloc(1, TEXT_MAX)};
    random_state = 1;
    return lfsx_repair(&disk->device, &options, summary);
}

static void flip(struct scene *s, struct sparsedisk *disk, uint64_t block) {
    sparsedisk_page_for_writing(disk, block)[random_below(&s->random, DISK_BLOCK_SIZE)] ^= 0x10;
}

/* Returns how much was lost. */
static uint64_t compare(const struct sparsedisk *damaged) {
    struct sparsedisk *one = copy_of(damaged), *two = copy_of(damaged);
    struct sparsedisk *scratch = sparsedisk_create(SCRATCH);
    struct said without, within;
    struct lfsx_repair_summary summary;
    assert_int_equal(repair(one, 0, NULL, &without, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, 0);
    assert_int_equal(repair(two, BUDGET, &scratch->device, &within, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, 0);
    assert_true(summary.check.memory_peak <= BUDGET && summary.check.scratch_bytes > BUDGET);
    assert_string_equal(without.text, within.text);
    assert_same_disks(one, two);
    uint64_t losses = without.losses;
    free(without.text);
    free(within.text);
    sparsedisk_destroy(one);
    sparsedisk_destroy(two);
    sparsedisk_destroy(scratch);
    return losses;
}

static void flip_nodes(struct scene *s, struct sparsedisk *disk, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        flip(s, disk, s->nodes[random_below(&s->random, s->node_count)]);
}

/* The catalog's root, and nodes of any tree. */
static void catalog_root(void **state) {
    struct scene *s = *state;
    struct sparsedisk *damaged = copy_of(s->disk);
    flip(s, damaged, s->super.catalog.block);
    flip_nodes(s, damaged, 20);
    compare(damaged);
    sparsedisk_destroy(damaged);
}

/* Nodes of any tree: many, so that some of them are in use. */
static void nodes(void **state) {
    struct scene *s = *state;
    uint64_t losses = 0;
    for (uint64_t i = random_scale(2); i > 0; i--) {
        struct sparsedisk *damaged = copy_of(s->disk);
        flip_nodes(s, damaged, 150);
        losses += compare(damaged);
        sparsedisk_destroy(damaged);
    }
    assert_true(losses > 0);
}

/* All superblocks, and the maps. */
static void superblocks(void **state) {
    struct scene *s = *state;
    const struct geometry *g = &s->label.geometry;
    struct sparsedisk *damaged = copy_of(s->disk);
    for (unsigned area = 0; area < 2; area++)
        for (unsigned slot = 0; slot < DISK_RING_SLOTS; slot++)
            flip(s, damaged, geometry_slot_address(g, area, slot));
    for (unsigned i = 0; i < 20; i++)
        flip(s, damaged, g->map_start + random_below(&s->random, g->map_blocks));
    assert_true(compare(damaged) > 0);
    sparsedisk_destroy(damaged);
}

/* ---- where there is no room ---- */

/* Whatever happened, a repair that has room finds the same to do. */
static void assert_still_repairable(const struct sparsedisk *damaged, struct sparsedisk *tried) {
    struct said first, second;
    struct lfsx_repair_summary summary;
    struct sparsedisk *copy = copy_of(damaged);
    assert_int_equal(repair(copy, 0, NULL, &first, &summary), STATUS_OK);
    assert_int_equal(repair(tried, 0, NULL, &second, &summary), STATUS_OK);
    assert_int_equal(summary.remaining, 0);
    assert_string_equal(first.text, second.text);
    free(first.text);
    free(second.text);
    sparsedisk_destroy(copy);
}

static void too_little_scratch(void **state) {
    struct scene *s = *state;
    struct sparsedisk *damaged = copy_of(s->disk);
    flip(s, damaged, s->super.catalog.block);
    enum status status = STATUS_NO_MEMORY;
    unsigned refused = 0;
    for (uint64_t pages = 0; status != STATUS_OK; pages += 150) {
        struct sparsedisk *tried = copy_of(damaged);
        struct sparsedisk *scratch = sparsedisk_create(MATH_MAX(pages, 1) * SPARSEDISK_PAGE);
        struct said said;
        struct lfsx_repair_summary summary;
        status = repair(tried, BUDGET, pages == 0 ? NULL : &scratch->device, &said, &summary);
        refused += status == STATUS_NO_MEMORY;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        free(said.text);
        if (status != STATUS_OK)
            assert_still_repairable(damaged, tried);
        sparsedisk_destroy(tried);
        sparsedisk_destroy(scratch);
    }
    assert_true(refused > 2);
    sparsedisk_destroy(damaged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog_root),
        cmocka_unit_test(nodes),
        cmocka_unit_test(superblocks),
        cmocka_unit_test(too_little_scratch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
