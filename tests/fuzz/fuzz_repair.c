/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repair of images that nobody would write. Input: which pool (1), flags (1), then edits (edits.h).
 * Unless a flag says otherwise all checksums are made right again after the edits.
 *
 * A repair may refuse, or leave findings and say so. One that says that nothing is left has made a
 * pool that opens, takes writes and is sound.
 */
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "tests/fuzz/edits.h"
#include "tests/fuzz/reseal.h"

#define HEADER_SIZE 2u
#define KEEP_CHECKSUMS 1u
#define PREEN 2u

static void take_finding(void *context, const struct lfsx_finding *finding) {
    (void)context;
    if (getenv("FINDINGS") != NULL)
        fprintf(stderr, "%u: block %llu: %s\n", finding->number, (unsigned long long)finding->block,
                finding->text);
    REQUIRE(finding->name != NULL && finding->text[0] != '\0');
}

static void take_action(void *context, const char *text) {
    (void)context;
    if (getenv("FINDINGS") != NULL)
        fprintf(stderr, "%s\n", text);
    REQUIRE(text[0] != '\0');
}

static void take_loss(void *context, const struct lfsx_loss *loss) {
    (void)context;
    REQUIRE(loss->volume != NULL && (loss->length > 0) == (loss->kind == LFSX_LOSS_BYTES));
    REQUIRE(loss->offset + loss->length >= loss->length);
}

static uint64_t check(struct ramdisk *disk) {
    struct lfsx_check_options options = {.finding = take_finding};
    struct lfsx_check_summary summary;
    REQUIRE(lfsx_check(&disk->device, &options, &summary) == STATUS_OK);
    return summary.findings;
}

/* The pool opens, is written to, and is sound afterwards. */
static void use(struct ramdisk *disk) {
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1};
    REQUIRE(lfsx_pool_open(&disk->device, &options, &pool) == STATUS_OK);
    enum status status = lfsx_volume_create(pool, "after the repair", 1 << 20);
    REQUIRE(status == STATUS_OK || status == STATUS_NO_SPACE || status == STATUS_EXISTS);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
    REQUIRE(check(disk) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const struct image *image = image_get((unsigned)input_take(&input, 1) % (IMAGE_KINDS + 1));
    uint8_t flags = (uint8_t)input_take(&input, 1);
    fuzz_random_restart();
    struct ramdisk *disk = fuzz_disk(image->content, IMAGE_BYTES);
    edits_apply(image, disk->content, &input);
    if ((flags & KEEP_CHECKSUMS) == 0)
        reseal_pool(disk->content, &image->geometry, image->checkpoint);
    struct lfsx_repair_options options = {.level =
                                              flags & PREEN ? LFSX_REPAIR_PREEN : LFSX_REPAIR_ALL,
                                          .finding = take_finding,
                                          .action = take_action,
                                          .loss = take_loss};
    struct lfsx_repair_summary summary;
    enum status status = lfsx_repair(&disk->device, &options, &summary);
    REQUIRE((flags & PREEN) == 0 || summary.losses == 0);
    if (status == STATUS_OK && summary.remaining == 0)
        use(disk);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return edits_mutate(data, size, max_size, seed, HEADER_SIZE);
}
