/* SPDX-License-Identifier: Apache-2.0 */
/* What clients do in shares at random. */
#include "base/math.h"
#include "tests/sim/ops_share.h"

#define OBJECTS_MAX 24u /* of a share, more or less */

/* A share that is there and stays as long as nobody yields; -1: none. */
static int draw_share(struct run *run) {
    unsigned first = (unsigned)run_below(run, run->plan.names);
    for (unsigned i = 0; i < run->plan.names; i++) {
        unsigned name = (first + i) % run->plan.names;
        int instance = model_present(&run->model, name);
        if (instance >= 0 && !run->deleting[name] && run->model.instances[instance].share != NULL)
            return instance;
    }
    return -1;
}

/* Something of this kind (-1: of any) that has a name; MODEL_NO_OBJECT: nothing. */
static uint32_t draw_object(struct run *run, unsigned instance, int kind) {
    const struct model_share *share = run->model.instances[instance].share;
    uint32_t first = (uint32_t)run_below(run, share->count);
    for (uint32_t i = 0; i < share->count; i++) {
        uint32_t object = (first + i) % share->count;
        const struct model_object *own = &share->objects[object];
        if ((kind < 0 || (int)own->kind == kind) && own->inode != 0 &&
            model_links(&run->model, share, object) > 0)
            return object;
    }
    return MODEL_NO_OBJECT;
}

static struct spot draw_spot(struct run *run, unsigned instance) {
    return (struct spot){draw_object(run, instance, LFSX_DIRECTORY),
                         (unsigned)run_below(run, TREE_NAMES)};
}

/* One that names something, if the first few do. */
static struct spot draw_used_spot(struct run *run, unsigned instance) {
    const struct model_share *share = run->model.instances[instance].share;
    struct spot spot = draw_spot(run, instance);
    for (unsigned i = 0; i < 2 * TREE_NAMES; i++) {
        if (model_lookup(&run->model, share, spot.directory, spot.name) != MODEL_NO_OBJECT)
            break;
        spot = draw_spot(run, instance);
    }
    return spot;
}

static unsigned count_objects(struct run *run, unsigned instance) {
    const struct model_share *share = run->model.instances[instance].share;
    unsigned count = 0;
    for (uint32_t i = 0; i < share->count; i++)
        count += model_links(&run->model, share, i) > 0;
    return count;
}

static struct range draw_range(struct run *run, unsigned instance, uint32_t object) {
    static const uint64_t units[] = {1, 512, 4096, 4096, 4096};
    uint64_t unit = units[run_below(run, 5)];
    uint64_t size = model_value(&run->model, object_of(run, instance, object)->file.size);
    uint64_t most = run_one_in(run, 3) ? run->plan.file_bytes : MATH_MAX(size, 1);
    uint64_t offset = run_one_in(run, 4) ? size : run_below(run, most);
    offset = math_round_down(MATH_MIN(offset, run->plan.file_bytes - 1), unit);
    uint64_t limit = run_one_in(run, run->plan.long_one_in) ? run->plan.max_length : 12288;
    limit = MATH_MIN(limit, MATH_MIN(run->plan.max_length, run->plan.file_bytes - offset));
    uint64_t length = 1 + run_below(run, limit);
    if (length > unit)
        length = math_round_down(length, unit);
    return (struct range){(int)instance, object, offset, length};
}

static void do_content(struct client *client, unsigned instance, bool fua) {
    struct run *run = client->run;
    uint32_t object = draw_object(run, instance, LFSX_REGULAR);
    if (object == MODEL_NO_OBJECT) {
        op_share_make(client, instance, draw_spot(run, instance), LFSX_REGULAR, fua);
        return;
    }
    struct range range = draw_range(run, instance, object);
    uint64_t dice = run_below(run, 20);
    if (dice < 10)
        op_file_write(client, &range, fua);
    else if (dice < 13)
        op_file_truncate(client, instance, object, range.offset, fua);
    else if (dice < 16)
        op_file_zero(client, &range, run_one_in(run, 3), fua);
    else
        op_file_read(client, &range);
}

/* Cuts a file off, and half of the time makes it longer again; nothing of what was cut off may come
 * back. */
static void do_tail(struct client *client, unsigned instance, bool fua) {
    struct run *run = client->run;
    uint32_t object = draw_object(run, instance, LFSX_REGULAR);
    if (object == MODEL_NO_OBJECT) {
        op_share_make(client, instance, draw_spot(run, instance), LFSX_REGULAR, fua);
        return;
    }
    uint64_t size = model_value(&run->model, object_of(run, instance, object)->file.size);
    uint64_t half = run->plan.file_bytes / 2;
    struct range range = {(int)instance, object, half + run_below(run, half / 2), 1000};
    if (size < half / 2) {
        range = (struct range){(int)instance, object, 0, half};
        op_file_write(client, &range, fua);
        return;
    }
    bool only_longer = run_one_in(run, 4); /* a crash may have left something to cut off */
    if (!only_longer)
        op_file_truncate(client, instance, object, run_below(run, size), fua);
    bool is_there = name_of_instance(run, (int)instance) < MODEL_NAMES; /* also a new clone's */
    if (is_there && (only_longer || run_one_in(run, 2)))
        op_file_write(client, &range, fua);
}

static void do_attributes(struct client *client, unsigned instance, bool fua) {
    static const uint32_t modes[] = {0, 0, LFSX_XATTR_CREATE, LFSX_XATTR_REPLACE};
    struct run *run = client->run;
    uint32_t object = draw_object(run, instance, -1);
    if (run_one_in(run, 3)) {
        op_share_setattr(run, instance, object, fua);
        return;
    }
    uint64_t longest = MATH_MIN(run->plan.max_length, LFSX_XATTR_MAX);
    uint32_t length = run_one_in(run, 3)    ? 0
                      : run_one_in(run, 10) ? (uint32_t)(1 + run_below(run, longest))
                                            : (uint32_t)(1 + run_below(run, 200));
    op_share_xattr(client, instance, object, (unsigned)run_below(run, TREE_XATTRS), length,
                   modes[run_below(run, 4)] | (fua ? LFSX_FUA : 0));
}

static void do_rename(struct run *run, unsigned instance, bool fua) {
    static const uint32_t modes[] = {0, 0, 0, LFSX_NO_REPLACE, LFSX_EXCHANGE};
    struct spot from = draw_used_spot(run, instance);
    struct spot to = draw_spot(run, instance);
    op_share_rename(run, instance, from, to, modes[run_below(run, 5)] | (fua ? LFSX_FUA : 0));
}

static void do_making(struct client *client, unsigned instance, bool fua) {
    static const enum lfsx_kind kinds[] = {LFSX_REGULAR, LFSX_REGULAR, LFSX_DIRECTORY,
                                           LFSX_SYMLINK};
    struct run *run = client->run;
    struct spot spot = draw_spot(run, instance);
    if (count_objects(run, instance) >= OBJECTS_MAX)
        op_share_remove(run, instance, draw_used_spot(run, instance), run_one_in(run, 3), fua);
    else if (run_one_in(run, 5))
        op_share_link(run, instance, draw_object(run, instance, -1), spot, fua);
    else
        op_share_make(client, instance, spot, kinds[run_below(run, 4)], fua);
}

void workload_share(struct client *client) {
    struct run *run = client->run;
    int drawn = draw_share(run);
    if (drawn < 0)
        return;
    unsigned instance = (unsigned)drawn;
    bool fua = client->number >= run->plan.lazy && run_one_in(run, run->plan.fua_one_in);
    uint64_t dice = run_below(run, 20);
    if (run->plan.tails && run_one_in(run, 2))
        do_tail(client, instance, fua);
    else if (dice < 5)
        do_making(client, instance, fua);
    else if (dice < 7)
        op_share_remove(run, instance, draw_used_spot(run, instance), run_one_in(run, 4), fua);
    else if (dice < 8)
        op_file_orphan(client, instance, draw_used_spot(run, instance));
    else if (dice < 11)
        do_rename(run, instance, fua);
    else if (dice < 13)
        do_attributes(client, instance, fua);
    else if (dice < 14)
        op_share_list(run, instance, draw_object(run, instance, LFSX_DIRECTORY));
    else
        do_content(client, instance, fua);
}
