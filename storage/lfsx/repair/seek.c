/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A superblock when all are lost. Everything that it says follows from something else: nodes say
 * when they were written, so that the newest root of a catalog is found by looking at all of them;
 * map blocks say so, too; and the log begins behind the newest entry that there is.
 *
 * A checkpoint that a power cut prevented leaves nodes as well, maybe not all. So a catalog counts
 * only if it is whole and its names are those of its datasets; and of the two newest of those the
 * older one, if it leads to nothing that is lost and the newer one does. Where none is, the catalog
 * is taken for lost, like any other that is damaged.
 *
 * The journal is given up: which of its entries the checkpoint has is not known, and to repeat one
 * that it has could bring back what was overwritten. What stays is the pool as it was at one
 * moment, and all of it is reported as doubtful.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/journal/journal.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/repair_internal.h"

#define CATALOGS 8u                 /* checkpoints whose roots are remembered */
#define CHECKPOINT_MAX (1ull << 62) /* no pool gets there */
#define CHUNK DISK_EXTENT_MAX

struct seek {
    struct repair *repair;
    uint64_t checkpoint, birth, owner; /* the greatest that were seen */
    struct {
        uint64_t checkpoint;
        struct pointer root; /* the highest node of it */
    } catalogs[CATALOGS];    /* the newest ones, newest first */
    unsigned count;
};

/* ---- looking at all nodes ---- */

static void add_catalog(struct seek *seek, uint64_t checkpoint, const struct pointer *root) {
    unsigned at = 0;
    while (at < seek->count && seek->catalogs[at].checkpoint > checkpoint)
        at++;
    if (at == CATALOGS)
        return;
    bool there = at < seek->count && seek->catalogs[at].checkpoint == checkpoint;
    if (there && seek->catalogs[at].root.level >= root->level)
        return;
    if (!there) {
        seek->count = MATH_MIN(seek->count + 1, CATALOGS);
        for (unsigned i = seek->count - 1; i > at; i--)
            seek->catalogs[i] = seek->catalogs[i - 1];
    }
    seek->catalogs[at].checkpoint = checkpoint;
    seek->catalogs[at].root = *root;
}

static void look_at(struct seek *seek, const struct disk_node *node, uint64_t block) {
    struct pointer pointer = {block, le64_get(node->birth), le64_get(node->checksum), node->level};
    uint64_t owner = le64_get(node->owner);
    uint64_t checkpoint = le64_get(node->checkpoint);
    uint64_t dataset = owner & ~DISK_OWNER_DEAD;
    const char *why;
    if (le32_get(node->magic) != DISK_NODE_MAGIC || checkpoint > CHECKPOINT_MAX ||
        pointer.birth > DISK_EPOCH_MAX ||
        (owner != DISK_OWNER_CATALOG && dataset < DISK_FIRST_DATASET) ||
        node_validate(node, &pointer, owner, &why) != STATUS_OK)
        return;
    seek->checkpoint = MATH_MAX(seek->checkpoint, checkpoint);
    seek->birth = MATH_MAX(seek->birth, pointer.birth);
    seek->owner = MATH_MAX(seek->owner, dataset);
    if (owner == DISK_OWNER_CATALOG)
        add_catalog(seek, checkpoint, &pointer);
}

static void look_at_chunk(struct seek *seek, uint64_t block, uint64_t count) {
    struct repair *repair = seek->repair;
    bool whole = blockdev_read(repair->device, block * DISK_BLOCK_SIZE, repair->data,
                               count * DISK_BLOCK_SIZE) == STATUS_OK;
    for (uint64_t i = 0; i < count && repair->failure == STATUS_OK; i++) {
        void *page = (char *)repair->data + i * DISK_BLOCK_SIZE;
        if (whole || repair_read(repair, block + i, page))
            look_at(seek, page, block + i);
    }
}

static void look_at_all(struct seek *seek) {
    struct repair *repair = seek->repair;
    const struct geometry *g = &repair->label.geometry;
    for (uint64_t block = g->data_start; block < g->data_end && repair->failure == STATUS_OK;) {
        uint64_t region = block / DISK_REGION_BLOCKS;
        uint64_t end = MATH_MIN((region + 1) * DISK_REGION_BLOCKS, g->data_end);
        uint64_t count = MATH_MIN(CHUNK, end - block);
        if (repair_is_region_empty(repair, region))
            count = end - block;
        else
            look_at_chunk(seek, block, count);
        block += count;
        repair_progress(repair, block - g->data_start, g->data_end - g->data_start);
    }
}

/* ---- which catalog ---- */

struct names {
    uint64_t right, wrong;
};

static void look_at_name(struct repair_visitor *visitor, const struct item *item) {
    struct names *names = visitor->context;
    const struct disk_entry *entry = item->value;
    if (item->key.type != DISK_TYPE_ENTRY)
        return;
    const struct repair_tree *head =
        repair_find_tree(visitor->repair, le64_get(entry->target), REPAIR_HEAD);
    bool right = head != NULL && head->disk.state == DISK_DATASET_LIVE &&
                 strlen(head->name) == entry->name_length &&
                 memcmp(head->name, entry->name, entry->name_length) == 0;
    names->right += right;
    names->wrong += !right;
}

/* A part of a catalog that looks like a whole one has names without datasets, or the reverse. */
static bool names_are_right(struct repair *repair) {
    struct names names = {0};
    uint64_t live = 0;
    struct repair_visitor visitor = {.repair = repair,
                                     .id = DISK_OWNER_CATALOG,
                                     .item = look_at_name,
                                     .range = {.is_root = true},
                                     .context = &names};
    repair_visit(&visitor, &repair->super.catalog);
    const struct repair_tree *trees = repair->trees.items;
    for (uint64_t i = 0; i < repair->trees.count; i++)
        live += repair_is_head(&trees[i]) && trees[i].disk.state == DISK_DATASET_LIVE;
    return names.wrong == 0 && names.right == live;
}

enum quality { QUALITY_NONE, QUALITY_CATALOG, QUALITY_ALL };

static enum quality try_catalog(struct repair *repair, const struct pointer *root) {
    repair->super.catalog = *root;
    repair->quiet = true;
    repair_walk(repair);
    repair->quiet = false;
    enum quality quality = QUALITY_NONE;
    if (!repair->catalog_lost && names_are_right(repair))
        quality =
            repair->ranges.count + repair->corrections.count == 0 ? QUALITY_ALL : QUALITY_CATALOG;
    repair_forget(repair);
    return quality;
}

/* NULL: none counts. */
static const struct pointer *choose(struct seek *seek) {
    const struct pointer *newest = NULL;
    for (unsigned i = 0; i < seek->count && seek->repair->failure == STATUS_OK; i++) {
        enum quality quality = try_catalog(seek->repair, &seek->catalogs[i].root);
        if (quality == QUALITY_ALL)
            return &seek->catalogs[i].root;
        if (quality == QUALITY_NONE)
            continue;
        if (newest != NULL)
            break;
        newest = &seek->catalogs[i].root;
    }
    return newest;
}

/* ---- the superblock ---- */

static enum status end_journal(struct repair *repair, struct journal_position *position) {
    const struct geometry *g = &repair->label.geometry;
    struct journal_area area = {
        .device = repair->device, .start = g->journal_start, .blocks = g->journal_blocks};
    memcpy(area.pool_uuid, repair->label.pool_uuid, sizeof area.pool_uuid);
    uint64_t sequence;
    enum status status = journal_find_newest(&area, &sequence);
    *position = (struct journal_position){.sequence = sequence + 1};
    return status;
}

static void make(struct seek *seek) {
    struct repair *repair = seek->repair;
    struct superblock *super = &repair->super;
    super->checkpoint = seek->checkpoint;
    super->epoch = MATH_MIN(seek->birth + 1, DISK_EPOCH_MAX);
    super->next_dataset = MATH_MAX(seek->owner + 1, DISK_FIRST_DATASET);
    const struct pointer *root = choose(seek);
    super->catalog = root == NULL ? (struct pointer){0} : *root;
    if (repair->failure == STATUS_OK)
        repair_fail(repair, end_journal(repair, &super->journal));
    repair->superblock_lost = true;
    repair_say(repair,
               "all superblocks are lost: made one out of %s; what was written after that "
               "checkpoint is lost",
               root == NULL ? "what there is without a catalog" : "the newest catalog found");
}

enum status repair_make_superblock(struct repair *repair) {
    struct seek seek = {.repair = repair};
    repair->super = (struct superblock){.geometry = repair->label.geometry};
    repair_prepare(repair);
    if (repair->failure == STATUS_OK)
        look_at_all(&seek);
    if (repair->failure == STATUS_OK && seek.checkpoint == 0)
        return STATUS_CORRUPT; /* nothing is there any more */
    if (repair->failure == STATUS_OK)
        make(&seek);
    return repair->failure;
}
