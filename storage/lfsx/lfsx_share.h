/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares: datasets that are trees of directories, files and symbolic links.
 *
 * What lfsx_snapshot.h says of volumes holds for shares, too: they have snapshots and clones, and
 * are rolled back; and so do lfsx_volume_rename(), lfsx_volume_protect(), lfsx_deleted_list(),
 * lfsx_volume_undelete() and lfsx_deleted_purge().
 *
 * Everything is called from threads, blocks, and may be called by many threads at once. A share is
 * opened like a volume; in it an inode is named by a number that is never given to another one.
 * Directories are walked by number and name, content is read and written by an open file: what is
 * removed while it is open stays readable and writable until its last lfsx_file_close().
 *
 * Owners, permissions and times are kept, not enforced: who may do what is the service's to decide.
 * Symbolic links are never followed here.
 *
 * Durability and atomicity: each call is one step that others see, and that a crash leaves, as a
 * whole or not at all, but for lfsx_file_zero(). What a call changed is seen by every later one at
 * once, and is durable after lfsx_share_sync(), lfsx_pool_commit(), or on return with LFSX_FUA.
 * Steps survive a crash in the order in which they were made: a later one never without an earlier
 * one.
 *
 * Errors that any call may return: those of lfsx.h, NOT_FOUND (no such inode: it was removed), and
 * from calls that change something READ_ONLY and NO_SPACE; removing works on a full pool.
 */
#ifndef STORAGE_LFSX_LFSX_SHARE_H
#define STORAGE_LFSX_LFSX_SHARE_H

#include "storage/lfsx/lfsx.h"

struct lfsx_share;
struct lfsx_file;

/* ---- shares of a pool ---- */

/* Creates an empty share, durable on return; its root directory is 0:0's, mode 0755. EXISTS (also:
 * a volume of that name), INVALID (lfsx_name_is_valid() does not hold). */
enum status lfsx_share_create(struct lfsx_pool *pool, const char *name);

/* As lfsx_volume_delete(). */
enum status lfsx_share_delete(struct lfsx_pool *pool, const char *name, uint32_t flags);

struct lfsx_share_info {
    char name[LFSX_NAME_MAX + 1];
    uint64_t id; /* never used again for another dataset of the pool */
    uint8_t uuid[16];
    uint64_t used_bytes; /* data blocks that its files reference */
    uint64_t created_ns; /* since 1970 UTC */
    uint32_t open_count; /* handles at this moment */
    bool read_only;
    enum status damage; /* as struct lfsx_volume_info's, and */
    enum status dead_damage;
};

/* As lfsx_volume_list(). */
enum status lfsx_share_list(struct lfsx_pool *pool,
                            bool (*visit)(void *context, const struct lfsx_share_info *info),
                            void *context);

/* A handle; each open is paired with one close. "SHARE@SNAPSHOT" gives a read-only one on a
 * snapshot. The first handle begins to free what a crash left of files that were removed while
 * open. NOT_FOUND, CORRUPT or IO (as lfsx_volume_open()). */
enum status lfsx_share_open(struct lfsx_pool *pool, const char *name, struct lfsx_share **share);
/* All its files are closed. */
void lfsx_share_close(struct lfsx_share *share);
void lfsx_share_info(struct lfsx_share *share, struct lfsx_share_info *info);

/* Makes everything that was done before the call durable, in the whole pool. */
enum status lfsx_share_sync(struct lfsx_share *share);

/* ---- inodes ---- */

#define LFSX_ROOT 1u /* the root directory */

enum lfsx_kind { LFSX_REGULAR, LFSX_DIRECTORY, LFSX_SYMLINK };

struct lfsx_attributes {
    uint64_t inode;
    enum lfsx_kind kind;
    uint32_t mode;  /* permissions: 07777 */
    uint32_t links; /* names; 0: removed, but open */
    uint32_t uid, gid;
    uint64_t size;                                             /* bytes; of a directory: 0 */
    uint64_t used_bytes;                                       /* of data blocks */
    uint64_t modified_ns, changed_ns, accessed_ns, created_ns; /* since 1970 UTC */
    uint64_t parent; /* of a directory: the one that it is in, of the root itself; else 0 */
};

enum status lfsx_share_getattr(struct lfsx_share *share, uint64_t inode,
                               struct lfsx_attributes *attributes);

#define LFSX_SET_MODE 1u
#define LFSX_SET_OWNER 2u /* uid and gid */
#define LFSX_SET_MODIFIED 4u
#define LFSX_SET_ACCESSED 8u /* reading alone never sets it */

/* Sets those that `set` names; changed_ns is then now. INVALID (unknown bits, a mode beyond 07777).
 * The size is lfsx_file_truncate()'s. */
enum status lfsx_share_setattr(struct lfsx_share *share, uint64_t inode, uint32_t set,
                               const struct lfsx_attributes *attributes, uint32_t flags);

/* ---- reading directories ---- */

/* A name is 1..LFSX_NAME_MAX bytes of UTF-8 without '/' and zero bytes, and neither "." nor "..".
 * Every call with one gives INVALID for what is none. */
struct lfsx_name {
    const char *text; /* no terminating zero needed */
    size_t length;
};

/* NOT_FOUND (name or directory), NOT_DIRECTORY. */
enum status lfsx_share_lookup(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                              uint64_t *inode);

/* Looks up names that are separated by any number of '/', from the root on; "" and "/" are the root
 * itself. "." and ".." are no names (INVALID), a symbolic link is no directory. The steps are
 * calls of their own. */
enum status lfsx_share_resolve(struct lfsx_share *share, const char *path, uint64_t *inode);

struct lfsx_entry {
    uint64_t inode;
    uint64_t cookie; /* to go on behind this entry */
    enum lfsx_kind kind;
    uint8_t name_length;
    char name[LFSX_NAME_MAX + 1]; /* ends with a zero */
};

/*
 * Fills up to `max` entries, at most LFSX_READDIR_MAX at a time, of those behind the cookie (0:
 * from the start); *count 0: there are no more. The order is that of hashes and does not change: an
 * entry that is there all the time is seen exactly once by whoever goes on with cookies, for
 * however long, also after a restart. "." and ".." are not among them. NOT_DIRECTORY.
 */
#define LFSX_READDIR_MAX 256u
enum status lfsx_share_readdir(struct lfsx_share *share, uint64_t directory, uint64_t cookie,
                               struct lfsx_entry *entries, size_t max, size_t *count);

#define LFSX_TARGET_MAX 4095u /* bytes of a symbolic link's target */

/* Copies as much of the target as there is room for, without a zero at the end; *length is all of
 * it. INVALID (not a symbolic link). */
enum status lfsx_share_readlink(struct lfsx_share *share, uint64_t inode, char *target, size_t size,
                                size_t *length);

/* ---- changing directories; `flags` is 0 or LFSX_FUA ---- */

/* What a new inode begins with. */
struct lfsx_owner {
    uint32_t mode; /* 07777 */
    uint32_t uid, gid;
};

/* Make something new. EXISTS, NOT_DIRECTORY, INVALID (name, mode, target: 1..LFSX_TARGET_MAX bytes
 * without zero bytes), NO_SPACE (also: sixteen names of the directory share this one's hash). */
enum status lfsx_share_create_file(struct lfsx_share *share, uint64_t directory,
                                   struct lfsx_name name, const struct lfsx_owner *owner,
                                   uint64_t *inode, uint32_t flags);
enum status lfsx_share_mkdir(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                             const struct lfsx_owner *owner, uint64_t *inode, uint32_t flags);
enum status lfsx_share_symlink(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                               struct lfsx_name target, const struct lfsx_owner *owner,
                               uint64_t *inode, uint32_t flags);

/* One more name for what is no directory. IS_DIRECTORY, EXISTS, OUT_OF_RANGE (too many names). */
enum status lfsx_share_link(struct lfsx_share *share, uint64_t inode, uint64_t directory,
                            struct lfsx_name name, uint32_t flags);

/* Removes a name and, with the last one, what it names, once nobody has that open. IS_DIRECTORY. */
enum status lfsx_share_unlink(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                              uint32_t flags);
/* NOT_DIRECTORY, NOT_EMPTY. */
enum status lfsx_share_rmdir(struct lfsx_share *share, uint64_t directory, struct lfsx_name name,
                             uint32_t flags);

#define LFSX_NO_REPLACE 0x100u /* EXISTS instead of replacing */
#define LFSX_EXCHANGE 0x200u   /* both are there, and change places */

/*
 * Moves a name, as POSIX's rename(): what `to` named is replaced in the same step, a directory only
 * by a directory and only if it is empty (IS_DIRECTORY, NOT_DIRECTORY, NOT_EMPTY), and nothing
 * happens if both name the same file. INVALID: a directory would go into itself or below, or both
 * flags are set.
 */
enum status lfsx_share_rename(struct lfsx_share *share, uint64_t from_directory,
                              struct lfsx_name from, uint64_t to_directory, struct lfsx_name to,
                              uint32_t flags);

/* ---- content ---- */

/* A handle on a regular file; each open is paired with one close. NOT_FOUND (also: it was removed
 * and nobody has it open), IS_DIRECTORY, INVALID (a symbolic link). */
enum status lfsx_file_open(struct lfsx_share *share, uint64_t inode, struct lfsx_file **file);
/* The last one of a removed file frees it. */
void lfsx_file_close(struct lfsx_file *file);

/* Fills the buffer's spans; what is in a hole or behind the file's end reads as zeros. *length is
 * how many bytes of the buffer lie before the end. */
enum status lfsx_file_read(struct lfsx_file *file, struct lfsx_buffer *buffer, uint32_t *length);

/* As lfsx_volume_write(), but that the file grows as far as it has to: all of the buffer in one
 * step, up to LFSX_MAX_IO. OUT_OF_RANGE (beyond 2^62 bytes). */
enum status lfsx_file_write(struct lfsx_file *file, struct lfsx_buffer *buffer, uint32_t flags);

/* The size becomes `size`: what was behind is gone, what is new reads as zeros. OUT_OF_RANGE. */
enum status lfsx_file_truncate(struct lfsx_file *file, uint64_t size, uint32_t flags);

/* What of the range lies before the file's end reads as zeros; whole blocks give their space back
 * unless LFSX_NO_HOLE. A crash may leave a part of the range done. */
enum status lfsx_file_zero(struct lfsx_file *file, uint64_t offset, uint64_t length,
                           uint32_t flags);

/* ---- extended attributes ---- */

#define LFSX_XATTR_MAX 65536u /* bytes of a value */

#define LFSX_XATTR_CREATE 0x100u  /* EXISTS if it is there */
#define LFSX_XATTR_REPLACE 0x200u /* NOT_FOUND if it is not */

/* Their names are 1..LFSX_NAME_MAX bytes of UTF-8 without zero bytes (else INVALID). Any inode may
 * have any number of them. */

/* Copies as much of the value as there is room for; *length is all of it. NOT_FOUND. */
enum status lfsx_share_xattr_get(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                 void *value, size_t size, size_t *length);
/* INVALID (name; more than LFSX_XATTR_MAX bytes; both flags). */
enum status lfsx_share_xattr_set(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                 const void *value, size_t length, uint32_t flags);
enum status lfsx_share_xattr_remove(struct lfsx_share *share, uint64_t inode, struct lfsx_name name,
                                    uint32_t flags);
/* Writes as many names, each with a zero behind it, as there is room for in whole; *length is what
 * all of them take. */
enum status lfsx_share_xattr_list(struct lfsx_share *share, uint64_t inode, char *names,
                                  size_t size, size_t *length);

#endif
