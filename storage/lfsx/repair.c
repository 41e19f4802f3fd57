/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a repair, and what its parts share. */
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair_internal.h"

/* What the check before the repair found. */
struct found {
    const struct lfsx_repair_options *options; /* NULL: only counts */
    uint64_t label, maps, trees, others;
};

static void forward_progress(void *context, uint64_t done, uint64_t total) {
    const struct found *found = context;
    if (found->options != NULL && found->options->progress != NULL)
        found->options->progress(found->options->context, done, total);
}

static void sort_finding(void *context, const struct lfsx_finding *finding) {
    struct found *found = context;
    if (found->options != NULL)
        found->options->finding(found->options->context, finding);
    switch (finding->number) {
    case CHECK_LABEL_COPY:
        found->label++;
        break;
    case CHECK_MAP_UNREADABLE:
    case CHECK_MAP_CHECKSUM:
    case CHECK_MAP_CORRUPT:
    case CHECK_MAP_FREE_COUNT:
    case CHECK_MAP_FORMAT_AREA:
    case CHECK_BLOCK_LEAKED:
    case CHECK_BLOCK_LOST:
    case CHECK_USED_COUNT:
        found->maps++;
        break;
    default:
        if (finding->number >= CHECK_NODE_UNREADABLE && finding->number < CHECK_DATA_UNREADABLE)
            found->trees++;
        else
            found->others++;
    }
}

void *repair_add(struct repair *repair, struct repair_array *array, size_t item_size) {
    if (array->count == array->capacity) {
        uint64_t capacity = MATH_MAX(2 * array->capacity, 16);
        uint64_t limit = repair->options->memory_bytes;
        void *items =
            limit != 0 && capacity * item_size > limit / 4 ? NULL : os_alloc(capacity * item_size);
        if (items == NULL) {
            repair->failure = STATUS_NO_MEMORY;
            return NULL;
        }
        if (array->count > 0)
            memcpy(items, array->items, array->count * item_size);
        os_free(array->items);
        array->items = items;
        array->capacity = capacity;
    }
    void *item = (char *)array->items + array->count++ * item_size;
    memset(item, 0, item_size);
    return item;
}

void repair_say(struct repair *repair, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    format_text_v(text, sizeof text, format, arguments);
    va_end(arguments);
    repair->summary->actions++;
    repair->options->action(repair->options->context, text);
}

bool repair_read(struct repair *repair, uint64_t block, void *page) {
    enum status status =
        blockdev_read(repair->device, block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE);
    if (status == STATUS_NO_MEMORY || status == STATUS_GONE)
        repair->failure = status;
    return status == STATUS_OK;
}

void repair_progress(struct repair *repair, uint64_t done, uint64_t total) {
    if (repair->options->progress != NULL)
        repair->options->progress(repair->options->context, done, total);
}

static void release(struct repair *repair) {
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; i < repair->datasets.count; i++)
        os_free(datasets[i].losses.items);
    os_free(repair->datasets.items);
    os_free(repair->ranges.items);
    os_free(repair->candidates.items);
    os_free(repair->catalog_nodes.items);
    repair_map_release(repair);
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++)
        os_page_free(repair->path[level], DISK_BLOCK_SIZE);
    os_page_free(repair->page, DISK_BLOCK_SIZE);
    os_page_free(repair->data, DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
}

static enum status prepare(struct repair *repair) {
    repair->page = os_page_alloc(DISK_BLOCK_SIZE);
    repair->data = os_page_alloc(DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
    bool enough = repair->page != NULL && repair->data != NULL;
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++) {
        repair->path[level] = os_page_alloc(DISK_BLOCK_SIZE);
        enough = enough && repair->path[level] != NULL;
    }
    return enough ? repair_map_load(repair) : STATUS_NO_MEMORY;
}

static void walk(struct repair *repair) {
    repair_walk_catalog(repair);
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->datasets.count; i++)
        repair_walk_dataset(repair, &datasets[i]);
}

static void report_losses(struct repair *repair, const struct repair_dataset *dataset) {
    const struct repair_loss *losses = dataset->losses.items;
    uint64_t blocks = math_divide_up(dataset->size, DISK_BLOCK_SIZE);
    for (uint64_t i = 0; i < dataset->losses.count; i++) {
        uint64_t end = MATH_MIN(losses[i].end, blocks);
        if (losses[i].first >= end)
            continue;
        uint64_t offset = losses[i].first * DISK_BLOCK_SIZE;
        struct lfsx_loss loss = {.volume = dataset->name,
                                 .offset = offset,
                                 .length = MATH_MIN(end * DISK_BLOCK_SIZE, dataset->size) - offset,
                                 .doubtful = losses[i].doubtful};
        repair->options->loss(repair->options->context, &loss);
        repair->summary->losses++;
    }
}

/* Going back to an older superblock says nothing about what changed since. */
static void doubt_everything(struct repair *repair) {
    struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->datasets.count; i++) {
        struct repair_loss *loss = repair_add(repair, &datasets[i].losses, sizeof *loss);
        if (loss != NULL)
            *loss = (struct repair_loss){0, UINT64_MAX, true};
    }
}

/* The new state. Nothing of the old one is overwritten before it is published. */
static void write_state(struct repair *repair, const struct found *found) {
    struct superblock super = repair->super;
    repair->failure = repair_keep_journal(repair);
    bool trees = found->trees > 0 || repair->superblock_lost || repair->ranges.count > 0;
    if (repair->failure == STATUS_OK && trees)
        repair_rebuild(repair, &super);
    if (repair->failure == STATUS_OK)
        repair->failure = repair_publish(repair, &super);
    if (repair->failure == STATUS_OK)
        repair_say(repair, "wrote the allocation maps and checkpoint %llu",
                   (unsigned long long)super.checkpoint);
}

/* What can be done for volumes cannot yet be done for shares: then nothing is. */
static bool is_beyond(struct repair *repair) {
    const struct repair_dataset *datasets = repair->datasets.items;
    bool beyond = false;
    for (uint64_t i = 0; i < repair->datasets.count; i++) {
        if (datasets[i].disk.kind != DISK_DATASET_SHARE || datasets[i].ranges == 0)
            continue;
        repair_say(repair,
                   "share %s: a part of its tree is damaged, which this program cannot mend: "
                   "changed nothing",
                   datasets[i].name);
        beyond = true;
    }
    return beyond;
}

static void repair_state(struct repair *repair, const struct found *found) {
    bool all = repair->options->level == LFSX_REPAIR_ALL;
    repair->failure = prepare(repair);
    if (repair->failure == STATUS_OK)
        walk(repair);
    if (repair->failure != STATUS_OK || (!all && (repair->ranges.count > 0 || found->trees > 0)) ||
        is_beyond(repair))
        return;
    if (repair->ranges.count > 0)
        repair_scan(repair);
    if (repair->failure == STATUS_OK && repair->catalog_lost)
        repair_find_datasets(repair);
    if (repair->superblock_lost)
        doubt_everything(repair);
    if (repair->failure == STATUS_OK)
        write_state(repair, found);
    const struct repair_dataset *datasets = repair->datasets.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->datasets.count; i++)
        report_losses(repair, &datasets[i]);
}

static enum status run(struct repair *repair, const struct found *found) {
    enum status status = label_read(repair->device, &repair->label);
    if (status != STATUS_OK) /* nothing that this version can do */
        return status == STATUS_IO || status == STATUS_NO_MEMORY ? status : STATUS_OK;
    if (found->label > 0)
        status = repair_labels(repair);
    if (status == STATUS_OK)
        status = repair_choose(repair);
    if (status != STATUS_OK)
        return status == STATUS_CORRUPT ? STATUS_OK : status;
    if (found->maps > 0 || found->trees > 0 || repair->superblock_lost)
        repair_state(repair, found);
    if (repair->failure == STATUS_OK)
        repair_ring(repair);
    release(repair);
    return repair->failure;
}

static enum status check_again(struct blockdev *device, const struct lfsx_repair_options *options,
                               struct lfsx_repair_summary *summary) {
    struct found found = {0};
    struct lfsx_check_summary check;
    struct lfsx_check_options quiet = {
        .data = options->data, .finding = sort_finding, .context = &found};
    enum status status = lfsx_check(device, &quiet, &check);
    summary->remaining = check.findings;
    return status;
}

enum status lfsx_repair(struct blockdev *device, const struct lfsx_repair_options *options,
                        struct lfsx_repair_summary *summary) {
    *summary = (struct lfsx_repair_summary){0};
    struct found found = {.options = options};
    struct lfsx_check_options check = {.data = options->data,
                                       .finding = sort_finding,
                                       .progress = forward_progress,
                                       .context = &found};
    enum status status = lfsx_check(device, &check, &summary->check);
    summary->remaining = summary->check.findings;
    if (status != STATUS_OK || summary->check.findings == 0)
        return status;
    if (device->limits.read_only)
        return STATUS_READ_ONLY;
    struct repair repair = {.device = device, .options = options, .summary = summary};
    status = run(&repair, &found);
    return status == STATUS_OK ? check_again(device, options, summary) : status;
}
