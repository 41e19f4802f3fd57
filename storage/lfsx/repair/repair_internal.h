/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the repair share.
 *
 * A repair is one thread's. It decides first and writes then: the trees are walked and every block
 * that they name is claimed, what is lost is looked for by scanning the data area, and only then
 * are new nodes and maps written, to blocks that neither the old nor the new state names. The new
 * superblock comes last, so a crash leaves either state.
 *
 * Invariants:
 * 1. `claimed` has a bit for every block that the new state names.
 * 2. `keep` has one for every block that the old state may need: it is not written to.
 */
#ifndef STORAGE_LFSX_REPAIR_REPAIR_INTERNAL_H
#define STORAGE_LFSX_REPAIR_REPAIR_INTERNAL_H

#include "storage/lfsx/check/check_findings.h"
#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/spill/spill.h"

#include <stdbool.h>
#include <stdint.h>

/* An array that grows: of what is never much, or must be in memory. The rest is the spill's. */
struct repair_array {
    void *items;
    uint64_t count, capacity;
};

#define REPAIR_HEAD UINT64_MAX /* the epoch of a live tree: later than any snapshot's */

/* Keys of a tree that nothing readable leads to any more. */
struct repair_range {
    uint64_t id, epoch;     /* of the tree */
    struct pointer pointer; /* the node that covered them */
    struct node_bounds bounds;
};

/* A leaf that is whole, and of which the tree takes what can be. */
struct repair_correction {
    struct repair_range leaf;
    struct key floor; /* the tree has all keys before this one already */
};

/* A node that the scan found. */
struct repair_candidate {
    uint64_t owner;
    uint64_t checkpoint;
    uint64_t era; /* it was dropped then, by the dead tree; REPAIR_HEAD: not as far as is known */
    struct pointer pointer;
    struct key first, last;
    bool proven; /* the allocation map says that it is in use: it is not an old version */
};

/* Bytes of a volume, or of a share's file, in blocks; or items of a share. */
struct repair_loss {
    uint64_t first, end;
    bool doubtful; /* maybe an older version; else lost */
    uint64_t inode,
        last; /* of a share: the file, twice; or inodes of which anything but the content
                 may be lost, and `end` is 0. Of a volume, or all of a share: 0 */
};

/*
 * A snapshot's tree, or a dataset's live one, which also stands for the dataset.
 *
 * Trees are kept in the order of dataset and epoch, the live one last: older ones before younger
 * ones, origins before their clones. They are walked in this order, and built anew in the reverse
 * one: what a younger tree has from an older one tells what the older one had.
 */
struct repair_tree {
    uint64_t id, epoch;
    struct disk_dataset disk;      /* its record without the name, of a live tree */
    struct disk_snapshot snapshot; /* the same of a snapshot's */
    char name[LFSX_NAME_MAX + 1];  /* the dataset's, or the snapshot's */
    struct pointer root;
    uint64_t since; /* what was born then or before is an older tree's, too */
    uint64_t nodes, data, shared;
    bool in_share;
    uint64_t file, file_end; /* inode; blocks: behind the last extent that was seen of it */
    uint64_t size;           /* bytes, of a volume; 0: no inode was found */
    uint64_t limit;          /* bytes: what the walk knew of that, or of the older tree's; 0 */
    uint64_t ranges;         /* number of its lost ranges, */
    uint64_t corrections;    /* and of nodes that must be written anew though they are whole */
    uint64_t settled; /* blocks, of a volume: how far rebuilding came; 0 after a part that stayed */
    uint64_t settled_file; /* of a share: `settled` is of this inode */
    bool has_stayed;
    struct pointer stayed;      /* the last part that did */
    bool found;                 /* by the scan: its record was lost */
    bool guessed;               /* its root is the most likely one */
    bool is_short;              /* it does not have what a younger tree has from it */
    bool dead_is_bad;           /* of a live one: its dead tree does not count */
    bool recount;               /* of a live one: its and its snapshots' counts are not known */
    struct repair_array losses; /* struct repair_loss, of a share's; */
    struct spill_array *lost;   /* the same, of a volume's; NULL: there are none */
};

/* A schedule, as its record says. */
struct repair_schedule {
    uint64_t id;
    uint16_t length;
    unsigned char value[DISK_SCHEDULE_RULES_MAX * sizeof(struct disk_schedule_rule)];
};

struct repair_share;
struct repair_loader;

struct repair {
    struct blockdev *device;
    const struct lfsx_repair_options *options;
    struct lfsx_repair_summary *summary;
    struct label label;
    struct superblock super; /* the state that is repaired */
    uint64_t checkpoint;     /* of the new state */
    enum status failure;

    struct spill *spill;        /* what grows with the pool is in it; all of this file's is here */
    struct spill_bits *claimed; /* a bit for each block of the whole regions; the others, too: */
    struct spill_bits *keep, *old_used;
    struct spill_bits *other;     /* for what the moment needs */
    struct spill_bits *tainted;   /* nodes above lost ranges, or to be corrected */
    struct spill_bits *disputed;  /* nodes of them that are right in an older tree, and stay */
    struct spill_bits *known;     /* for each region: its bitmap could be read */
    struct spill_array **entries; /* of the maps, by level; map.c */
    unsigned top;
    uint64_t cursor; /* where to look for a free block */

    struct repair_array trees;         /* struct repair_tree, by dataset and epoch */
    struct repair_array schedules;     /* struct repair_schedule */
    struct repair_array ranges;        /* struct repair_range, in the order of the walk */
    struct repair_array corrections;   /* struct repair_correction */
    struct repair_array adopted;       /* correct.c */
    struct spill_array *candidates;    /* struct repair_candidate, by owner and first key */
    struct repair_array catalog_nodes; /* uint64_t: blocks */
    bool catalog_lost;                 /* some of the catalog is, or of what it should name */
    bool superblock_lost;              /* the newest one is */
    bool recount;                      /* the check did not trust some count */
    struct journal_position cut;       /* of the journal, */
    const char *cut_is;                /* why, of the entry there; NULL: it need not be cut */
    bool quiet;                        /* what is done now is only tried */
    bool dropped;                      /* datasets that were being deleted are gone */
    uint64_t scan_owner;               /* whose nodes the scan met last, */
    bool scan_wanted;                  /* and whether it wants them, */
    bool scan_inner;                   /* inner ones too */
    struct repair_share *share;        /* of the share's tree that is built anew */
    struct disk_node *path[DISK_LEVEL_MAX + 1];
    struct disk_node *page;
    void *data;
};

static inline bool repair_bit(struct spill_bits *bits, uint64_t block) {
    return spill_bit(bits, block);
}
static inline void repair_set(struct spill_bits *bits, uint64_t block) {
    (void)spill_bit_put(bits, block, true);
}
static inline void repair_clear(struct spill_bits *bits, uint64_t block) {
    (void)spill_bit_put(bits, block, false);
}
/* Whether the old map says what is in the block. */
static inline bool repair_is_known(const struct repair *repair, uint64_t block) {
    return spill_bit(repair->known, block / DISK_REGION_BLOCKS);
}
static inline uint64_t repair_candidate_count(const struct repair *repair) {
    return spill_array_count(repair->candidates);
}
static inline struct repair_candidate repair_candidate(const struct repair *repair,
                                                       uint64_t index) {
    struct repair_candidate candidate;
    spill_array_get(repair->candidates, index, &candidate);
    return candidate;
}
/* Whether it rather is the root of its tree: whatever was written into that, the root was written
 * with it. */
static inline bool repair_is_higher(const struct repair_candidate *a,
                                    const struct repair_candidate *b) {
    return a->checkpoint > b->checkpoint ||
           (a->checkpoint == b->checkpoint && a->pointer.level > b->pointer.level);
}
static inline struct key repair_key_after(struct key key) {
    if (++key.offset == 0 && ++key.type == 0)
        key.inode++;
    return key;
}
/* The first failure counts: what happened after it may be its consequence. */
static inline void repair_fail(struct repair *repair, enum status status) {
    if (repair->failure == STATUS_OK)
        repair->failure = status;
}

/* ---- repair.c ---- */

/* Allocates what a walk needs, and reads the maps. Once. */
enum status repair_prepare(struct repair *repair);
/* Frees that, and what was found. */
void repair_release(struct repair *repair);
/* Walks all that the superblock names; what that leaves behind, */
void repair_walk(struct repair *repair);
/* and how to be rid of it. */
void repair_forget(struct repair *repair);
/* Room for one more item, zeroed; NULL ends the repair. */
void *repair_add(struct repair *repair, struct repair_array *array, size_t item_size);
/* Says what was done. */
void repair_say(struct repair *repair, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads one block; false if the device cannot. No memory and a device that is gone end the repair.
 */
bool repair_read(struct repair *repair, uint64_t block, void *page);
/* All that the trees hold may be an older version; snapshots' trees, too. */
void repair_doubt_everything(struct repair *repair, bool snapshots);
/* Heap sort: no memory, no bad case. */
void repair_sort(void *items, uint64_t count, size_t size,
                 bool (*before)(const void *a, const void *b));
/* Calls progress. */
void repair_progress(struct repair *repair, uint64_t done, uint64_t total);

/* ---- repair/label.c ---- */

/* Makes labels out of what else is known. CORRUPT: nothing is. */
enum status repair_make_label(struct repair *repair);

/* ---- repair/journal.c ---- */

/* Keeps the blocks that the journal names. */
enum status repair_keep_journal(struct repair *repair);
/* Once the trees are what they will be: where the journal must be cut off, since an acknowledged
 * entry is damaged or does not fit them; what it said is doubtful. */
enum status repair_judge_journal(struct repair *repair);
/* And does it. */
enum status repair_cut_journal(struct repair *repair);

/* ---- repair/super.c ---- */

/* Makes both labels whole. */
enum status repair_labels(struct repair *repair);
/* Chooses the state to repair. CORRUPT: none that this level of repair may choose. */
enum status repair_choose(struct repair *repair);
/* Makes every damaged superblock slot whole or empty. */
void repair_ring(struct repair *repair);

/* ---- repair/seek.c ---- */

/* Makes a superblock when all are lost. CORRUPT: there is nothing to make it of. */
enum status repair_make_superblock(struct repair *repair);

/* ---- repair/map.c ---- */

/* As far as they can be read; without a superblock that names them, the newest copies. */
enum status repair_map_load(struct repair *repair);
/* Nothing was written where nothing is in use, or it was given up as a whole: a large pool that is
 * nearly empty must not cost what a full one does. */
bool repair_is_region_empty(const struct repair *repair, uint64_t region);
void repair_map_release(struct repair *repair);
/* Clears `other`, for who needs it; false ends the repair. */
bool repair_other(struct repair *repair);
/* A block for a new node; 0, and the repair ends, if there is none. */
uint64_t repair_block(struct repair *repair);
/* Writes all maps and the superblock. */
enum status repair_publish(struct repair *repair, struct superblock *super);

/* ---- repair/tree.c: what is known of the trees ---- */

static inline bool repair_is_head(const struct repair_tree *tree) {
    return tree->epoch == REPAIR_HEAD;
}
/* A snapshot that is being deleted: its tree must not be looked at. */
static inline bool repair_is_gone(const struct repair_tree *tree) {
    return !repair_is_head(tree) && tree->snapshot.state == DISK_SNAPSHOT_DELETING;
}
/* Room for a tree at its place; NULL ends the repair. Moves the others. */
struct repair_tree *repair_add_tree(struct repair *repair, uint64_t id, uint64_t epoch);
struct repair_tree *repair_find_tree(const struct repair *repair, uint64_t id, uint64_t epoch);
/* The tree of the same dataset that is next older and counts, or what a clone began with; NULL:
 * there is none. */
struct repair_tree *repair_older(const struct repair *repair, const struct repair_tree *tree);
/* The next younger one of the same dataset that counts. The tree is a snapshot. */
struct repair_tree *repair_younger(const struct repair *repair, const struct repair_tree *tree);
/* Blocks [first, end) of the tree's file are lost, or may be an older version; none if that is
 * empty. */
void repair_lose(struct repair *repair, struct repair_tree *tree, uint64_t first, uint64_t end,
                 bool doubtful);
/* As if it had none. */
void repair_forget_losses(struct repair_tree *tree);
/* Says what each tree shares with older ones. */
void repair_link(struct repair *repair);
/* The owner of nodes of this birth in the dataset's trees. */
uint64_t repair_owner(const struct repair *repair, uint64_t id, uint64_t birth);
/* Birth of what is written anew for the tree. */
uint64_t repair_birth(const struct repair *repair, const struct repair_tree *tree);
/* "VOLUME" or "VOLUME@SNAPSHOT"; `out` has REPAIR_NAME_SIZE bytes, is returned. */
#define REPAIR_NAME_SIZE (2 * LFSX_NAME_MAX + 2)
const char *repair_name(const struct repair *repair, const struct repair_tree *tree, char *out);

/* ---- repair/walk.c ---- */

/* Reads a node into the page of its level; false if it is not what the pointer says. */
bool repair_node(struct repair *repair, const struct pointer *pointer, uint64_t owner,
                 const struct node_bounds *bounds);
/* Walks the catalog and collects what it names. */
void repair_walk_catalog(struct repair *repair);
void repair_walk_tree(struct repair *repair, struct repair_tree *tree);
bool repair_is_tainted(const struct repair *repair, uint64_t block);

/* A walk over the items of a tree in the range, round what is not whole. */
struct repair_visitor {
    struct repair *repair;
    uint64_t id; /* the dataset, or the owner of its dead tree */
    void (*item)(struct repair_visitor *visitor, const struct item *item);
    /* Called for each node before its items; false: it is not looked into. May be NULL. */
    bool (*node)(struct repair_visitor *visitor, const struct pointer *pointer);
    struct node_bounds range; /* is_root: everything */
    bool ended;               /* set by who has seen enough */
    void *context;
};
void repair_visit(struct repair_visitor *visitor, const struct pointer *root);

/* ---- repair/correct.c ---- */

/* When a data block was really born that an extent says was born then. */
uint64_t repair_true_birth(const struct repair *repair, uint64_t block, uint64_t birth);
/* Says it; once for a block. */
void repair_adopt(struct repair *repair, uint64_t block, uint64_t birth);
/* As node_child_bounds(), but within the node's own bounds; false: nothing can be there. */
bool repair_child_bounds(const struct disk_node *node, unsigned index,
                         const struct node_bounds *bounds, struct node_bounds *child);
/* Whether a key cannot be where it stands. */
bool repair_is_astray(const struct node_bounds *bounds, const struct key *floor,
                      const struct key *key);
/* How many blocks of the extent are before the end of its volume. */
uint64_t repair_extent_blocks(const struct repair_tree *tree, const struct item *item);
/* NULL: the node need not be corrected. */
const struct repair_correction *repair_find_correction(const struct repair *repair,
                                                       const struct repair_tree *tree,
                                                       const struct pointer *pointer,
                                                       const struct node_bounds *bounds);
/* Adds what can be of the leaf to the tree that is being built. */
void repair_correct(struct repair *repair, const struct repair_tree *tree,
                    const struct repair_correction *correction, struct repair_loader *loader);
void repair_forget_corrections(struct repair *repair);

/* ---- repair/dead.c ---- */

/* Whether the dataset's dead tree is whole and says what its snapshots say; then its blocks are
 * claimed. */
void repair_walk_dead(struct repair *repair, struct repair_tree *head);
/* Tells the candidates that were dropped when. */
void repair_date_candidates(struct repair *repair);
/* Counts all trees of the dataset anew and writes a new dead tree. Moves the trees. */
void repair_rebuild_dead(struct repair *repair, uint64_t id);

/* ---- repair/scan.c ---- */

/* Collects candidates for everything that is lost. */
void repair_scan(struct repair *repair);
/* Those of one owner are [*first, *end). */
void repair_candidates_of(const struct repair *repair, uint64_t owner, uint64_t *first,
                          uint64_t *end);

/* ---- repair/find.c ---- */

/* After a scan: adds datasets and snapshots whose records were lost. All trees must be walked again
 * then. */
void repair_find_datasets(struct repair *repair);
/* After that: of which of them it is not sure that all was found. */
void repair_doubt_found(struct repair *repair);

/* A dataset without a record, named lost+found-ID; NULL ends the repair. Moves the trees. */
struct repair_tree *repair_add_dataset(struct repair *repair, uint64_t id);

/* ---- repair/origin.c ---- */

/* Whether there are clones whose origin, or the snapshot that they began as, has no record that
 * counts. */
bool repair_has_orphans(const struct repair *repair);
/* After repair_find_datasets(): adds those records. */
void repair_find_origins(struct repair *repair);
/* After all trees were walked: gives up roots that were not guessed right; true if there were some.
 * All trees must be walked again then. */
bool repair_doubt_origins(struct repair *repair);

/* ---- repair/load.c: building a tree from the left ---- */

struct repair_loader {
    struct repair *repair;
    uint64_t owner, birth;
    unsigned top;
    struct disk_node *pages[DISK_LEVEL_MAX + 1];
};
enum status repair_loader_start(struct repair_loader *loader, struct repair *repair, uint64_t owner,
                                uint64_t birth);
void repair_loader_item(struct repair_loader *loader, const struct key *key, const void *value,
                        uint16_t length);
/* Whether nothing was added. */
bool repair_loader_is_empty(const struct repair_loader *loader);
/* A subtree that stays where it is. */
void repair_loader_subtree(struct repair_loader *loader, const struct key *key,
                           const struct pointer *root);
/* Writes the rest; returns the root. Releases the loader's pages. */
struct pointer repair_loader_end(struct repair_loader *loader);

/* ---- repair/salvage.c ---- */

/* Takes blocks off an extent's front, not all; returns its length in bytes then. */
uint16_t repair_extent_skip(struct disk_extent *extent, uint64_t skip);

/* Adds what was found for the range to the tree that is being built. */
void repair_salvage(struct repair *repair, struct repair_tree *tree,
                    const struct repair_range *range, struct repair_loader *loader);

/* ---- repair/share_salvage.c: the same for a share's tree ---- */

/* Before the tree is built anew, and afterwards. */
enum status repair_share_begin(struct repair *repair, struct repair_tree *tree,
                               struct repair_loader *loader);
void repair_share_end(struct repair *repair);
void repair_share_salvage(struct repair *repair, const struct repair_range *range);

/* ---- repair/share_mend.c ---- */

/* When all trees are whole: mends what shares say, as far as the pool can be opened, and reports
 * what they lost. */
enum status repair_mend_shares(struct repair *repair);
/* Whether a share lost anything that is to be reported, or may not fit the journal. */
bool repair_has_lost_shares(const struct repair *repair);

/* ---- repair/lookup.c ---- */

/* What a tree says of one block of a file. */
enum repair_content { REPAIR_LOST, REPAIR_HOLE, REPAIR_DATA };
struct repair_place {
    enum repair_content content;
    uint64_t block, birth, checksum; /* of data */
};

/* Remembers the last leaf for the next look. */
struct repair_lookup {
    struct repair *repair;
    const struct repair_tree *tree;
    struct disk_node *leaf; /* a page */
    struct node_bounds bounds;
    bool is_there; /* the leaf holds the keys of the bounds, or they are lost */
    bool is_lost;
};
enum status repair_lookup_start(struct repair_lookup *lookup, struct repair *repair,
                                const struct repair_tree *tree);
struct repair_place repair_lookup(struct repair_lookup *lookup, uint64_t inode, uint64_t offset);
void repair_lookup_end(struct repair_lookup *lookup);

/* ---- repair/rebuild.c ---- */

/* What follows a lost range in its tree, which is being built anew: a leaf, lost or not, or an
 * inner node that is lost or stays where it is. Before such a one nothing may be added that begins
 * behind the range: the node's own keys bind it. */
enum repair_next { REPAIR_NEXT_LEAF, REPAIR_NEXT_LOST_LEAF, REPAIR_NEXT_INNER };
enum repair_next repair_next(struct repair *repair, const struct repair_tree *tree,
                             const struct key *high);

/* Builds the trees that lost something. */
void repair_rebuild(struct repair *repair);

/* ---- repair/catalog.c ---- */

/* Builds the catalog. */
void repair_rebuild_catalog(struct repair *repair, struct superblock *super);

#endif
