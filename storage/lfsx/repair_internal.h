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
#ifndef STORAGE_LFSX_REPAIR_INTERNAL_H
#define STORAGE_LFSX_REPAIR_INTERNAL_H

#include "storage/lfsx/check_findings.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/super.h"

#include <stdbool.h>
#include <stdint.h>

/* An array that grows. */
struct repair_array {
    void *items;
    uint64_t count, capacity;
};

/* Keys of a tree that nothing readable leads to any more. */
struct repair_range {
    uint64_t owner;
    struct pointer pointer; /* the node that covered them */
    struct node_bounds bounds;
};

/* A node that the scan found. */
struct repair_candidate {
    uint64_t owner;
    uint64_t checkpoint;
    struct pointer pointer;
    struct key first, last;
    bool proven; /* the allocation map says that it is in use: it is not an old version */
};

/* Bytes of a volume, in blocks. */
struct repair_loss {
    uint64_t first, end;
    bool doubtful; /* maybe an older version; else lost */
};

struct repair_dataset {
    uint64_t id;
    struct disk_dataset disk; /* its record without the name */
    char name[LFSX_NAME_MAX + 1];
    struct pointer root;
    uint64_t nodes, data;
    uint64_t file_end;          /* blocks: behind the last extent that was seen */
    uint64_t size;              /* bytes; 0: no inode was found */
    uint64_t ranges;            /* number of its lost ranges */
    uint64_t settled;           /* blocks: how far rebuilding came; 0 after a leaf that stayed */
    struct pointer stayed;      /* the last leaf that did */
    bool found;                 /* by the scan: its record was lost */
    struct repair_array losses; /* struct repair_loss */
};

struct repair {
    struct blockdev *device;
    const struct lfsx_repair_options *options;
    struct lfsx_repair_summary *summary;
    struct label label;
    struct superblock super; /* the state that is repaired */
    uint64_t checkpoint;     /* of the new state */
    enum status failure;

    uint64_t *claimed, *keep, *old_used; /* a bit for each block of the whole regions */
    bool *known;                         /* for each region: its bitmap could be read */
    struct disk_map_entry **entries;     /* as far as they could be read */
    unsigned top;
    uint64_t cursor; /* where to look for a free block */

    struct repair_array datasets;      /* struct repair_dataset, ascending id */
    struct repair_array ranges;        /* struct repair_range, in the order of the walk */
    struct repair_array candidates;    /* struct repair_candidate, by owner and first key */
    struct repair_array catalog_nodes; /* uint64_t: blocks */
    bool catalog_lost;                 /* some of the catalog is */
    bool superblock_lost;              /* the newest one is */
    struct disk_node *path[DISK_LEVEL_MAX + 1];
    struct disk_node *page;
    void *data;
};

static inline bool repair_bit(const uint64_t *bits, uint64_t block) {
    return bits[block / 64] >> block % 64 & 1;
}
static inline void repair_set(uint64_t *bits, uint64_t block) {
    bits[block / 64] |= 1ull << block % 64;
}
static inline void repair_clear(uint64_t *bits, uint64_t block) {
    bits[block / 64] &= ~(1ull << block % 64);
}

/* ---- repair.c ---- */

/* Room for one more item, zeroed; NULL ends the repair. */
void *repair_add(struct repair *repair, struct repair_array *array, size_t item_size);
/* Says what was done. */
void repair_say(struct repair *repair, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads one block; false if the device cannot. No memory and a device that is gone end the repair.
 */
bool repair_read(struct repair *repair, uint64_t block, void *page);
/* Calls progress. */
void repair_progress(struct repair *repair, uint64_t done, uint64_t total);

/* ---- repair_super.c ---- */

/* Makes both labels whole. */
enum status repair_labels(struct repair *repair);
/* Chooses the state to repair. CORRUPT: none that this level of repair may choose. */
enum status repair_choose(struct repair *repair);
/* Makes every damaged superblock slot whole or empty. */
void repair_ring(struct repair *repair);

/* ---- repair_map.c ---- */

enum status repair_map_load(struct repair *repair);
void repair_map_release(struct repair *repair);
/* Keeps the blocks that the journal names. */
enum status repair_keep_journal(struct repair *repair);
/* A block for a new node; 0, and the repair ends, if there is none. */
uint64_t repair_block(struct repair *repair);
/* Writes all maps and the superblock. */
enum status repair_publish(struct repair *repair, struct superblock *super);

/* ---- repair_walk.c ---- */

/* Reads a node into the page of its level; false if it is not what the pointer says. */
bool repair_node(struct repair *repair, const struct pointer *pointer, uint64_t owner,
                 const struct node_bounds *bounds);
/* Walks the catalog and collects datasets. */
void repair_walk_catalog(struct repair *repair);
void repair_walk_dataset(struct repair *repair, struct repair_dataset *dataset);

/* ---- repair_scan.c ---- */

/* Collects candidates for everything that is lost. */
void repair_scan(struct repair *repair);
/* After a scan: datasets whose records were lost. */
void repair_find_datasets(struct repair *repair);

/* ---- repair_load.c: building a tree from the left ---- */

struct repair_loader {
    struct repair *repair;
    uint64_t owner;
    unsigned top;
    uint64_t nodes;
    struct disk_node *pages[DISK_LEVEL_MAX + 1];
};
enum status repair_loader_start(struct repair_loader *loader, struct repair *repair,
                                uint64_t owner);
void repair_loader_item(struct repair_loader *loader, const struct key *key, const void *value,
                        uint16_t length);
/* A leaf that stays where it is. */
void repair_loader_leaf(struct repair_loader *loader, const struct key *key,
                        const struct pointer *leaf);
/* Writes the rest; returns the root. Releases the loader's pages. */
struct pointer repair_loader_end(struct repair_loader *loader);

/* ---- repair_salvage.c ---- */

/* Adds what was found for the range to the tree that is being built. */
void repair_salvage(struct repair *repair, struct repair_dataset *dataset,
                    const struct repair_range *range, struct repair_loader *loader);

/* ---- repair_rebuild.c ---- */

/* Builds the trees of datasets that lost something, and the catalog. */
void repair_rebuild(struct repair *repair, struct superblock *super);

#endif
