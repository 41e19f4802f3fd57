/* SPDX-License-Identifier: Apache-2.0 */
/* Names, links, moves, attributes and listings. */
#include "tests/sim/ops_share.h"
#include "base/math.h"

#include <string.h>

#define OWNERS 5u /* users and groups that there are */

static struct model_share *share_of(struct run *run, unsigned instance) {
    return run->model.instances[instance].share;
}

static uint32_t lookup(struct run *run, unsigned instance, struct spot spot) {
    return model_lookup(&run->model, share_of(run, instance), spot.directory, spot.name);
}

static uint32_t cell_of(struct run *run, unsigned instance, struct spot spot) {
    return object_of(run, instance, spot.directory)->entries + spot.name;
}

static uint64_t inode_of(struct run *run, unsigned instance, uint32_t object) {
    return object_of(run, instance, object)->inode;
}

static bool has_snapshot(struct run *run, unsigned instance) {
    for (uint32_t i = 0; i < run->model.snapshot_count; i++)
        if (run->model.snapshots[i].instance == instance || run->model.snapshots[i].cloned)
            return true;
    return run->model.instances[instance].is_scheduled;
}

/* What a removal may end with: it works on a full pool, unless snapshots keep what it frees. */
static uint64_t when_removing(struct run *run, unsigned instance) {
    return has_snapshot(run, instance) ? RUN_MAY(STATUS_NO_SPACE) : 0;
}

/* ---- making ---- */

struct making {
    struct spot spot;
    enum lfsx_kind kind;
    uint32_t object;
    struct lfsx_owner owner;
    struct lfsx_name target;
    uint32_t flags;
};

static struct making draw(struct client *client, struct spot spot, enum lfsx_kind kind) {
    struct run *run = client->run;
    struct making making = {.spot = spot, .kind = kind};
    making.owner =
        (struct lfsx_owner){(uint32_t)run_below(run, 010000), (uint32_t)run_below(run, OWNERS),
                            (uint32_t)run_below(run, OWNERS)};
    making.target.text = (const char *)client->data;
    making.target.length = 1 + run_below(run, run_one_in(run, 4) ? LFSX_TARGET_MAX : 60);
    memset(client->data, 'a' + (int)run_below(run, 26), making.target.length);
    return making;
}

static enum status make(struct lfsx_share *share, uint64_t directory, const struct making *making,
                        uint64_t *inode) {
    struct lfsx_name name = tree_name(making->spot.name);
    if (making->kind == LFSX_DIRECTORY)
        return lfsx_share_mkdir(share, directory, name, &making->owner, inode, making->flags);
    if (making->kind == LFSX_SYMLINK)
        return lfsx_share_symlink(share, directory, name, making->target, &making->owner, inode,
                                  making->flags);
    return lfsx_share_create_file(share, directory, name, &making->owner, inode, making->flags);
}

/* The operation, and the object that it makes. */
static uint32_t begin_making(struct run *run, unsigned instance, struct making *making) {
    making->object = model_add_object(
        &run->model, share_of(run, instance), making->kind,
        model_attributes(making->owner.mode, making->owner.uid, making->owner.gid));
    if (making->kind == LFSX_SYMLINK)
        object_of(run, instance, making->object)->target =
            tree_hash(making->target.text, making->target.length);
    uint32_t op = model_begin(&run->model, run_now(run));
    model_set(&run->model, op, cell_of(run, instance, making->spot), 1 + (uint64_t)making->object);
    return op;
}

void op_share_make(struct client *client, unsigned instance, struct spot spot, enum lfsx_kind kind,
                   bool fua) {
    struct run *run = client->run;
    if (!claim_spot(run, instance, spot))
        return;
    struct lfsx_share *share = share_enter(run, instance);
    struct making making = draw(client, spot, kind);
    making.flags = fua ? LFSX_FUA : 0;
    uint64_t inode = 0;
    uint64_t directory = inode_of(run, instance, spot.directory);
    if (share != NULL && lookup(run, instance, spot) != MODEL_NO_OBJECT) {
        run_expect_refusal(run, make(share, directory, &making, &inode), STATUS_EXISTS,
                           "making a name that there is");
    } else if (share != NULL) {
        uint32_t op = begin_making(run, instance, &making);
        enum status status = make(share, directory, &making, &inode);
        if (status == STATUS_OK)
            object_of(run, instance, making.object)->inode = inode;
        share_finish(run, instance, share, op, status, fua);
        run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "making a file");
    }
    if (share != NULL)
        share_leave(run, instance, share);
    unclaim_spot(run, instance, spot);
}

void op_share_link(struct run *run, unsigned instance, uint32_t object, struct spot spot,
                   bool fua) {
    if (!claim_spot(run, instance, spot))
        return;
    bool claimed = claim_object(run, instance, object);
    struct lfsx_share *share = claimed ? share_enter(run, instance) : NULL;
    if (share != NULL) {
        bool is_directory = object_of(run, instance, object)->kind == LFSX_DIRECTORY;
        bool exists = lookup(run, instance, spot) != MODEL_NO_OBJECT;
        uint32_t op = 0;
        if (!is_directory && !exists) {
            op = model_begin(&run->model, run_now(run));
            model_set(&run->model, op, cell_of(run, instance, spot), 1 + (uint64_t)object);
        }
        enum status status = lfsx_share_link(share, inode_of(run, instance, object),
                                             inode_of(run, instance, spot.directory),
                                             tree_name(spot.name), fua ? LFSX_FUA : 0);
        if (is_directory || exists) {
            run_expect_refusal(run, status, is_directory ? STATUS_IS_DIRECTORY : STATUS_EXISTS,
                               "a link that cannot be");
        } else {
            share_finish(run, instance, share, op, status, fua);
            run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a link");
        }
        share_leave(run, instance, share);
    }
    if (claimed)
        unclaim_object(run, instance, object);
    unclaim_spot(run, instance, spot);
}

/* ---- removing ---- */

static enum status removal_wanted(struct run *run, unsigned instance, uint32_t object, bool rmdir) {
    if (object == MODEL_NO_OBJECT)
        return STATUS_NOT_FOUND;
    bool is_directory = object_of(run, instance, object)->kind == LFSX_DIRECTORY;
    if (is_directory != rmdir)
        return rmdir ? STATUS_NOT_DIRECTORY : STATUS_IS_DIRECTORY;
    if (rmdir && !model_is_empty(&run->model, share_of(run, instance), object))
        return STATUS_NOT_EMPTY;
    return STATUS_OK;
}

static void remove_name(struct run *run, unsigned instance, struct spot spot, bool rmdir,
                        bool fua) {
    struct lfsx_share *share = share_enter(run, instance);
    if (share == NULL)
        return;
    enum status wanted = removal_wanted(run, instance, lookup(run, instance, spot), rmdir);
    uint32_t op = 0;
    if (wanted == STATUS_OK) {
        op = model_begin(&run->model, run_now(run));
        model_set(&run->model, op, cell_of(run, instance, spot), 0);
    }
    uint64_t directory = inode_of(run, instance, spot.directory);
    uint32_t flags = fua ? LFSX_FUA : 0;
    struct lfsx_name name = tree_name(spot.name);
    enum status status = rmdir ? lfsx_share_rmdir(share, directory, name, flags)
                               : lfsx_share_unlink(share, directory, name, flags);
    if (wanted != STATUS_OK) {
        run_expect_refusal(run, status, wanted, "a removal that cannot be");
    } else {
        share_finish(run, instance, share, op, status, fua);
        run_expect(run, status, when_removing(run, instance), "a removal");
    }
    share_leave(run, instance, share);
}

void op_share_remove(struct run *run, unsigned instance, struct spot spot, bool rmdir, bool fua) {
    if (!claim_spot(run, instance, spot))
        return;
    uint32_t object = lookup(run, instance, spot);
    if (claim_leaving(run, instance, object)) {
        remove_name(run, instance, spot, rmdir, fua);
        unclaim_leaving(run, instance, object);
    }
    unclaim_spot(run, instance, spot);
}

/* ---- moving ---- */

struct move {
    unsigned instance;
    struct spot from, to;
    uint32_t moved, target; /* what they name */
    uint32_t flags;
};

static bool is_directory(struct run *run, const struct move *move, uint32_t object) {
    return object_of(run, move->instance, object)->kind == LFSX_DIRECTORY;
}

/* Whether what moves to the place would go below itself. */
static bool is_knot(struct run *run, const struct move *move, uint32_t object, struct spot place) {
    return is_directory(run, move, object) && move->from.directory != move->to.directory &&
           model_is_below(&run->model, share_of(run, move->instance), place.directory, object);
}

static enum status replacement_wanted(struct run *run, const struct move *move) {
    bool moves_directory = is_directory(run, move, move->moved);
    if (moves_directory != is_directory(run, move, move->target))
        return moves_directory ? STATUS_NOT_DIRECTORY : STATUS_IS_DIRECTORY;
    if (moves_directory &&
        !model_is_empty(&run->model, share_of(run, move->instance), move->target))
        return STATUS_NOT_EMPTY;
    return STATUS_OK;
}

static enum status move_wanted(struct run *run, const struct move *move) {
    bool exchange = (move->flags & LFSX_EXCHANGE) != 0;
    bool replaces = move->target != MODEL_NO_OBJECT;
    if (move->moved == MODEL_NO_OBJECT)
        return STATUS_NOT_FOUND;
    if (replaces && (move->flags & LFSX_NO_REPLACE) != 0)
        return STATUS_EXISTS;
    if (move->target == move->moved)
        return STATUS_OK;
    if (exchange && !replaces)
        return STATUS_NOT_FOUND;
    if (is_knot(run, move, move->moved, move->to) ||
        (exchange && is_knot(run, move, move->target, move->from)))
        return STATUS_INVALID;
    return !exchange && replaces ? replacement_wanted(run, move) : STATUS_OK;
}

/* Nothing changes if both name the same. */
static uint32_t begin_move(struct run *run, const struct move *move) {
    uint32_t op = model_begin(&run->model, run_now(run));
    if (move->moved == move->target)
        return op;
    bool exchange = (move->flags & LFSX_EXCHANGE) != 0;
    model_set(&run->model, op, cell_of(run, move->instance, move->from),
              exchange ? 1 + (uint64_t)move->target : 0);
    model_set(&run->model, op, cell_of(run, move->instance, move->to), 1 + (uint64_t)move->moved);
    return op;
}

static void rename_claimed(struct run *run, const struct move *move) {
    unsigned instance = move->instance;
    struct lfsx_share *share = share_enter(run, instance);
    if (share == NULL)
        return;
    enum status wanted = move_wanted(run, move);
    uint32_t op = wanted == STATUS_OK ? begin_move(run, move) : 0;
    enum status status = lfsx_share_rename(
        share, inode_of(run, instance, move->from.directory), tree_name(move->from.name),
        inode_of(run, instance, move->to.directory), tree_name(move->to.name), move->flags);
    if (wanted == STATUS_OK) {
        share_finish(run, instance, share, op, status, (move->flags & LFSX_FUA) != 0);
        run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a rename");
    } else {
        run_expect_refusal(run, status, wanted, "a rename that cannot be");
    }
    share_leave(run, instance, share);
}

/* What is moved stays, and so does what it changes places with; what it replaces may go. */
static bool claim_both(struct run *run, const struct move *move, bool stays) {
    bool claimed = move->moved == MODEL_NO_OBJECT || claim_object(run, move->instance, move->moved);
    if (!claimed || move->moved == move->target || move->target == MODEL_NO_OBJECT)
        return claimed;
    bool both = stays ? claim_object(run, move->instance, move->target)
                      : claim_leaving(run, move->instance, move->target);
    if (!both && move->moved != MODEL_NO_OBJECT)
        unclaim_object(run, move->instance, move->moved);
    return both;
}

static void unclaim_both(struct run *run, const struct move *move, bool stays) {
    if (move->moved != MODEL_NO_OBJECT)
        unclaim_object(run, move->instance, move->moved);
    if (move->moved == move->target || move->target == MODEL_NO_OBJECT)
        return;
    if (stays)
        unclaim_object(run, move->instance, move->target);
    else
        unclaim_leaving(run, move->instance, move->target);
}

static void rename_spots(struct run *run, struct move *move) {
    bool stays = (move->flags & (LFSX_EXCHANGE | LFSX_NO_REPLACE)) != 0;
    struct model_share *share = share_of(run, move->instance);
    bool across = move->from.directory != move->to.directory;
    move->moved = lookup(run, move->instance, move->from);
    move->target = lookup(run, move->instance, move->to);
    if ((across && share->moving) || !claim_both(run, move, stays))
        return;
    share->moving |= across;
    rename_claimed(run, move);
    if (across)
        share->moving = false;
    unclaim_both(run, move, stays);
}

void op_share_rename(struct run *run, unsigned instance, struct spot from, struct spot to,
                     uint32_t flags) {
    struct move move = {.instance = instance, .from = from, .to = to, .flags = flags};
    bool same = from.directory == to.directory && from.name == to.name;
    if (!claim_spot(run, instance, from))
        return;
    if (same || claim_spot(run, instance, to)) {
        rename_spots(run, &move);
        if (!same)
            unclaim_spot(run, instance, to);
    }
    unclaim_spot(run, instance, from);
}

/* ---- listing ---- */

/* Names that nobody changes, and their number of states. */
static uint32_t still(struct run *run, unsigned instance, uint32_t directory, unsigned name) {
    const struct model_object *own = object_of(run, instance, directory);
    return own->claimed >> name & 1 ? 0 : run->model.cells[own->entries + name].count;
}

static void compare_listing(struct run *run, unsigned instance, uint32_t directory,
                            const uint32_t *before, const uint64_t *inodes) {
    for (unsigned i = 0; i < TREE_NAMES; i++) {
        uint32_t now = still(run, instance, directory, i);
        if (now == 0 || now != before[i] || run->in_doubt)
            continue;
        uint32_t object = lookup(run, instance, (struct spot){directory, i});
        uint64_t wanted = object == MODEL_NO_OBJECT ? 0 : inode_of(run, instance, object);
        if (inodes[i] != wanted)
            report_violation("a listing has another entry than there is");
    }
}

static enum status list(struct lfsx_share *share, uint64_t directory, uint64_t *inodes) {
    struct lfsx_entry entries[3];
    size_t count = 0;
    uint64_t cookie = 0;
    enum status status;
    do {
        status = lfsx_share_readdir(share, directory, cookie, entries, 3, &count);
        for (size_t i = 0; i < count && status == STATUS_OK; i++) {
            for (unsigned name = 0; name < TREE_NAMES; name++) {
                struct lfsx_name one = tree_name(name);
                if (one.length == entries[i].name_length &&
                    memcmp(one.text, entries[i].name, one.length) == 0)
                    inodes[name] = entries[i].inode;
            }
            cookie = entries[i].cookie;
        }
    } while (count > 0 && status == STATUS_OK);
    return status;
}

void op_share_list(struct run *run, unsigned instance, uint32_t directory) {
    if (!claim_object(run, instance, directory))
        return;
    struct lfsx_share *share = share_enter(run, instance);
    if (share != NULL) {
        uint32_t before[TREE_NAMES];
        uint64_t inodes[TREE_NAMES] = {0};
        for (unsigned i = 0; i < TREE_NAMES; i++)
            before[i] = still(run, instance, directory, i);
        enum status status = list(share, inode_of(run, instance, directory), inodes);
        run_expect(run, status, 0, "a listing");
        if (status == STATUS_OK)
            compare_listing(run, instance, directory, before, inodes);
        share_leave(run, instance, share);
    }
    unclaim_object(run, instance, directory);
}

/* ---- attributes ---- */

/* Claims the object for a change of its attributes. */
static struct lfsx_share *enter_to_tag(struct run *run, unsigned instance, uint32_t object) {
    if (object_of(run, instance, object)->being_tagged || !claim_object(run, instance, object))
        return NULL;
    object_of(run, instance, object)->being_tagged = true;
    struct lfsx_share *share = share_enter(run, instance);
    if (share != NULL)
        return share;
    object_of(run, instance, object)->being_tagged = false;
    unclaim_object(run, instance, object);
    return NULL;
}

static void leave_tagged(struct run *run, unsigned instance, uint32_t object,
                         struct lfsx_share *share) {
    share_leave(run, instance, share);
    object_of(run, instance, object)->being_tagged = false;
    unclaim_object(run, instance, object);
}

void op_share_setattr(struct run *run, unsigned instance, uint32_t object, bool fua) {
    struct lfsx_share *share = enter_to_tag(run, instance, object);
    if (share == NULL)
        return;
    struct lfsx_attributes new = {.mode = (uint32_t)run_below(run, 010000),
                                  .uid = (uint32_t)run_below(run, OWNERS),
                                  .gid = (uint32_t)run_below(run, OWNERS),
                                  .accessed_ns = run_below(run, 1000)};
    uint32_t op = model_begin(&run->model, run_now(run));
    model_set(&run->model, op, object_of(run, instance, object)->attributes,
              model_attributes(new.mode, new.uid, new.gid));
    uint32_t set = LFSX_SET_MODE | LFSX_SET_OWNER | (run_one_in(run, 2) ? LFSX_SET_ACCESSED : 0);
    enum status status =
        lfsx_share_setattr(share, inode_of(run, instance, object), set, &new, fua ? LFSX_FUA : 0);
    share_finish(run, instance, share, op, status, fua);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "setting attributes");
    leave_tagged(run, instance, object, share);
}

static enum status xattr_wanted(bool is_set, uint32_t length, uint32_t flags) {
    if (is_set && length > 0 && (flags & LFSX_XATTR_CREATE) != 0)
        return STATUS_EXISTS;
    if (!is_set && (length == 0 || (flags & LFSX_XATTR_REPLACE) != 0))
        return STATUS_NOT_FOUND;
    return STATUS_OK;
}

static enum status change_xattr(struct client *client, struct lfsx_share *share, uint64_t inode,
                                unsigned xattr, uint32_t length, uint32_t flags) {
    struct lfsx_name name = tree_xattr_name(xattr);
    if (length == 0)
        return lfsx_share_xattr_remove(share, inode, name, flags & LFSX_FUA);
    return lfsx_share_xattr_set(share, inode, name, client->data, length, flags);
}

void op_share_xattr(struct client *client, unsigned instance, uint32_t object, unsigned xattr,
                    uint32_t length, uint32_t flags) {
    struct run *run = client->run;
    struct lfsx_share *share = enter_to_tag(run, instance, object);
    if (share == NULL)
        return;
    for (uint32_t i = 0; i < length; i += 8) {
        uint64_t word = sim_random_next(&run->random);
        memcpy(client->data + i, &word, MATH_MIN(8, length - i));
    }
    uint32_t cell = object_of(run, instance, object)->xattrs + xattr;
    enum status wanted = xattr_wanted(model_value(&run->model, cell) != 0, length, flags);
    uint32_t op = 0;
    if (wanted == STATUS_OK) {
        op = model_begin(&run->model, run_now(run));
        model_set(&run->model, op, cell, length == 0 ? 0 : tree_hash(client->data, length));
    }
    enum status status =
        change_xattr(client, share, inode_of(run, instance, object), xattr, length, flags);
    if (wanted == STATUS_OK) {
        share_finish(run, instance, share, op, status, (flags & LFSX_FUA) != 0);
        run_expect(run, status,
                   length > 0 ? RUN_MAY(STATUS_NO_SPACE) : when_removing(run, instance),
                   "changing an extended attribute");
    } else {
        run_expect_refusal(run, status, wanted, "an extended attribute that cannot be changed so");
    }
    leave_tagged(run, instance, object, share);
}
