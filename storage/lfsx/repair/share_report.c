/* SPDX-License-Identifier: Apache-2.0 */
/* What a share lost, told by path and bytes as far as they are known. */
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/repair/share_mend.h"

/* ---- paths ---- */

struct name {
    struct btree *tree;
    struct key key;
    uint8_t length;
    char text[LFSX_NAME_MAX];
};

static enum status copy_name(void *context, struct btree_cursor *cursor) {
    struct name *name = context;
    enum status status = btree_find(name->tree, &name->key, cursor);
    if (status != STATUS_OK)
        return status;
    const struct disk_entry *entry = btree_item(cursor).value;
    name->length = entry->name_length;
    memcpy(name->text, entry->name, entry->name_length);
    return STATUS_OK;
}

/* A path, from its end. */
struct path {
    char *start, *at;
    bool is_cut;
};

static void prepend(struct path *path, const char *text, size_t length) {
    static const char cut[] = "...";
    if (path->is_cut)
        return;
    bool first = *path->at == '\0';
    path->is_cut = (size_t)(path->at - path->start) < length + sizeof cut + 1;
    if (!first)
        *--path->at = '/';
    if (path->is_cut) {
        text = cut;
        length = sizeof cut - 1;
    }
    path->at -= length;
    memcpy(path->at, text, length);
}

static bool prepend_entry(struct share_mend *mend, const struct mend_entry *entry,
                          struct path *path) {
    struct name name = {.tree = mend->tree,
                        .key = {entry->directory, entry->offset, DISK_TYPE_ENTRY}};
    if (pool_look(mend->pool, copy_name, &name) != STATUS_OK)
        return false;
    prepend(path, name.text, name.length);
    return true;
}

/* A name of the inode; false: it has none. */
static bool name_of(struct share_mend *mend, const struct mend_inode *inode,
                    struct mend_entry *entry) {
    struct mend_target target;
    uint64_t index = inode->name;
    if (mend->is_decided && inode->names == 0)
        return false;
    if (!mend->is_decided) {
        uint64_t first = mend_first_target(mend, inode->number);
        if (first == spill_array_count(mend->targets))
            return false;
        spill_array_get(mend->targets, first, &target);
        if (target.target != inode->number)
            return false;
        index = target.entry;
    }
    spill_array_get(mend->entries, index, entry);
    return true;
}

static void prepend_number(struct path *path, uint64_t number) {
    char text[24];
    char *at = text + sizeof text;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *--at = '#';
    prepend(path, at, (size_t)(text + sizeof text - at));
}

/* The way from the root to the directory, or file; a path that is too long is cut. */
static bool lead_to(struct share_mend *mend, uint64_t number, struct path *path) {
    while (number != DISK_ROOT_INODE && !path->is_cut) {
        struct mend_inode inode;
        struct mend_entry entry;
        if (mend_find(mend, number, &inode) == UINT64_MAX)
            return false;
        if (inode.is_attached) {
            if (number != mend->lost_found)
                prepend_number(path, number);
            prepend(path, MEND_LOST_FOUND, sizeof MEND_LOST_FOUND - 1);
            return true;
        }
        if (!name_of(mend, &inode, &entry) || !prepend_entry(mend, &entry, path))
            return false;
        number = entry.directory;
    }
    return true;
}

const char *mend_path(struct share_mend *mend, uint64_t inode, char *path) {
    struct path way = {.start = path, .at = path + MEND_PATH_SIZE - 1};
    *way.at = '\0';
    return lead_to(mend, inode, &way) ? way.at : NULL;
}

/* Of a name that goes. */
static const char *path_of_entry(struct share_mend *mend, uint64_t index, char *path) {
    struct path way = {.start = path, .at = path + MEND_PATH_SIZE - 1};
    struct mend_entry entry;
    *way.at = '\0';
    spill_array_get(mend->entries, index, &entry);
    bool is = prepend_entry(mend, &entry, &way) && lead_to(mend, entry.directory, &way);
    return is ? way.at : NULL;
}

/* ---- losses ---- */

static void tell(struct share_mend *mend, struct lfsx_loss *loss) {
    const struct lfsx_repair_options *options = mend->repair->options;
    loss->volume = mend->name;
    options->loss(options->context, loss);
    mend->repair->summary->losses++;
}

static void report_bytes(struct share_mend *mend, uint64_t number, uint64_t first, uint64_t end,
                         bool doubtful) {
    char path[MEND_PATH_SIZE];
    struct mend_inode inode;
    if (mend_find(mend, number, &inode) == UINT64_MAX || inode.is_dropped)
        return;
    uint32_t kind = mend->is_decided ? inode.kind : inode.mode & DISK_MODE_KIND;
    end = MATH_MIN(end, inode.size);
    if (kind != DISK_MODE_REGULAR || first >= end)
        return;
    struct lfsx_loss loss = {.kind = LFSX_LOSS_BYTES,
                             .path = mend_path(mend, number, path),
                             .inode = number,
                             .last_inode = number,
                             .offset = first,
                             .length = end - first,
                             .doubtful = doubtful};
    tell(mend, &loss);
}

static void report_range(struct share_mend *mend, uint64_t first, uint64_t last) {
    char path[MEND_PATH_SIZE];
    struct lfsx_loss loss = {.kind = LFSX_LOSS_ITEMS,
                             .path = first == last ? mend_path(mend, first, path) : NULL,
                             .inode = first,
                             .last_inode = last,
                             .doubtful = true};
    tell(mend, &loss);
}

/* All bytes of all files. */
static void report_all(struct share_mend *mend, uint64_t first, uint64_t last) {
    struct lfsx_loss loss = {.kind = LFSX_LOSS_BYTES,
                             .inode = first,
                             .last_inode = last,
                             .length = UINT64_MAX,
                             .doubtful = true};
    tell(mend, &loss);
}

/* Files of which nothing was found, and that are there for what the journal says. If it says
 * anything, it may have been about others, too, as they were and are not any more. */
static void report_unknown(struct share_mend *mend, const struct repair_loss *begin,
                           const struct repair_loss *items, uint64_t last) {
    uint64_t first = MATH_MAX(items->inode, DISK_ROOT_INODE);
    struct spill_bits *known = spill_bits_open(mend->spill, last - first + 1);
    struct mend_inode inode;
    if (known == NULL)
        return;
    for (const struct repair_loss *loss = begin; loss < items; loss++)
        if (loss->end != 0 && loss->inode >= first && loss->inode <= last)
            (void)spill_bit_put(known, loss->inode - first, true);
    uint64_t count = spill_array_count(mend->inodes);
    for (uint64_t i = mend_first(mend, first); i < count && mend->failure == STATUS_OK; i++) {
        spill_array_get(mend->inodes, i, &inode);
        if (inode.number > last)
            break;
        if (mend->pool->replayed || !spill_bit(known, inode.number - first))
            report_bytes(mend, inode.number, 0, UINT64_MAX, true);
    }
    spill_bits_close(known);
}

/* Of each stretch of lost keys first come the files' bytes, then the inodes. */
static void report_tree(struct share_mend *mend, const struct repair_tree *tree) {
    const struct repair_loss *losses = tree->losses.items;
    uint64_t begin = 0;
    for (uint64_t i = 0; i < tree->losses.count && mend->failure == STATUS_OK; i++) {
        const struct repair_loss *loss = &losses[i];
        bool items = loss->inode == 0 || loss->end == 0;
        if (!items) {
            report_bytes(mend, loss->inode, loss->first * DISK_BLOCK_SIZE,
                         MATH_MIN(loss->end, DISK_FILE_BLOCKS_MAX) * DISK_BLOCK_SIZE,
                         loss->doubtful);
            continue;
        }
        uint64_t first = MATH_MAX(loss->inode, DISK_ROOT_INODE);
        uint64_t last = MATH_MAX(mend->next_inode - 1, first);
        if (loss->inode != 0)
            last = MATH_MIN(last, loss->last);
        report_range(mend, first, last);
        if (loss->inode == 0)
            report_all(mend, first, last);
        else if (mend->is_decided)
            report_unknown(mend, &losses[begin], loss, last);
        begin = i + 1;
    }
}

/* Whether a name may have been removed before the damage: its directory's names are in doubt. */
static bool may_be_old(struct share_mend *mend, const struct repair_tree *tree, uint64_t index) {
    struct mend_entry entry;
    const struct repair_loss *losses = tree == NULL ? NULL : tree->losses.items;
    spill_array_get(mend->entries, index, &entry);
    for (uint64_t i = 0; tree != NULL && i < tree->losses.count; i++)
        if (losses[i].inode == 0 || (losses[i].end == 0 && entry.directory >= losses[i].inode &&
                                     entry.directory <= losses[i].last))
            return true;
    return false;
}

static void report_mended(struct share_mend *mend, const struct repair_tree *tree,
                          const struct mend_loss *mended) {
    char path[MEND_PATH_SIZE];
    struct lfsx_loss loss = {
        .kind = mended->kind, .inode = mended->inode, .last_inode = mended->inode};
    if (mended->kind == LFSX_LOSS_BYTES) {
        report_bytes(mend, mended->inode, mended->offset, mended->offset + mended->bytes, true);
        return;
    }
    loss.doubtful = mended->kind == LFSX_LOSS_FILE && may_be_old(mend, tree, mended->entry);
    loss.path = mended->kind == LFSX_LOSS_FILE ? path_of_entry(mend, mended->entry, path)
                                               : mend_path(mend, mended->inode, path);
    tell(mend, &loss);
}

void mend_report(struct share_mend *mend, const struct repair_tree *tree) {
    if (tree != NULL)
        report_tree(mend, tree);
    for (uint64_t i = 0; i < spill_array_count(mend->losses) && mend->failure == STATUS_OK; i++) {
        struct mend_loss loss;
        spill_array_get(mend->losses, i, &loss);
        if (mend->is_decided)
            report_mended(mend, tree, &loss);
    }
}
