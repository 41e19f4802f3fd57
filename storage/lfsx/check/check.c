/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check: labels and ring, the catalog, every dataset's tree, then the allocation maps against
 * everything that the trees named, and last the journal.
 */
#include "base/checksum.h"
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/check/check_internal.h"

#define WORD_BITS 64u
#define PROGRESS_BLOCKS 4096u

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

void *check_array_add(struct check *check, struct check_array *array, size_t item_size) {
    if (array->count == array->capacity) {
        uint64_t capacity = MATH_MAX(2 * array->capacity, 16);
        void *items = os_alloc(capacity * item_size);
        if (items == NULL) {
            check->failure = STATUS_NO_MEMORY;
            return NULL;
        }
        if (array->count > 0)
            memcpy(items, array->items, array->count * item_size);
        os_free(array->items);
        array->items = items;
        array->capacity = capacity;
    }
    return (char *)array->items + array->count++ * item_size;
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
    uint64_t fresh = 0;
    uint64_t shared = 0;
    uint64_t first_shared = 0;
    for (uint64_t i = block; i < block + count; i++) {
        uint64_t bit = 1ull << i % WORD_BITS;
        if (check->claimed[i / WORD_BITS] & bit) {
            if (shared++ == 0)
                first_shared = i;
        } else {
            check->claimed[i / WORD_BITS] |= bit;
            fresh++;
        }
    }
    if (shared > 0)
        check_report(check, CHECK_BLOCK_SHARED, first_shared,
                     "%llu of the blocks %llu..%llu are named twice, the second time by %s",
                     (unsigned long long)shared, (unsigned long long)block,
                     (unsigned long long)(block + count - 1), who);
    uint64_t before = check->claimed_data;
    check->claimed_data += fresh;
    report_progress(check, before);
    return fresh;
}

uint64_t check_unclaimed(const struct check *check, uint64_t block, uint64_t count) {
    uint64_t unclaimed = 0;
    for (uint64_t i = block; i < block + count; i++)
        unclaimed += (check->claimed[i / WORD_BITS] >> i % WORD_BITS & 1) == 0;
    return unclaimed;
}

uint64_t check_claim_missing(struct check *check, uint64_t block, uint64_t count) {
    uint64_t fresh = 0;
    for (uint64_t i = block; i < block + count; i++)
        if (check_unclaimed(check, i, 1) > 0)
            fresh += check_claim(check, i, 1, "");
    return fresh;
}

/* Claims everything outside of the data area, up to the end of the last region. */
static void claim_format_areas(struct check *check) {
    const struct geometry *g = &check->label.geometry;
    uint64_t end = g->regions * DISK_REGION_BLOCKS;
    for (uint64_t i = 0; i < g->data_start; i++)
        check->claimed[i / WORD_BITS] |= 1ull << i % WORD_BITS;
    for (uint64_t i = g->data_end; i < end; i++)
        check->claimed[i / WORD_BITS] |= 1ull << i % WORD_BITS;
    uint64_t outside = end - (g->data_end - g->data_start);
    uint64_t used = check->super.used_blocks;
    check->used_data = used > outside ? used - outside : 0;
}

static enum status prepare(struct check *check) {
    check->claimed = os_alloc_zeroed(check->label.geometry.regions * DISK_MAP_PAYLOAD);
    bool enough = check->claimed != NULL;
    if (check->options->data) {
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
    os_free(check->claimed);
    os_page_free(check->data, DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++)
        os_page_free(check->path[level], DISK_BLOCK_SIZE);
    os_free(check->datasets.items);
    os_free(check->snapshots.items);
    os_free(check->names.items);
}

static void walk_everything(struct check *check) {
    claim_format_areas(check);
    check_catalog(check);
    struct check_dataset *datasets = check->datasets.items;
    for (uint64_t i = 0; check->failure == STATUS_OK && i < check->datasets.count; i++)
        check_dataset(check, &datasets[i]);
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
