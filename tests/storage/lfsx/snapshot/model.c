/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is written, trimmed, snapshotted, cloned, rolled back and deleted in whatever
 * order, every volume and every snapshot reads as the model says, also after the pool was opened
 * again; a pool of which all was deleted is as empty as it was.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define DISK_BYTES (48ull << 20)
#define VOLUME_SIZE ((1ull << 20) + 512)
#define MAX_LENGTH (96u << 10)
#define VOLUMES 5u
#define SNAPSHOTS 6u
#define NAME_SIZE 32u

struct model_snapshot {
    char name[NAME_SIZE];
    unsigned char *content; /* NULL: the place is free */
    unsigned clones;
};

struct model_volume {
    char name[NAME_SIZE];
    unsigned char *content; /* NULL: the place is free */
    struct model_snapshot snapshots[SNAPSHOTS];
    struct model_snapshot *origin;
    struct lfsx_volume *handle;
};

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct model_volume volumes[VOLUMES];
    unsigned names; /* given so far */
};

static unsigned char *copy_of(const unsigned char *content) {
    unsigned char *copy = malloc(VOLUME_SIZE);
    memcpy(copy, content, VOLUME_SIZE);
    return copy;
}

static void new_name(struct model *model, char *name) {
    snprintf(name, NAME_SIZE, "name-%u", model->names++);
}

static struct model_volume *random_volume(struct model *model, bool present) {
    for (unsigned tries = 0; tries < 4 * VOLUMES; tries++) {
        struct model_volume *v = &model->volumes[random_below(&model->random, VOLUMES)];
        if ((v->content != NULL) == present)
            return v;
    }
    return NULL;
}

static struct model_snapshot *random_snapshot(struct model *model, struct model_volume *v,
                                              bool present) {
    for (unsigned tries = 0; v != NULL && tries < 4 * SNAPSHOTS; tries++) {
        struct model_snapshot *s = &v->snapshots[random_below(&model->random, SNAPSHOTS)];
        if ((s->content != NULL) == present)
            return s;
    }
    return NULL;
}

static struct lfsx_volume *handle_of(struct model *model, struct model_volume *v) {
    if (v->handle == NULL)
        assert_int_equal(lfsx_volume_open(model->pool, v->name, &v->handle), STATUS_OK);
    return v->handle;
}

static void close_handle(struct model_volume *v) {
    if (v->handle != NULL)
        lfsx_volume_close(v->handle);
    v->handle = NULL;
}

static void change_volume(struct model *model) {
    struct model_volume *v = random_volume(model, true);
    if (v == NULL)
        return;
    struct operation operation = operation_random(&model->random, VOLUME_SIZE, MAX_LENGTH);
    bool fua = random_one_in(&model->random, 10);
    assert_int_equal(operation_do(&operation, handle_of(model, v), fua ? LFSX_FUA : 0), STATUS_OK);
    operation_apply(&operation, v->content, VOLUME_SIZE);
}

static void create_volume(struct model *model) {
    struct model_volume *v = random_volume(model, false);
    if (v == NULL)
        return;
    new_name(model, v->name);
    assert_int_equal(lfsx_volume_create(model->pool, v->name, VOLUME_SIZE), STATUS_OK);
    v->content = calloc(1, VOLUME_SIZE);
}

static void take_snapshots(struct model *model) {
    const char *targets[VOLUMES];
    uint32_t count = 0;
    char name[NAME_SIZE];
    new_name(model, name);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct model_volume *v = &model->volumes[i];
        struct model_snapshot *s = random_snapshot(model, v, false);
        if (v->content == NULL || s == NULL || random_one_in(&model->random, 2))
            continue;
        targets[count] = v->name;
        count++;
        s->content = copy_of(v->content);
        memcpy(s->name, name, NAME_SIZE);
    }
    assert_int_equal(lfsx_snapshot_create(model->pool, targets, count, name, 0),
                     count == 0 ? STATUS_INVALID : STATUS_OK);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(lfsx_snapshot_create(model->pool, &targets[i], 1, name, 0), STATUS_EXISTS);
}

static void delete_snapshot(struct model *model) {
    struct model_volume *v = random_volume(model, true);
    struct model_snapshot *s = random_snapshot(model, v, true);
    if (s == NULL)
        return;
    assert_int_equal(lfsx_snapshot_delete(model->pool, v->name, s->name),
                     s->clones > 0 ? STATUS_BUSY : STATUS_OK);
    if (s->clones > 0)
        return;
    free(s->content);
    s->content = NULL;
}

static void make_clone(struct model *model) {
    struct model_volume *source = random_volume(model, true);
    struct model_snapshot *s = random_snapshot(model, source, true);
    struct model_volume *v = random_volume(model, false);
    if (s == NULL || v == NULL)
        return;
    new_name(model, v->name);
    assert_int_equal(lfsx_clone_create(model->pool, source->name, s->name, v->name), STATUS_OK);
    v->content = copy_of(s->content);
    v->origin = s;
    s->clones++;
}

/* The state of before lives on in another place of the model. */
static void roll_back(struct model *model) {
    struct model_volume *v = random_volume(model, true);
    struct model_snapshot *s = random_snapshot(model, v, true);
    struct model_volume *clone = random_volume(model, false);
    if (s == NULL || clone == NULL)
        return;
    char kept[NAME_SIZE];
    new_name(model, kept);
    close_handle(v);
    assert_int_equal(lfsx_volume_rollback(model->pool, v->name, s->name, kept), STATUS_OK);
    memcpy(clone->name, v->name, NAME_SIZE);
    memcpy(v->name, kept, NAME_SIZE);
    clone->content = copy_of(s->content);
    clone->origin = s;
    s->clones++;
}

static bool can_go(const struct model_volume *v) {
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        if (v->snapshots[i].content != NULL && v->snapshots[i].clones > 0)
            return false;
    return true;
}

static void delete_volume(struct model *model) {
    struct model_volume *v = random_volume(model, true);
    if (v == NULL)
        return;
    close_handle(v);
    bool goes = can_go(v);
    assert_int_equal(lfsx_volume_delete(model->pool, v->name, LFSX_DELETE_SNAPSHOTS),
                     goes ? STATUS_OK : STATUS_BUSY);
    if (!goes)
        return;
    if (v->origin != NULL)
        v->origin->clones--;
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        free(v->snapshots[i].content);
    free(v->content);
    memset(v, 0, sizeof *v);
}

static void verify_snapshot(struct model *model, struct model_volume *v,
                            const struct model_snapshot *s) {
    char name[2 * NAME_SIZE];
    struct lfsx_volume *handle;
    snprintf(name, sizeof name, "%s@%s", v->name, s->name);
    assert_int_equal(lfsx_volume_open(model->pool, name, &handle), STATUS_OK);
    assert_content(handle, s->content, 0, VOLUME_SIZE);
    assert_int_equal(lfsx_volume_trim(handle, 0, VOLUME_SIZE, 0), STATUS_READ_ONLY);
    assert_int_equal(lfsx_snapshot_delete(model->pool, v->name, s->name), STATUS_BUSY);
    lfsx_volume_close(handle);
}

static void verify(struct model *model) {
    struct model_volume *v = random_volume(model, true);
    if (v == NULL)
        return;
    assert_content(handle_of(model, v), v->content, 0, VOLUME_SIZE);
    struct model_snapshot *s = random_snapshot(model, v, true);
    if (s != NULL)
        verify_snapshot(model, v, s);
}

static void verify_all(struct model *model) {
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct model_volume *v = &model->volumes[i];
        if (v->content == NULL)
            continue;
        assert_content(handle_of(model, v), v->content, 0, VOLUME_SIZE);
        for (unsigned j = 0; j < SNAPSHOTS; j++)
            if (v->snapshots[j].content != NULL)
                verify_snapshot(model, v, &v->snapshots[j]);
    }
}

static void open_again(struct model *model) {
    for (unsigned i = 0; i < VOLUMES; i++)
        close_handle(&model->volumes[i]);
    assert_int_equal(lfsx_pool_close(model->pool), STATUS_OK);
    pooltest_assert_clean(model->disk);
    model->pool = pooltest_open(model->disk);
}

static void step(struct model *model) {
    static void (*const operations[])(struct model *) = {
        create_volume, take_snapshots, take_snapshots, delete_snapshot, delete_snapshot,
        make_clone,    roll_back,      delete_volume,  verify,          verify};
    if (!random_one_in(&model->random, 3)) {
        change_volume(model);
        return;
    }
    if (random_one_in(&model->random, 40)) {
        open_again(model);
        return;
    }
    operations[random_below(&model->random, ARRAY_LENGTH(operations))](model);
    if (random_one_in(&model->random, 20))
        pooltest_forget(model->pool, &model->random);
}

static uint64_t used_bytes(struct model *model) {
    struct lfsx_pool_info info;
    assert_int_equal(lfsx_pool_settle(model->pool), STATUS_OK);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pool_checkpoint_force(model->pool), STATUS_OK);
    lfsx_pool_info(model->pool, &info);
    return info.used_bytes;
}

/* Clones go before what they were cloned from. */
static void delete_everything(struct model *model) {
    for (unsigned left = VOLUMES; left > 0;) {
        left = 0;
        for (unsigned i = 0; i < VOLUMES; i++)
            left += model->volumes[i].content != NULL;
        delete_volume(model);
    }
}

static void random_life(void **state) {
    (void)state;
    static struct model model;
    model.random = random_start("snapshot_model");
    model.disk = ramdisk_create(DISK_BYTES);
    pooltest_format(model.disk, 0, VOLUME_SIZE);
    model.pool = pooltest_open(model.disk);
    uint64_t empty = used_bytes(&model);
    for (unsigned i = 0; i < 4000; i++)
        step(&model);
    verify_all(&model);
    open_again(&model);
    verify_all(&model);
    delete_everything(&model);
    assert_int_equal(used_bytes(&model), empty);
    open_again(&model);
    assert_int_equal(used_bytes(&model), empty);
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    ramdisk_destroy(model.disk);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_life)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
