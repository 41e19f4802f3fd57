/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check: labels and ring, the catalog, every dataset's tree, then the allocation maps against
 * everything that the trees named, and last the journal.
 */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"

#define PROGRESS_BLOCKS 4096u

_Static_assert(LFSX_MEMORY_MIN == SPILL_BUDGET_MIN, "the header says so to callers");

static const struct finding_kind {
    uint32_t number;
    bool fatal;
    const char *name;
} kinds[] = {
#define X(identifier, number, name, fatal) {number, fatal, name},
    CHECK_FINDINGS(X)
#undef X
};

void check_report(struct check *check, enum check_finding finding, uint64_t block,
                  const char *format, ...) {
    struct lfsx_finding report = {.number = finding, .block = block};
    if (check->failure != STATUS_OK)
        return;
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (kinds[i].number == report.number) {
            report.name = kinds[i].name;
            report.fatal = kinds[i].fatal;
        }
    }
    va_list arguments;
    va_start(arguments, format);
    format_text_v(report.text, sizeof report.text, format, arguments);
    va_end(arguments);
    check->summary->findings++;
    check->options->finding(check->options->context, &report);
}

bool check_is_damage(struct check *check, enum status status) {
    bool machine = status == STATUS_NO_MEMORY || status == STATUS_GONE;
    if (machine)
        check->failure = status;
    return !machine;
}

static void report_progress(struct check *check, uint64_t before) {
    if (check->options->progress == NULL)
        return;
    if (before / PROGRESS_BLOCKS == check->claimed_data / PROGRESS_BLOCKS && before != 0)
        return;
    check->options->progress(check->options->context,
                             MATH_MIN(check->claimed_data, check->used_data), check->used_data);
}

uint64_t check_claim(struct check *check, uint64_t block, uint64_t count, const char *who) {
    uint64_t shared = spill_bits_count(check->claimed, block, count);
    if (shared > 0)
        check_report(check, CHECK_BLOCK_SHARED, spill_bits_find(check->claimed, block, true),
                     "%llu of the blocks %llu..%llu are named twice, the second time by %s",
                     (unsigned long long)shared, (unsigned long long)block,
                     (unsigned long long)(block + count - 1), who);
    spill_bits_put(check->claimed, block, count, true);
    uint64_t before = check->claimed_data;
    check->claimed_data += count - shared;
    report_progress(check, before);
    return count - shared;
}

uint64_t check_unclaimed(struct check *check, uint64_t block, uint64_t count) {
    return count - spill_bits_count(check->claimed, block, count);
}

uint64_t check_claim_missing(struct check *check, uint64_t block, uint64_t count) {
    uint64_t fresh = check_unclaimed(check, block, count);
    spill_bits_put(check->claimed, block, count, true);
    uint64_t before = check->claimed_data;
    check->claimed_data += fresh;
    report_progress(check, before);
    return fresh;
}

/* Claims everything outside of the data area, up to the end of the last region. */
static void claim_format_areas(struct check *check) {
    const struct geometry *g = &check->label.geometry;
    uint64_t end = g->regions * DISK_REGION_BLOCKS;
    spill_bits_put(check->claimed, 0, g->data_start, true);
    spill_bits_put(check->claimed, g->data_end, end - g->data_end, true);
    uint64_t outside = end - (g->data_end - g->data_start);
    uint64_t used = check->super.used_blocks;
    check->used_data = used > outside ? used - outside : 0;
}

static void open_collections(struct check *check) {
    struct spill *spill = check->spill;
    check->claimed = spill_bits_open(spill, check->label.geometry.regions * DISK_REGION_BLOCKS);
    check->datasets = spill_array_open(spill, sizeof(struct check_dataset));
    check->snapshots = spill_array_open(spill, sizeof(struct check_snapshot));
    check->names = spill_array_open(spill, sizeof(struct check_name));
}

static enum status prepare(struct check *check) {
    const struct lfsx_check_options *options = check->options;
    enum status status =
        spill_open(options->memory_bytes, options->scratch, &check->failure, &check->spill);
    if (status != STATUS_OK)
        return status;
    open_collections(check);
    bool enough = check->failure == STATUS_OK;
    if (options->data) {
        check->data = os_page_alloc(DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
        enough = enough && check->data != NULL;
    }
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++) {
        check->path[level] = os_page_alloc(DISK_BLOCK_SIZE);
        enough = enough && check->path[level] != NULL;
    }
    return enough ? STATUS_OK : STATUS_NO_MEMORY;
}

static void release(struct check *check) {
    struct lfsx_check_summary *summary = check->summary;
    uint64_t memory;
    if (check->spill != NULL)
        spill_usage(check->spill, &memory, &summary->memory_peak, &summary->scratch_bytes);
    spill_bits_close(check->claimed);
    spill_array_close(check->datasets);
    spill_array_close(check->snapshots);
    spill_array_close(check->names);
    spill_close(check->spill);
    os_page_free(check->data, DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++)
        os_page_free(check->path[level], DISK_BLOCK_SIZE);
    trail_release(&check->trail);
}

static void walk_datasets(struct check *check) {
    uint64_t count = spill_array_count(check->datasets);
    for (uint64_t i = 0; check->failure == STATUS_OK && i < count; i++) {
        struct check_dataset dataset;
        spill_array_get(check->datasets, i, &dataset);
        check_dataset(check, &dataset);
        spill_array_put(check->datasets, i, &dataset);
    }
}

static void walk_everything(struct check *check) {
    claim_format_areas(check);
    check_catalog(check);
    walk_datasets(check);
    if (check->failure == STATUS_OK)
        check_map(check);
    if (check->failure == STATUS_OK)
        check_journal(check);
}

enum status lfsx_check(struct blockdev *device, const struct lfsx_check_options *options,
                       struct lfsx_check_summary *summary) {
    *summary = (struct lfsx_check_summary){0};
    struct check check = {.device = device, .options = options, .summary = summary};
    enum status status;
    if (!check_super(&check, &status))
        return status;
    check.failure = prepare(&check);
    if (check.failure == STATUS_OK)
        walk_everything(&check);
    const struct geometry *g = &check.label.geometry;
    summary->total_blocks = g->data_end - g->data_start;
    summary->used_blocks = check.claimed_data;
    if (check.failure == STATUS_OK && options->progress != NULL)
        options->progress(options->context, check.used_data, check.used_data);
    release(&check);
    return check.failure;
}
