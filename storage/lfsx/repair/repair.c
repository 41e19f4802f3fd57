/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a repair, and what its parts share. */
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

/* What the check before the repair found. */
struct found {
    const struct lfsx_repair_options *options; /* NULL: only counts */
    uint64_t label, label_lost, journal, maps, trees, counts, shares, others;
};

static void forward_progress(void *context, uint64_t done, uint64_t total) {
    const struct found *found = context;
    if (found->options != NULL && found->options->progress != NULL)
        found->options->progress(found->options->context, done, total);
}

/* What makes the counts of trees, and their dead trees, be made anew. */
static bool is_count(uint32_t number) {
    switch (number) {
    case CHECK_SHARED_MISSING:
    case CHECK_DATASET_NODES:
    case CHECK_DATASET_DATA:
    case CHECK_DATASET_BLOCKS:
    case CHECK_DATASET_ORIGIN:
        return true;
    default:
        return number >= CHECK_SNAPSHOT_BLOCKS && number <= CHECK_DEAD_UNNAMED;
    }
}

/* What may be wrong with a share whose trees are whole. */
static bool is_of_share(uint32_t number) {
    switch (number) {
    case CHECK_NAME_HASH:
    case CHECK_INODE_MISSING:
    case CHECK_INODE_LINKS:
    case CHECK_EXTENT_BEHIND_END:
        return true;
    default:
        return (number >= CHECK_INODE_NUMBER && number <= CHECK_ITEM_STRAY) ||
               number >= CHECK_ENTRY_WRONG;
    }
}

static void sort_finding(void *context, const struct lfsx_finding *finding) {
    struct found *found = context;
    if (found->options != NULL)
        found->options->finding(found->options->context, finding);
    switch (finding->number) {
    case CHECK_LABEL_COPY:
        found->label++;
        break;
    case CHECK_LABEL_LOST:
        found->label_lost++;
        break;
    case CHECK_JOURNAL_DAMAGED:
    case CHECK_JOURNAL_RECORD:
        found->journal++;
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
        found->counts += is_count(finding->number);
        found->shares += is_of_share(finding->number);
        if ((finding->number >= CHECK_NODE_UNREADABLE && finding->number < CHECK_DATA_UNREADABLE) ||
            finding->number >= CHECK_SNAPSHOT_DATASET)
            found->trees++;
        else
            found->others++;
    }
}

void *repair_add(struct repair *repair, struct repair_array *array, size_t item_size) {
    if (array->count == array->capacity) {
        uint64_t capacity = MATH_MAX(2 * array->capacity, 16);
        void *items = os_alloc(capacity * item_size);
        if (items == NULL) {
            repair_fail(repair, STATUS_NO_MEMORY);
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
    if (repair->quiet)
        return;
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

static void swap(char *a, char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char swapped = a[i];
        a[i] = b[i];
        b[i] = swapped;
    }
}

static void sift(char *items, uint64_t at, uint64_t count, size_t size,
                 bool (*before)(const void *a, const void *b)) {
    while (2 * at + 1 < count) {
        uint64_t child = 2 * at + 1;
        if (child + 1 < count && before(items + child * size, items + (child + 1) * size))
            child++;
        if (!before(items + at * size, items + child * size))
            return;
        swap(items + at * size, items + child * size, size);
        at = child;
    }
}

void repair_sort(void *items, uint64_t count, size_t size,
                 bool (*before)(const void *a, const void *b)) {
    for (uint64_t i = count / 2; i-- > 0;)
        sift(items, i, count, size, before);
    for (uint64_t i = count; i-- > 1;) {
        swap(items, (char *)items + i * size, size);
        sift(items, 0, i, size, before);
    }
}

void repair_progress(struct repair *repair, uint64_t done, uint64_t total) {
    if (repair->options->progress != NULL)
        repair->options->progress(repair->options->context, done, total);
}

/* The scratch device is free for others then. What shares lost is still known. */
static void release_spill(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++) {
        spill_array_close(trees[i].lost);
        trees[i].lost = NULL;
    }
    spill_array_close(repair->candidates);
    repair->candidates = NULL;
    repair_map_release(repair);
    struct lfsx_check_summary *check = &repair->summary->check;
    uint64_t memory, peak = 0, scratch = 0;
    if (repair->spill != NULL)
        spill_usage(repair->spill, &memory, &peak, &scratch);
    check->memory_peak = MATH_MAX(check->memory_peak, peak);
    check->scratch_bytes = MATH_MAX(check->scratch_bytes, scratch);
    spill_close(repair->spill);
    repair->spill = NULL;
}

void repair_release(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    release_spill(repair);
    for (uint64_t i = 0; i < repair->trees.count; i++)
        repair_forget_losses(&trees[i]);
    os_free(repair->trees.items);
    os_free(repair->schedules.items);
    os_free(repair->ranges.items);
    os_free(repair->corrections.items);
    os_free(repair->adopted.items);
    os_free(repair->catalog_nodes.items);
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++)
        os_page_free(repair->path[level], DISK_BLOCK_SIZE);
    os_page_free(repair->page, DISK_BLOCK_SIZE);
    os_page_free(repair->data, DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
}

enum status repair_prepare(struct repair *repair) {
    if (repair->page != NULL)
        return STATUS_OK;
    repair->page = os_page_alloc(DISK_BLOCK_SIZE);
    repair->data = os_page_alloc(DISK_EXTENT_MAX * DISK_BLOCK_SIZE);
    bool enough = repair->page != NULL && repair->data != NULL;
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++) {
        repair->path[level] = os_page_alloc(DISK_BLOCK_SIZE);
        enough = enough && repair->path[level] != NULL;
    }
    const struct lfsx_repair_options *options = repair->options;
    enum status status = enough ? spill_open(options->memory_bytes, options->scratch,
                                             &repair->failure, &repair->spill)
                                : STATUS_NO_MEMORY;
    if (status == STATUS_OK)
        repair->candidates = spill_array_open(repair->spill, sizeof(struct repair_candidate));
    else
        repair_fail(repair, status);
    return repair->failure == STATUS_OK ? repair_map_load(repair) : repair->failure;
}

static bool has_live_head(const struct repair *repair, const struct repair_tree *tree) {
    const struct repair_tree *head = repair_find_tree(repair, tree->id, REPAIR_HEAD);
    return head != NULL && head->disk.state != DISK_DATASET_DELETING;
}

/* Snapshots of no dataset; and what is being deleted is so at once, with its snapshots: nothing
 * names any more what it had. */
static void drop_headless(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (!has_live_head(repair, &trees[i]) && repair_is_head(&trees[i]))
            repair_say(repair, "finished deleting dataset %llu", (unsigned long long)trees[i].id);
        else if (repair_find_tree(repair, trees[i].id, REPAIR_HEAD) == NULL)
            repair_say(repair, "dropped snapshot %s of dataset %llu, which does not exist",
                       trees[i].name, (unsigned long long)trees[i].id);
    uint64_t count = repair->trees.count;
    for (uint64_t i = 0; i < count;) {
        if (has_live_head(repair, &trees[i])) {
            i++;
            continue;
        }
        uint64_t end = i; /* all of a dataset at once: the search needs the order */
        while (end < count && trees[end].id == trees[i].id)
            repair_forget_losses(&trees[end++]);
        memmove(&trees[i], &trees[end], (count - end) * sizeof *trees);
        repair->trees.count = count -= end - i;
        repair->dropped = true;
    }
}

/* Counts are as the records say, until they are made anew. */
static void begin_tree(struct repair_tree *tree) {
    bool head = repair_is_head(tree);
    tree->nodes = le64_get(head ? tree->disk.node_blocks : tree->snapshot.node_blocks);
    tree->data = le64_get(head ? tree->disk.data_blocks : tree->snapshot.data_blocks);
    tree->shared = le64_get(head ? tree->disk.shared_blocks : tree->snapshot.shared_blocks);
    tree->file = tree->file_end = tree->size = tree->ranges = tree->corrections = 0;
    tree->limit = 0;
    tree->recount = tree->is_short = false;
}

/* No snapshot is of an epoch that has not ended. */
static void end_epochs(struct repair *repair) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (!repair_is_head(&trees[i]))
            repair->super.epoch = MATH_MAX(repair->super.epoch, trees[i].epoch + 1);
}

static void walk_trees(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    end_epochs(repair);
    repair_link(repair);
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->trees.count; i++) {
        begin_tree(&trees[i]);
        repair_walk_tree(repair, &trees[i]);
        if (repair_is_head(&trees[i]) && repair->failure == STATUS_OK)
            repair_walk_dead(repair, &trees[i]);
    }
}

void repair_forget(struct repair *repair) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        repair_forget_losses(&trees[i]);
    repair->trees.count = repair->schedules.count = repair->ranges.count = 0;
    repair->catalog_nodes.count = 0;
    repair->catalog_lost = repair->dropped = false;
    spill_bits_clear(repair->claimed);
    spill_bits_clear(repair->tainted);
    repair_forget_corrections(repair);
}

/* More trees were found: what was claimed by whom may change. */
static void walk_again(struct repair *repair) {
    spill_bits_clear(repair->claimed);
    spill_bits_clear(repair->tainted);
    repair_forget_corrections(repair);
    const uint64_t *catalog = repair->catalog_nodes.items;
    for (uint64_t i = 0; i < repair->catalog_nodes.count; i++)
        repair_set(repair->claimed, catalog[i]);
    repair->ranges.count = 0;
    drop_headless(repair);
    walk_trees(repair);
}

void repair_walk(struct repair *repair) {
    repair_walk_catalog(repair);
    repair->catalog_lost = repair->catalog_lost || repair_has_orphans(repair);
    if (repair->failure == STATUS_OK && !repair->catalog_lost && !repair->quiet)
        drop_headless(repair);
    if (repair->failure == STATUS_OK)
        walk_trees(repair);
}

/* Those of shares are told when they are mended. */
static void report_losses(struct repair *repair, const struct repair_tree *tree) {
    uint64_t blocks = math_divide_up(tree->size, DISK_BLOCK_SIZE);
    uint64_t count = tree->lost == NULL ? 0 : spill_array_count(tree->lost);
    char name[REPAIR_NAME_SIZE];
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        struct repair_loss lost;
        spill_array_get(tree->lost, i, &lost);
        uint64_t end = MATH_MIN(lost.end, blocks);
        if (lost.first >= end)
            continue;
        uint64_t offset = lost.first * DISK_BLOCK_SIZE;
        struct lfsx_loss loss = {.volume = repair_name(repair, tree, name),
                                 .offset = offset,
                                 .length = MATH_MIN(end * DISK_BLOCK_SIZE, tree->size) - offset,
                                 .doubtful = lost.doubtful};
        repair->options->loss(repair->options->context, &loss);
        repair->summary->losses++;
    }
}

void repair_doubt_everything(struct repair *repair, bool snapshots) {
    struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->trees.count; i++)
        if (snapshots || repair_is_head(&trees[i]))
            repair_lose(repair, &trees[i], 0, UINT64_MAX, true);
}

/* All that the new state needs, but for what makes it the state. */
static void build_state(struct repair *repair, struct superblock *super, bool trees) {
    repair_fail(repair, repair_keep_journal(repair));
    if (repair->failure == STATUS_OK && trees)
        repair_rebuild(repair);
    *super = repair->super;
    if (repair->failure == STATUS_OK && trees)
        repair_rebuild_catalog(repair, super);
    if (repair->failure == STATUS_OK && repair->options->level == LFSX_REPAIR_ALL)
        repair_fail(repair, repair_judge_journal(repair));
}

/* The new state. Nothing of the old one is overwritten before it is published; and what is lost is
 * said before it is. */
static void write_state(struct repair *repair, const struct found *found, bool lost) {
    struct superblock super;
    build_state(repair, &super,
                found->trees > 0 || repair->superblock_lost || repair->dropped || lost);
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; repair->failure == STATUS_OK && i < repair->trees.count; i++)
        report_losses(repair, &trees[i]);
    if (repair->failure == STATUS_OK)
        repair_fail(repair, repair_cut_journal(repair));
    if (repair->failure == STATUS_OK)
        repair_fail(repair, repair_publish(repair, &super));
    if (repair->failure == STATUS_OK)
        repair_say(repair, "wrote the allocation maps and checkpoint %llu",
                   (unsigned long long)super.checkpoint);
}

static bool has_bad_dead_tree(const struct repair *repair) {
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (trees[i].dead_is_bad)
            return true;
    return false;
}

static void repair_state(struct repair *repair, const struct found *found) {
    bool all = repair->options->level == LFSX_REPAIR_ALL;
    repair->recount = found->counts > 0 || repair->superblock_lost;
    if (!all && (found->trees > 0 || found->journal > 0))
        return;
    repair_prepare(repair);
    if (repair->failure == STATUS_OK)
        repair_walk(repair);
    bool lost = repair->ranges.count > 0 || repair->corrections.count > 0 || repair->catalog_lost ||
                has_bad_dead_tree(repair);
    if (repair->failure != STATUS_OK || (!all && lost))
        return;
    if (repair->ranges.count > 0 || repair->catalog_lost)
        repair_scan(repair);
    if (repair->failure == STATUS_OK && repair->catalog_lost) {
        repair_find_datasets(repair);
        repair_find_origins(repair);
        if (repair->failure == STATUS_OK)
            walk_again(repair);
        if (repair->failure == STATUS_OK && repair_doubt_origins(repair))
            walk_again(repair);
        repair_doubt_found(repair);
    }
    if (repair->failure == STATUS_OK && repair_candidate_count(repair) > 0)
        repair_date_candidates(repair);
    if (repair->superblock_lost) /* nobody knows what changed since */
        repair_doubt_everything(repair, true);
    if (repair->failure == STATUS_OK)
        write_state(repair, found, lost);
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
    if (found->maps > 0 || found->trees > 0 || found->journal > 0 || repair->superblock_lost)
        repair_state(repair, found);
    if (repair->failure == STATUS_OK)
        repair_ring(repair);
    release_spill(repair);
    return repair->failure;
}

static enum status check_again(struct blockdev *device, const struct lfsx_repair_options *options,
                               struct lfsx_repair_summary *summary, uint64_t *shares) {
    struct found found = {0};
    struct lfsx_check_summary check;
    struct lfsx_check_options quiet = {.data = options->data,
                                       .memory_bytes = options->memory_bytes,
                                       .scratch = options->scratch,
                                       .finding = sort_finding,
                                       .context = &found};
    enum status status = lfsx_check(device, &quiet, &check);
    summary->remaining = check.findings;
    *shares = found.shares;
    return status;
}

/* What shares say can be mended when everything around them is whole. */
static enum status finish(struct repair *repair) {
    uint64_t shares = 0;
    const struct lfsx_repair_options *options = repair->options;
    enum status status = check_again(repair->device, options, repair->summary, &shares);
    bool needed = shares > 0 || repair_has_lost_shares(repair);
    if (status != STATUS_OK || options->level != LFSX_REPAIR_ALL || !needed)
        return status;
    status = repair_mend_shares(repair);
    return status == STATUS_OK ? check_again(repair->device, options, repair->summary, &shares)
                               : status;
}

enum status lfsx_repair(struct blockdev *device, const struct lfsx_repair_options *options,
                        struct lfsx_repair_summary *summary) {
    *summary = (struct lfsx_repair_summary){0};
    struct found found = {.options = options};
    struct lfsx_check_options check = {.data = options->data,
                                       .memory_bytes = options->memory_bytes,
                                       .scratch = options->scratch,
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
    if (found.label_lost > 0 && options->level == LFSX_REPAIR_ALL) {
        status = repair_make_label(&repair);
        if (status != STATUS_OK)
            return status == STATUS_CORRUPT ? STATUS_OK : status;
        /* Only now can the rest be looked at. */
        uint64_t before = summary->check.findings;
        status = lfsx_check(device, &check, &summary->check);
        summary->check.findings += before;
        if (status != STATUS_OK)
            return status;
    }
    status = run(&repair, &found);
    if (status == STATUS_OK)
        status = finish(&repair);
    repair_release(&repair);
    return status;
}
