/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is done to a share in whatever order, it is what plain memory is after the same,
 * each call gives the same status, snapshots stay what they were, and so do clones; also when nodes
 * are missing from memory, and after the pool was opened again.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/sharemodel.h"

#define DISK_BYTES (64ull << 20)

struct model {
    struct random random;
    struct sharetest test;
    struct sharemodel now;
    struct sharemodel then; /* the snapshot's */
    bool has_snapshot;
};

static void assert_same(struct model *model, const char *name, const struct sharemodel *content) {
    struct lfsx_share *share;
    uint64_t used;
    assert_int_equal(lfsx_share_open(model->test.pool, name, &share), STATUS_OK);
    assert_true(sharemodel_same(share, content, &used));
    lfsx_share_close(share);
}

static void take_snapshot(struct model *model) {
    const char *name = SHARETEST_NAME;
    assert_int_equal(lfsx_snapshot_create(model->test.pool, &name, 1, "s", 0), STATUS_OK);
    sharemodel_copy(&model->then, &model->now);
    model->has_snapshot = true;
}

/* Work on a clone leaves the share and its snapshot alone. */
static void use_clone(struct model *model) {
    struct sharetest clone = {.pool = model->test.pool};
    struct sharemodel content;
    sharemodel_copy(&content, &model->then);
    assert_int_equal(lfsx_clone_create(clone.pool, SHARETEST_NAME, "s", "clone"), STATUS_OK);
    assert_int_equal(lfsx_share_open(clone.pool, "clone", &clone.share), STATUS_OK);
    for (unsigned i = 0; i < 60; i++) {
        struct sharemodel_operation operation;
        if (!sharemodel_random(&content, &model->random, &operation))
            continue;
        enum status status = sharemodel_do(&clone, &content, &operation, 0);
        assert_int_equal(sharemodel_apply(&content, &operation), status);
        sharemodel_collect(&content);
    }
    lfsx_share_close(clone.share);
    assert_same(model, "clone", &content);
    sharemodel_destroy(&content);
    assert_int_equal(lfsx_share_delete(clone.pool, "clone", 0), STATUS_OK);
}

static void drop_snapshot(struct model *model) {
    assert_same(model, SHARETEST_NAME "@s", &model->then);
    use_clone(model);
    assert_same(model, SHARETEST_NAME "@s", &model->then);
    assert_int_equal(lfsx_pool_settle(model->test.pool), STATUS_OK);
    assert_int_equal(lfsx_snapshot_delete(model->test.pool, SHARETEST_NAME, "s"), STATUS_OK);
    sharemodel_destroy(&model->then);
    model->has_snapshot = false;
}

static void disturb(struct model *model) {
    struct random *random = &model->random;
    uint64_t used;
    if (random_one_in(random, 20))
        pooltest_forget(model->test.pool, random);
    if (random_one_in(random, 300)) {
        sharetest_close(&model->test);
        pooltest_assert_clean(model->test.disk);
        sharetest_open(&model->test);
    }
    if (random_one_in(random, 200))
        assert_true(sharemodel_same(model->test.share, &model->now, &used));
    if (!random_one_in(random, 150))
        return;
    if (model->has_snapshot)
        drop_snapshot(model);
    else
        take_snapshot(model);
}

static void any_order(void **state) {
    (void)state;
    static struct model model;
    model.random = random_start("share_model");
    sharetest_start(&model.test, DISK_BYTES);
    sharemodel_init(&model.now);
    for (unsigned i = 0; i < random_scale(4000); i++) {
        struct sharemodel_operation operation;
        disturb(&model);
        if (!sharemodel_random(&model.now, &model.random, &operation))
            continue;
        enum status status = sharemodel_do(&model.test, &model.now, &operation, 0);
        assert_int_equal(sharemodel_apply(&model.now, &operation), status);
        sharemodel_collect(&model.now);
    }
    uint64_t used;
    struct lfsx_share_info info;
    assert_true(sharemodel_same(model.test.share, &model.now, &used));
    lfsx_share_info(model.test.share, &info);
    assert_int_equal(info.used_bytes, used);
    if (model.has_snapshot)
        drop_snapshot(&model);
    sharetest_end(&model.test);
    sharemodel_destroy(&model.now);
}

/* What threads do at once is what they do one after the other. */
#define THREADS 4u
#define ROUNDS 150u

struct worker {
    struct sharetest *test;
    unsigned number;
    struct os_thread *thread;
    uint64_t moved, made;
};

static void work(void *argument) {
    struct worker *worker = argument;
    struct lfsx_share *share = worker->test->share;
    struct random random = {worker->number};
    uint64_t directories[2] = {sharetest_lookup(worker->test, LFSX_ROOT, "left"),
                               sharetest_lookup(worker->test, LFSX_ROOT, "right")};
    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[16];
        uint64_t inode;
        unsigned side = (unsigned)random_below(&random, 2);
        snprintf(name, sizeof name, "%u", (unsigned)random_below(&random, 20));
        enum status status = lfsx_share_rename(share, directories[side], sharetest_name(name),
                                               directories[!side], sharetest_name(name),
                                               random_one_in(&random, 2) ? LFSX_NO_REPLACE : 0);
        worker->moved += status == STATUS_OK;
        if (status != STATUS_NOT_FOUND && status != STATUS_EXISTS)
            assert_int_equal(status, STATUS_OK);
        status = lfsx_share_create_file(share, directories[side], sharetest_name(name),
                                        &sharetest_owner, &inode, 0);
        worker->made += status == STATUS_OK;
        if (status != STATUS_EXISTS)
            assert_int_equal(status, STATUS_OK);
        if (!random_one_in(&random, 3))
            continue;
        status = lfsx_share_unlink(share, directories[side], sharetest_name(name), 0);
        if (status != STATUS_NOT_FOUND)
            assert_int_equal(status, STATUS_OK);
    }
}

static void many_at_once(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    sharetest_mkdir(&test, LFSX_ROOT, "left");
    sharetest_mkdir(&test, LFSX_ROOT, "right");
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.test = &test, .number = i + 1};
        assert_int_equal(os_thread_start(&workers[i].thread, "worker", work, &workers[i]),
                         STATUS_OK);
    }
    uint64_t moved = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        os_thread_join(workers[i].thread);
        moved += workers[i].moved;
    }
    assert_true(moved > 0);
    sharetest_end(&test); /* the check counts names and links */
}

/* Two directories that move into each other: one of the moves is refused. */
struct mover {
    struct sharetest *test;
    const char *what, *where;
    struct os_thread *thread;
    enum status status;
};

static void move(void *argument) {
    struct mover *mover = argument;
    uint64_t where = sharetest_lookup(mover->test, LFSX_ROOT, mover->where);
    mover->status = STATUS_NOT_FOUND;
    if (where != 0)
        mover->status =
            sharetest_rename(mover->test, LFSX_ROOT, mover->what, where, mover->what, 0);
}

static void no_knots(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t a = sharetest_mkdir(&test, LFSX_ROOT, "a");
        uint64_t b = sharetest_mkdir(&test, LFSX_ROOT, "b");
        struct mover movers[2] = {{&test, "a", "b", NULL, STATUS_OK},
                                  {&test, "b", "a", NULL, STATUS_OK}};
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(os_thread_start(&movers[j].thread, "mover", move, &movers[j]),
                             STATUS_OK);
        for (unsigned j = 0; j < 2; j++)
            os_thread_join(movers[j].thread);
        assert_true((movers[0].status == STATUS_OK) != (movers[1].status == STATUS_OK));
        bool first = movers[0].status == STATUS_OK;
        assert_int_equal(
            lfsx_share_rmdir(test.share, first ? b : a, sharetest_name(first ? "a" : "b"), 0),
            STATUS_OK);
        assert_int_equal(
            lfsx_share_rmdir(test.share, LFSX_ROOT, sharetest_name(first ? "b" : "a"), 0),
            STATUS_OK);
    }
    sharetest_end(&test);
}

/* ---- content ---- */

#define PIECE 10000u /* bytes; not a multiple of a block, so that writers meet in blocks */
#define PIECES 30u

struct writer {
    struct sharetest *test;
    uint64_t inode;
    unsigned number;
    struct os_thread *thread;
};

/* Writes its pieces over and over, each as a whole; others write the pieces between. */
static void write_pieces(void *argument) {
    struct writer *writer = argument;
    unsigned char data[PIECE];
    struct lfsx_file *file = sharetest_file(writer->test, writer->inode);
    for (unsigned round = 1; round <= 40; round++) {
        memset(data, (int)(writer->number * 50 + round), sizeof data);
        for (unsigned i = writer->number; i < PIECES; i += THREADS)
            assert_int_equal(sharetest_write(file, (uint64_t)i * PIECE, data, PIECE, 0), STATUS_OK);
    }
    lfsx_file_close(file);
}

/* Whoever looks sees whole pieces, of any round, or zeros where none was yet. */
static void read_pieces(void *argument) {
    struct writer *writer = argument;
    unsigned char data[PIECE];
    struct lfsx_file *file = sharetest_file(writer->test, writer->inode);
    for (unsigned round = 0; round < 400; round++) {
        uint32_t got;
        assert_int_equal(
            sharetest_read(file, (uint64_t)(round % PIECES) * PIECE, data, PIECE, &got), STATUS_OK);
        assert_true(got == 0 || got == PIECE);
        for (unsigned i = 1; i < PIECE; i++)
            assert_int_equal(data[i], data[0]);
    }
    lfsx_file_close(file);
}

static void writers_at_once(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, LFSX_ROOT, "f");
    struct writer writers[THREADS + 1];
    for (unsigned i = 0; i <= THREADS; i++) {
        writers[i] = (struct writer){.test = &test, .inode = inode, .number = i};
        assert_int_equal(os_thread_start(&writers[i].thread, "writer",
                                         i < THREADS ? write_pieces : read_pieces, &writers[i]),
                         STATUS_OK);
    }
    for (unsigned i = 0; i <= THREADS; i++)
        os_thread_join(writers[i].thread);
    static unsigned char content[PIECES * PIECE];
    for (unsigned i = 0; i < PIECES; i++)
        memset(content + i * PIECE, (int)(i % THREADS * 50 + 40), PIECE);
    struct lfsx_file *file = sharetest_file(&test, inode);
    sharetest_assert_content(file, content, sizeof content);
    lfsx_file_close(file);
    sharetest_end(&test);
}

/* One appends at the end, others cut the file off and make it longer; nothing that was cut off is
 * ever seen again. */
static void cut(void *argument) {
    struct writer *writer = argument;
    struct random random = {writer->number};
    struct lfsx_file *file = sharetest_file(writer->test, writer->inode);
    for (unsigned round = 0; round < 150; round++) {
        uint64_t size = random_below(&random, 300000);
        assert_int_equal(lfsx_file_truncate(file, size, 0), STATUS_OK);
    }
    lfsx_file_close(file);
}

static void append(void *argument) {
    struct writer *writer = argument;
    struct random random = {writer->number};
    struct lfsx_file *file = sharetest_file(writer->test, writer->inode);
    unsigned char data[5000];
    memset(data, 0xee, sizeof data);
    for (unsigned round = 0; round < 150; round++) {
        uint64_t offset = random_below(&random, 300000);
        uint32_t length = 1 + (uint32_t)random_below(&random, sizeof data);
        assert_int_equal(sharetest_write(file, offset, data, length, 0), STATUS_OK);
        assert_int_equal(lfsx_file_zero(file, offset, length, 0), STATUS_OK);
    }
    lfsx_file_close(file);
}

static void cutters_at_once(void **state) {
    (void)state;
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    uint64_t inode = sharetest_create(&test, LFSX_ROOT, "f");
    struct writer writers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.test = &test, .inode = inode, .number = i + 1};
        assert_int_equal(
            os_thread_start(&writers[i].thread, "writer", i < 2 ? cut : append, &writers[i]),
            STATUS_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(writers[i].thread);
    static unsigned char zeros[400000];
    struct lfsx_file *file = sharetest_file(&test, inode);
    assert_int_equal(lfsx_file_truncate(file, sizeof zeros, 0), STATUS_OK);
    sharetest_assert_content(file, zeros, sizeof zeros);
    lfsx_file_close(file);
    sharetest_end(&test);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),       cmocka_unit_test(many_at_once),
        cmocka_unit_test(no_knots),        cmocka_unit_test(writers_at_once),
        cmocka_unit_test(cutters_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
