/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving names.
 *
 * A directory must not go below itself. Whether it would is told by walking up from where it goes
 * to the root; serializable transactions keep everything on that way in its place until the commit,
 * so that two moves at the same time cannot tie a knot.
 */
#include "base/math.h"
#include "storage/lfsx/share/share.h"

struct renaming {
    uint64_t from_directory, to_directory;
    struct lfsx_name from, to;
    uint32_t flags;
    uint64_t gone; /* result: an inode to clean up; 0: none */
};

/* What a name names, locked for a change. */
struct end {
    uint64_t directory;
    struct lfsx_name name;
    struct found_entry entry;
    struct disk_inode record; /* if entry.exists */
};

static bool is_directory(const struct end *end) {
    return end->entry.kind == DISK_ENTRY_DIRECTORY;
}

/* INVALID: the moved directory is the other one, or above it. CORRUPT: the way up is a circle; it
 * meets its own place at one of the steps 1, 2, 4, 8 ... */
static enum status assert_not_below(struct change_run *run, uint64_t directory, uint64_t moved) {
    uint64_t mark = directory;
    for (uint64_t steps = 1; directory != moved; steps++) {
        struct disk_inode record;
        if (directory == DISK_ROOT_INODE)
            return STATUS_OK;
        enum status status = change_directory(run, directory, &record);
        if (status != STATUS_OK)
            return status;
        directory = le64_get(record.parent);
        if (directory == mark)
            return STATUS_CORRUPT;
        if (math_is_power_of_two(steps))
            mark = directory;
    }
    return STATUS_INVALID;
}

static enum status look_at_end(struct change_run *run, struct end *end) {
    enum status status = change_find(run, end->directory, end->name, &end->entry);
    if (status != STATUS_OK || !end->entry.exists)
        return status;
    status = change_inode(run, end->entry.target, &end->record);
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

/* Looks at both ends, and where they are. */
static enum status look(struct change_run *run, struct end *from, struct end *to) {
    struct disk_inode directory;
    enum status status = change_directory(run, from->directory, &directory);
    if (status == STATUS_OK && to->directory != from->directory)
        status = change_directory(run, to->directory, &directory);
    if (status == STATUS_OK)
        status = look_at_end(run, from);
    if (status == STATUS_NO_SPACE || (status == STATUS_OK && !from->entry.exists))
        return STATUS_NOT_FOUND;
    return status == STATUS_OK ? look_at_end(run, to) : status;
}

/* What moves from one end to the other's place: the entry there, and where its directory is. */
static enum status move(struct change_run *run, struct end *what, const struct end *place) {
    enum status status =
        change_put_entry(run, &place->entry, place->name, what->entry.target, what->entry.kind);
    if (is_directory(what) && what->directory != place->directory && status == STATUS_OK) {
        what->record.parent = le64_make(place->directory);
        status = change_put_inode(run, what->entry.target, &what->record);
    }
    change_times(run, what->entry.target, RECORDS_SET_CHANGED);
    return status;
}

static enum status check_descent(struct change_run *run, const struct end *what,
                                 const struct end *place) {
    if (!is_directory(what) || what->directory == place->directory)
        return STATUS_OK;
    return assert_not_below(run, place->directory, what->entry.target);
}

static enum status exchange(struct change_run *run, struct end *from, struct end *to) {
    if (!to->entry.exists)
        return STATUS_NOT_FOUND;
    enum status status = check_descent(run, from, to);
    if (status == STATUS_OK)
        status = check_descent(run, to, from);
    if (status == STATUS_OK)
        status = move(run, from, to);
    return status == STATUS_OK ? move(run, to, from) : status;
}

static enum status check_replacement(struct change_run *run, const struct end *from,
                                     const struct end *to) {
    if (!is_directory(from))
        return is_directory(to) ? STATUS_IS_DIRECTORY : STATUS_OK;
    if (!is_directory(to))
        return STATUS_NOT_DIRECTORY;
    return change_assert_empty(run, to->entry.target);
}

static enum status replace(struct change_run *run, struct end *from, struct end *to,
                           uint64_t *gone) {
    enum status status = check_descent(run, from, to);
    if (status == STATUS_OK && to->entry.exists)
        status = check_replacement(run, from, to);
    if (status == STATUS_OK && to->entry.exists)
        status = change_drop_link(run, to->entry.target, &to->record, gone);
    struct mvcc_key key = records_key(&from->entry.key);
    if (status == STATUS_OK)
        status = mvcc_delete(run->transaction, &key);
    return status == STATUS_OK ? move(run, from, to) : status;
}

static enum status rename_body(struct change_run *run, void *context) {
    struct renaming *wish = context;
    struct end from = {.directory = wish->from_directory, .name = wish->from};
    struct end to = {.directory = wish->to_directory, .name = wish->to};
    wish->gone = 0;
    enum status status = look(run, &from, &to);
    if (status != STATUS_OK)
        return status;
    if (to.entry.exists && (wish->flags & LFSX_NO_REPLACE))
        return STATUS_EXISTS;
    if (to.entry.exists && to.entry.target == from.entry.target)
        return STATUS_OK; /* the same file, whatever its names */
    if (wish->flags & LFSX_EXCHANGE)
        status = exchange(run, &from, &to);
    else
        status = replace(run, &from, &to, &wish->gone);
    change_times(run, from.directory, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    change_times(run, to.directory, RECORDS_SET_MODIFIED | RECORDS_SET_CHANGED);
    return status;
}

enum status lfsx_share_rename(struct lfsx_share *share, uint64_t from_directory,
                              struct lfsx_name from, uint64_t to_directory, struct lfsx_name to,
                              uint32_t flags) {
    uint32_t both = LFSX_NO_REPLACE | LFSX_EXCHANGE;
    if (!entry_name_is_valid(from.text, from.length) || !entry_name_is_valid(to.text, to.length) ||
        (flags & both) == both)
        return STATUS_INVALID;
    struct renaming wish = {from_directory, to_directory, from, to, flags, 0};
    enum status status = share_change(share, rename_body, &wish, flags);
    if (status == STATUS_OK && wish.gone != 0)
        node_unlinked(share->share, wish.gone);
    return status;
}
