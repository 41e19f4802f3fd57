/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in a share. */
#include "tests/sim/ops_share.h"
#include "tests/sim/script.h"

enum kind {
    MAKE, /* `length` is the kind of it */
    LINK, /* a new name of the file at `length` */
    REMOVE,
    REMOVE_DIRECTORY,
    REMOVE_OPEN,
    RENAME, /* to the place `length` */
    WRITE,
    READ,
    TRUNCATE,
    ZERO,
    SET_ATTRIBUTES,
    SET_XATTR,
    LIST
};

/* Places: names in the root, in the directory "D" that has the name 1 in it, and in "E", 5. */
#define ROOT(name) (name)
#define IN_D(name) (8u + (name))
#define IN_E(name) (16u + (name))
#define A ROOT(0)
#define D ROOT(1)
#define B IN_D(0)
#define E ROOT(5)
#define FUA LFSX_FUA

static int share_now(struct run *run) {
    int instance = model_present(&run->model, SCRIPT_SHARE_NAME);
    return instance >= 0 && run->model.instances[instance].share != NULL ? instance : -1;
}

static uint32_t lookup(struct run *run, unsigned instance, struct spot spot) {
    return model_lookup(&run->model, run->model.instances[instance].share, spot.directory,
                        spot.name);
}

/* False: its directory is not there any more. */
static bool find_place(struct run *run, unsigned instance, uint64_t place, struct spot *spot) {
    *spot = (struct spot){MODEL_ROOT, (unsigned)place % 8};
    if (place >= 8)
        spot->directory = lookup(run, instance, (struct spot){MODEL_ROOT, place < 16 ? D : E});
    return spot->directory != MODEL_NO_OBJECT &&
           object_of(run, instance, spot->directory)->kind == LFSX_DIRECTORY;
}

static void do_file(struct client *client, unsigned instance, const struct script_step *step,
                    uint32_t object) {
    struct range range = {(int)instance, object, step->offset, step->length};
    bool fua = (step->flags & FUA) != 0;
    if (object_of(client->run, instance, object)->kind != LFSX_REGULAR)
        return;
    if (step->kind == WRITE)
        op_file_write(client, &range, fua);
    else if (step->kind == READ)
        op_file_read(client, &range);
    else if (step->kind == TRUNCATE)
        op_file_truncate(client, instance, object, step->offset, fua);
    else
        op_file_zero(client, &range, (step->flags & LFSX_NO_HOLE) != 0, fua);
}

static void do_object(struct client *client, unsigned instance, const struct script_step *step,
                      uint32_t object) {
    bool fua = (step->flags & FUA) != 0;
    if (step->kind == SET_ATTRIBUTES)
        op_share_setattr(client->run, instance, object, fua);
    else if (step->kind == SET_XATTR)
        op_share_xattr(client, instance, object, (unsigned)step->offset, (uint32_t)step->length,
                       step->flags);
    else if (step->kind != LIST)
        do_file(client, instance, step, object);
    else if (object_of(client->run, instance, object)->kind == LFSX_DIRECTORY)
        op_share_list(client->run, instance, object);
}

static void do_name(struct client *client, unsigned instance, const struct script_step *step,
                    struct spot spot) {
    struct run *run = client->run;
    bool fua = (step->flags & FUA) != 0;
    struct spot other;
    if (step->kind == MAKE)
        op_share_make(client, instance, spot, (enum lfsx_kind)step->length, fua);
    else if (step->kind == REMOVE_OPEN)
        op_file_orphan(client, instance, spot);
    else if (step->kind == REMOVE || step->kind == REMOVE_DIRECTORY)
        op_share_remove(run, instance, spot, step->kind == REMOVE_DIRECTORY, fua);
    else if (!find_place(run, instance, step->length, &other))
        return;
    else if (step->kind == RENAME)
        op_share_rename(run, instance, spot, other, step->flags);
    else if (lookup(run, instance, other) != MODEL_NO_OBJECT)
        op_share_link(run, instance, lookup(run, instance, other), spot, fua);
}

static void do_step(struct client *client, const struct script_step *step) {
    struct run *run = client->run;
    int instance = share_now(run);
    struct spot spot;
    if (instance < 0 || !find_place(run, (unsigned)instance, step->volume, &spot))
        return;
    if (step->kind <= RENAME) {
        do_name(client, (unsigned)instance, step, spot);
        return;
    }
    uint32_t object = lookup(run, (unsigned)instance, spot);
    if (object != MODEL_NO_OBJECT)
        do_object(client, (unsigned)instance, step, object);
}

static const struct script_step steps[] = {
    {"read a file", do_step, READ, A, 1000, 12000, 0},
    {"list a directory", do_step, LIST, D, 0, 0, 0},
    {"make a file", do_step, MAKE, ROOT(2), 0, LFSX_REGULAR, 0},
    {"make a file in a directory, durably", do_step, MAKE, IN_D(3), 0, LFSX_REGULAR, FUA},
    {"make a directory", do_step, MAKE, IN_D(4), 0, LFSX_DIRECTORY, 0},
    {"make a symbolic link, durably", do_step, MAKE, IN_E(7), 0, LFSX_SYMLINK, FUA},
    {"overwrite a block of a file", do_step, WRITE, A, 4096, 4096, 0},
    {"append to a file, durably", do_step, WRITE, A, 8700, 5000, FUA},
    {"write behind a file's end", do_step, WRITE, B, 9000, 600, 0},
    {"give a file a second name, durably", do_step, LINK, IN_D(1), 0, A, FUA},
    {"cut a file off, durably", do_step, TRUNCATE, A, 1000, 0, FUA},
    {"make a file longer", do_step, TRUNCATE, A, 20000, 0, 0},
    {"zero a part of a file", do_step, ZERO, A, 300, 6000, 0},
    {"zero a part of a file without a hole, durably", do_step, ZERO, A, 0, 5000,
     FUA | LFSX_NO_HOLE},
    {"set attributes, durably", do_step, SET_ATTRIBUTES, B, 0, 0, FUA},
    {"set an extended attribute", do_step, SET_XATTR, A, 1, 100, 0},
    {"set a large extended attribute, durably", do_step, SET_XATTR, D, 2, 20000, FUA},
    {"remove an extended attribute, durably", do_step, SET_XATTR, A, 0, 0, FUA},
    {"rename a file", do_step, RENAME, A, 0, ROOT(4), 0},
    {"rename it back into a directory, durably", do_step, RENAME, ROOT(4), 0, IN_E(1), FUA},
    {"rename a file over another, durably", do_step, RENAME, A, 0, B, FUA},
    {"exchange a file and a directory", do_step, RENAME, B, 0, E, LFSX_EXCHANGE},
    {"move a directory, durably", do_step, RENAME, D, 0, IN_E(6), FUA},
    {"remove a file that is open", do_step, REMOVE_OPEN, B, 0, 0, 0},
    {"remove a file, durably", do_step, REMOVE, A, 0, 0, FUA},
    {"remove a directory", do_step, REMOVE_DIRECTORY, E, 0, 0, 0},
    {"take a snapshot of the share", script_volume_step, SCRIPT_SNAPSHOT, SCRIPT_SHARE_NAME, 0, 0,
     0},
    {"read the share's snapshot", script_volume_step, SCRIPT_SNAPSHOT_READ, SCRIPT_SHARE_NAME, 0, 0,
     0},
    {"clone the share", script_volume_step, SCRIPT_CLONE, SCRIPT_SHARE_NAME, 0, 0, 0},
    {"roll the share back", script_volume_step, SCRIPT_ROLLBACK, SCRIPT_SHARE_NAME, 0, 0, 0},
    {"keep the share if it is deleted", script_volume_step, SCRIPT_KEEP, SCRIPT_SHARE_NAME, 0, 0,
     0},
    {"delete the share", script_volume_step, SCRIPT_DELETE, SCRIPT_SHARE_NAME, 0, 0, 0},
    {"bring the share back", script_volume_step, SCRIPT_UNDELETE, SCRIPT_SHARE_NAME, 0, 0, 0},
};
const struct script_table script_share_steps = {steps, sizeof steps / sizeof *steps};

static const struct script_step beginning[] = {
    {"", do_step, MAKE, A, 0, LFSX_REGULAR, 0},
    {"", do_step, MAKE, D, 0, LFSX_DIRECTORY, 0},
    {"", do_step, MAKE, E, 0, LFSX_DIRECTORY, 0},
    {"", do_step, MAKE, B, 0, LFSX_REGULAR, 0},
    {"", do_step, WRITE, A, 0, 8700, 0},
    {"", do_step, WRITE, B, 0, 700, 0},
    {"", do_step, SET_XATTR, A, 0, 40, 0},
    {"", script_volume_step, SCRIPT_SNAPSHOT, SCRIPT_SHARE_NAME, 0, 0, 0},
    {"", do_step, MAKE, ROOT(6), 0, LFSX_SYMLINK, 0},
    {"", do_step, WRITE, A, 512, 512, FUA},
};
const struct script_table script_share_beginning = {beginning,
                                                    sizeof beginning / sizeof *beginning};
