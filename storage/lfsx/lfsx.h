/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LFSX: pools of datasets on a block device.
 *
 * A pool holds datasets; a dataset that is one regular file is a volume. Everything here is called
 * from threads, blocks, and may be called by many threads at once unless it says otherwise.
 *
 * Durability: what a write, trim or zero changed is seen by every later read at once, and survives
 * a crash once a later lfsx_pool_commit() (or a call with LFSX_FUA) returned OK. Each call is
 * atomic: after a crash all of it is there or nothing. Errors latch: after a failed device write or
 * flush the pool is read-only (READ_ONLY, and lfsx_pool_info says why) until it is opened again.
 * Several changes of volumes and settings can be one (lfsx_transaction.h).
 *
 * Errors that any call may return: NO_MEMORY, IO (the device failed), CHECKSUM (what the device
 * returned is not what was written; logged with its address), CORRUPT (a node is not a valid one),
 * SHUTDOWN (the pool is closing).
 */
#ifndef STORAGE_LFSX_LFSX_H
#define STORAGE_LFSX_LFSX_H

#include "base/blockdev.h"
#include "base/span.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LFSX_BLOCK_SIZE 4096u                      /* unit of allocation and of checksums */
#define LFSX_MAX_IO (32u << 20)                    /* bytes of one read, write: atomic up to here */
#define LFSX_NAME_MAX 255u                         /* bytes of a dataset's name */
#define LFSX_OPEN_NAME_MAX (2 * LFSX_NAME_MAX + 1) /* ... of VOLUME@SNAPSHOT */
#define LFSX_LABEL_MAX 63u                         /* bytes of a pool's label */
#define LFSX_VOLUME_SIZE_MAX (1ull << 62)

struct lfsx_pool;
struct lfsx_volume;

/* ---- formatting and finding ---- */

struct lfsx_new_volume {
    const char *name;
    uint64_t size; /* bytes, a positive multiple of 512 */
};

struct lfsx_format_options {
    const char
        *label; /* at most LFSX_LABEL_MAX bytes of UTF-8 without control characters; may be "" */
    const struct lfsx_new_volume *volumes;
    uint32_t volume_count;
};

/* Makes an empty pool with the volumes on the device and flushes it. What was there is lost; ask
 * lfsx_probe() and lfsx_foreign() first. TOO_SMALL, INVALID (label or volume, said in the log),
 * NO_SPACE, READ_ONLY. */
enum status lfsx_format(struct blockdev *device, const struct lfsx_format_options *options);

struct lfsx_label {
    uint8_t pool_uuid[16];
    char label[LFSX_LABEL_MAX + 1];
    uint32_t version;
    uint64_t size; /* bytes of the device that the pool uses */
};

/* Reads who owns the device, without opening the pool. NOT_LFSX, VERSION (label is filled in as far
 * as it can be). */
enum status lfsx_probe(struct blockdev *device, struct lfsx_label *label);

/* Tells what else a device seems to hold: STATUS_OK and an English name in *what ("a GPT partition
 * table", "an ext4 file system", "data that is not known"), or STATUS_NOT_FOUND if its first and
 * last MiB are all zeros or it holds LFSX. */
enum status lfsx_foreign(struct blockdev *device, const char **what);

/* ---- pools ---- */

#define LFSX_OPEN_READ_ONLY 1u /* never writes to the device */

struct lfsx_open_options {
    uint32_t flags;
    uint64_t cache_bytes; /* budget of the caches of nodes and of data together; 0: a fraction of
                             the memory there is */
};

/* Opens the pool on the device, which stays the caller's and must outlive the pool. The newest
 * valid superblock counts. What is damaged of one volume or share keeps only that from being
 * opened, and can be seen in lists. NOT_LFSX, VERSION, CORRUPT, CHECKSUM, READ_ONLY (the device is,
 * the flag is not set). `options` may be NULL. */
enum status lfsx_pool_open(struct blockdev *device, const struct lfsx_open_options *options,
                           struct lfsx_pool **pool);

/* Makes everything durable and releases the pool, in any case. Every volume has been closed. The
 * status says whether all of it became durable. */
enum status lfsx_pool_close(struct lfsx_pool *pool);

/* Makes everything that was acknowledged before the call durable, on any volume. Concurrent calls
 * share the work; with nothing to do it costs nothing. */
enum status lfsx_pool_commit(struct lfsx_pool *pool);

/* Lets the pool use all of its device, which has become larger; durable on return, and so at once
 * that a power cut at any moment leaves the old pool or the new one. OK also if there is nothing to
 * gain: the pool needs room behind its old end for its maps and its second set of superblocks,
 * which is about a 16,000th of the new size, at least 68 blocks. READ_ONLY, NO_MEMORY. */
enum status lfsx_pool_grow(struct lfsx_pool *pool);

struct lfsx_pool_info {
    uint8_t uuid[16];
    char label[LFSX_LABEL_MAX + 1];
    uint64_t size_bytes;      /* what the device offers to the pool */
    uint64_t used_bytes;      /* data and metadata in use */
    uint64_t available_bytes; /* what new data of a volume without reservation may still take */
    uint64_t checkpoint;      /* number of the newest durable one */
    uint64_t epoch;
    uint32_t volume_count;
    uint32_t share_count;
    bool read_only;
    enum status failure;   /* why it turned read-only; STATUS_OK if it did not */
    uint64_t leaked_bytes; /* dropped since the pool was opened, in use until fsck.lfsx repairs the
                              pool: see lfsx_volume_info.dead_damage */
};
void lfsx_pool_info(struct lfsx_pool *pool, struct lfsx_pool_info *info);

/* Counters since the pool was opened; they only rise, but for cache_bytes, data_bytes and
 * staged_bytes, which tell of the moment. */
struct lfsx_pool_statistics {
    uint64_t reads, read_bytes, writes, written_bytes, trims, commits;
    uint64_t checkpoints, checkpoint_nodes;
    uint64_t cache_hits, cache_misses, cache_bytes; /* of nodes */
    uint64_t data_hits, data_misses;                /* blocks that reads found in memory, or not */
    uint64_t data_bytes;                            /* in memory, staged ones included */
    uint64_t staged_bytes;                          /* acknowledged and not on the device yet */
    uint64_t readahead_bytes;                       /* read before anybody asked */
    uint64_t held_back_ns; /* for so long writers were made to wait, added up */
    uint64_t checksum_errors;
};
void lfsx_pool_statistics(struct lfsx_pool *pool, struct lfsx_pool_statistics *statistics);

/* ---- volumes ---- */

/* A valid name is 1..LFSX_NAME_MAX bytes of UTF-8 without control characters, '/' and '@', and
 * neither "." nor "..". */
bool lfsx_name_is_valid(const char *name, size_t length);

struct lfsx_volume_info {
    char name[LFSX_OPEN_NAME_MAX + 1]; /* VOLUME or VOLUME@SNAPSHOT */
    uint64_t id;                       /* never used again for another dataset of the pool */
    uint8_t uuid[16];
    uint64_t size;             /* bytes, as clients see it */
    uint64_t logical_bytes;    /* data that it holds */
    uint64_t referenced_bytes; /* with the nodes; shared with snapshots or an origin, or not */
    uint64_t quota_bytes;      /* 0: none; lfsx_space.h */
    uint64_t reserved_bytes;   /* 0: none; lfsx_space.h */
    uint64_t created_ns;       /* since 1970 UTC */
    uint64_t deleted_ns;       /* 0: it is not */
    uint64_t keep_deleted_ns;  /* lfsx_volume_protect() */
    uint32_t open_count;       /* handles at this moment */
    uint32_t snapshot_count;
    char origin[LFSX_OPEN_NAME_MAX + 1]; /* VOLUME@SNAPSHOT that it is a clone of; else "" */
    bool is_protected;
    bool read_only;
    enum status damage; /* why it cannot be opened, and has a size of 0 here: CHECKSUM, CORRUPT, IO;
                           STATUS_OK: it can */
    enum status dead_damage; /* why what it drops and its snapshots hold cannot be written down any
                                more, so that it stays in use until fsck.lfsx repairs the pool:
                                CHECKSUM, CORRUPT, IO; STATUS_OK: it is written down */
};

/* Creates a thin volume, durable on return. EXISTS, INVALID (name, or size not a positive multiple
 * of 512 up to LFSX_VOLUME_SIZE_MAX), NO_SPACE, READ_ONLY. */
enum status lfsx_volume_create(struct lfsx_pool *pool, const char *name, uint64_t size);

/* Gives a volume another name, durable on return. Handles stay valid. NOT_FOUND, EXISTS, INVALID,
 * NO_SPACE, READ_ONLY. */
enum status lfsx_volume_rename(struct lfsx_pool *pool, const char *from, const char *to);

#define LFSX_RESIZE_SHRINK 1u /* a smaller size is meant, and what lies behind it is given up */

/*
 * Gives a volume another size in bytes, durable on return. Larger: at any time; the new end reads
 * as zeros, and who learns the size from now on (a new NBD connection) can use it. Smaller: only
 * with LFSX_RESIZE_SHRINK and while nobody has the volume open. What lies behind the new end is
 * freed first, so that after a crash a part of it may be gone although the volume has its old size.
 * Its snapshots keep theirs. INVALID (not a positive multiple of 512 up to LFSX_VOLUME_SIZE_MAX, or
 * smaller without the flag), NOT_FOUND, BUSY (open, and it would shrink; or being resized),
 * NO_SPACE, READ_ONLY.
 */
enum status lfsx_volume_resize(struct lfsx_pool *pool, const char *name, uint64_t size,
                               uint32_t flags);

#define LFSX_DELETE_SNAPSHOTS 1u /* with all its snapshots */
#define LFSX_DELETE_NOW 2u /* it cannot be brought back, whatever lfsx_volume_protect() said */

/* Deletes a volume; the name is free, durably, on return, and the space soon afterwards, or when it
 * cannot be brought back any more. Works on a full pool. NOT_FOUND, BUSY (a handle is open; it has
 * snapshots, and neither flag nor protection says what becomes of them; one of them has a handle or
 * a clone), PERMISSION (it is protected), READ_ONLY. */
enum status lfsx_volume_delete(struct lfsx_pool *pool, const char *name, uint32_t flags);

/* Protects a volume from being deleted, or no longer; and says for how long (0: not at all) one
 * that is deleted can be brought back, with its snapshots. Durable on return. NOT_FOUND,
 * READ_ONLY. */
enum status lfsx_volume_protect(struct lfsx_pool *pool, const char *name, bool is_protected,
                                uint64_t keep_deleted_ns);

/* Brings back a deleted volume, under its old name or another (NULL: the old). NOT_FOUND, EXISTS,
 * INVALID, READ_ONLY. */
enum status lfsx_volume_undelete(struct lfsx_pool *pool, uint64_t id, const char *name);

/* Gives up a deleted volume or share before its time, with all its snapshots; durable on return,
 * and what it held is free soon afterwards. Works on a full pool. NOT_FOUND (also: it is not
 * deleted), BUSY (a snapshot of it has a clone), READ_ONLY. */
enum status lfsx_deleted_purge(struct lfsx_pool *pool, uint64_t id);

/* Calls visit for every volume, in no order that callers may rely on, with no lock held, until it
 * returns false. */
enum status lfsx_volume_list(struct lfsx_pool *pool,
                             bool (*visit)(void *context, const struct lfsx_volume_info *info),
                             void *context);

/* The same for volumes that are deleted and can be brought back. */
enum status lfsx_deleted_list(struct lfsx_pool *pool,
                              bool (*visit)(void *context, const struct lfsx_volume_info *info),
                              void *context);

/* A handle; each open is paired with one close. "VOLUME@SNAPSHOT" opens a snapshot, to be read.
 * NOT_FOUND, BUSY (it is being made smaller), CORRUPT or IO (a node cannot be read that everything
 * in it needs: fsck.lfsx repairs that; all else is served meanwhile), NO_MEMORY. */
enum status lfsx_volume_open(struct lfsx_pool *pool, const char *name, struct lfsx_volume **volume);
void lfsx_volume_close(struct lfsx_volume *volume);
/* Of a snapshot, its own size and space, and the volume's other facts. */
void lfsx_volume_info(struct lfsx_volume *volume, struct lfsx_volume_info *info);

/* ---- data ---- */

/*
 * The payload of one read or write, laid out so that it goes to the device without a copy: whole
 * blocks that cover [offset, offset + length), in page-aligned chunks; `spans` names just the
 * payload in them, for the network.
 */
struct lfsx_buffer {
    uint64_t offset; /* bytes in the volume; any alignment */
    uint32_t length; /* 1..LFSX_MAX_IO */
    uint32_t span_count;
    struct span *spans;
    void **blocks; /* one pointer for each covered block, LFSX_BLOCK_SIZE bytes each */
    uint32_t block_count;
};

/* Content undefined. INVALID (length), OUT_OF_RANGE (offset + length beyond LFSX_VOLUME_SIZE_MAX).
 */
enum status lfsx_buffer_alloc(uint64_t offset, uint32_t length, struct lfsx_buffer **buffer);
/* NULL is allowed. */
void lfsx_buffer_free(struct lfsx_buffer *buffer);

#define LFSX_FUA 1u /* durable on return */
#define LFSX_NO_HOLE                                                                               \
    2u /* with lfsx_volume_zero: keep space allocated, so that later writes to the                 \
          range need no more than an overwrite does */

/* Fills the buffer's spans. Holes read as zeros. OUT_OF_RANGE, CHECKSUM, IO. What the blocks hold
 * outside of the spans is undefined. */
enum status lfsx_volume_read(struct lfsx_volume *volume, struct lfsx_buffer *buffer);

/* Writes the buffer's spans; all of it or, after an error or a crash, nothing. The bytes of the
 * blocks outside of the spans are overwritten (with the neighbours' content). OUT_OF_RANGE,
 * NO_SPACE, READ_ONLY. */
enum status lfsx_volume_write(struct lfsx_volume *volume, struct lfsx_buffer *buffer,
                              uint32_t flags);

/* Whole blocks inside the range read as zeros and give their space back; the rest of the range
 * keeps its content. Any offset and length inside the volume. Works on a full pool. */
enum status lfsx_volume_trim(struct lfsx_volume *volume, uint64_t offset, uint64_t length,
                             uint32_t flags);

/* The whole range reads as zeros; whole blocks give their space back unless LFSX_NO_HOLE. */
enum status lfsx_volume_zero(struct lfsx_volume *volume, uint64_t offset, uint64_t length,
                             uint32_t flags);

/* ---- check ---- */

/* What the check found, by permanent number; docs/FORMAT.md explains each. */
struct lfsx_finding {
    uint32_t number;
    const char *name; /* "node-checksum" */
    uint64_t block;   /* address on the device in blocks; UINT64_MAX: none */
    char text[320];   /* what and where, for people */
    bool fatal;       /* the check could not look behind it */
};

#define LFSX_MEMORY_MIN (64u << 10) /* bytes: a check or a repair cannot do with less */

struct lfsx_check_options {
    bool data;                /* also read every data block and verify its checksum */
    uint64_t memory_bytes;    /* not to be exceeded by what grows with the pool, at least
                                 LFSX_MEMORY_MIN; 0: no limit */
    struct blockdev *scratch; /* where what is beyond goes; its content is lost. NULL: nowhere */
    void (*finding)(void *context, const struct lfsx_finding *finding);
    void (*progress)(void *context, uint64_t done_blocks, uint64_t total_blocks); /* may be NULL */
    void *context;
};

struct lfsx_check_summary {
    uint64_t findings;
    uint64_t nodes;       /* of all trees; what several share counts once, here and below */
    uint64_t data_blocks; /* that datasets and snapshots hold */
    uint64_t dead_blocks; /* of snapshots that are being deleted, soon to be free */
    uint64_t datasets;
    uint64_t snapshots; /* live ones */
    uint64_t used_blocks;
    uint64_t total_blocks;
    uint64_t memory_peak;   /* bytes that there were of what grows with the pool */
    uint64_t scratch_bytes; /* that were used of the scratch device */
};

/* Walks everything that the pool on the device holds, read-only, and compares: superblocks, every
 * node, every tree's order and links, extents against each other and the bitmaps, counters. OK also
 * when there are findings; NOT_LFSX, VERSION, NO_MEMORY (also: memory_bytes are used up, and the
 * scratch device is full or missing), INVALID (memory_bytes; a scratch device that cannot be
 * written or has larger blocks than the pool), IO when it could not be done; what was missing is
 * said in the log. The pool is not open for writing. */
enum status lfsx_check(struct blockdev *device, const struct lfsx_check_options *options,
                       struct lfsx_check_summary *summary);

/* ---- repair ---- */

enum lfsx_repair_level {
    LFSX_REPAIR_PREEN, /* what is safe: copies from their twins, maps from whole trees */
    LFSX_REPAIR_ALL    /* also what gives up what cannot be read */
};

enum lfsx_loss_kind {
    LFSX_LOSS_BYTES,      /* of a volume or of a share's file */
    LFSX_LOSS_FILE,       /* a name in a share, and all of what it named */
    LFSX_LOSS_ATTRIBUTES, /* extended attributes of an inode of a share, one or more */
    LFSX_LOSS_ITEMS       /* of a share's inodes inode..last_inode some may be gone, and names in
                             them, attributes and sizes be missing or older; their bytes only where
                             that is said, too */
};

/* What a repair could not bring back. */
struct lfsx_loss {
    enum lfsx_loss_kind kind;
    const char *volume; /* or share: its name after the repair; "NAME@SNAPSHOT" of a snapshot */
    const char *path;   /* in a share, after the repair, "" for its root; NULL: it is not known, or
                           several. One that is very long begins with "..." */
    uint64_t inode, last_inode; /* of a share: the same number twice; or all inodes from the one to
                                   the other: of LFSX_LOSS_ITEMS, and of LFSX_LOSS_BYTES with a
                                   length of UINT64_MAX. Of a volume: 0 */
    uint64_t offset;            /* of LFSX_LOSS_BYTES */
    uint64_t length;            /* bytes */
    bool doubtful; /* of bytes: they may be an older version, and else read as zeros now; of a file:
                      it may have been removed before */
};

struct lfsx_repair_options {
    enum lfsx_repair_level level;
    bool data;             /* check the data blocks, too */
    uint64_t memory_bytes; /* as in struct lfsx_check_options */
    struct blockdev *scratch;
    void (*finding)(void *context, const struct lfsx_finding *finding);
    void (*action)(void *context, const char *text);           /* what was done */
    void (*loss)(void *context, const struct lfsx_loss *loss); /* once for each range; of volumes
                                                                  before it is final */
    void (*progress)(void *context, uint64_t done_blocks, uint64_t total_blocks); /* may be NULL */
    void *context;
};

struct lfsx_repair_summary {
    struct lfsx_check_summary check; /* of the state before */
    uint64_t actions;
    uint64_t losses;
    uint64_t remaining; /* findings of the check after the repair */
};

/* Checks and, if there are findings, repairs the pool on the device, which is not open. Whatever
 * happens on the way, the device holds the old state or the new one, or one in which some of what
 * shares say against each other is mended and the rest is not yet. OK also when findings remain;
 * else as lfsx_check(), READ_ONLY, NO_SPACE (no room for the new nodes), NO_MEMORY (also: more than
 * memory_bytes would be needed, said in the log). */
enum status lfsx_repair(struct blockdev *device, const struct lfsx_repair_options *options,
                        struct lfsx_repair_summary *summary);

#endif
