/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: however small a pool is, whatever filled it, and by how many volumes: when it says
 * NO_SPACE, a checkpoint, every trim and every deletion still work, and give the space back. No
 * update ever needs more blocks than it was assured of (asserted in pool.c).
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_snapshot.h"
#include "tests/storage/lfsx/volumemodel.h"

#define VOLUMES_MAX 400u
#define FULL 4u /* so many refusals in a row mean that the pool is full */

struct model {
    struct random random;
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    unsigned count;
    uint64_t size;      /* of each volume */
    bool has_snapshots; /* so that trims may be refused */
    struct lfsx_volume *volumes[VOLUMES_MAX];
};
static struct model model;

static void name_of(unsigned index, char *name) {
    sprintf(name, "volume %u, whose name fills the catalog", index);
}

static void open_volumes(void) {
    for (unsigned i = 0; i < model.count; i++) {
        char name[64];
        name_of(i, name);
        assert_int_equal(lfsx_volume_open(model.pool, name, &model.volumes[i]), STATUS_OK);
    }
}

static void start(uint64_t disk_bytes, unsigned volumes) {
    model.disk = ramdisk_create(disk_bytes);
    pooltest_format(model.disk, 0, 0);
    model.pool = pooltest_open(model.disk);
    model.size = disk_bytes + 512 * random_below(&model.random, 100);
    for (model.count = 0; model.count < volumes; model.count++) {
        char name[64];
        name_of(model.count, name);
        enum status status = lfsx_volume_create(model.pool, name, model.size);
        if (status == STATUS_NO_SPACE)
            break;
        assert_int_equal(status, STATUS_OK);
    }
    assert_true(model.count > 0);
    open_volumes();
}

static struct lfsx_volume *any(void) {
    return model.volumes[random_below(&model.random, model.count)];
}

/* How a workload writes. */
struct style {
    uint32_t max_blocks; /* of one write */
    bool spread;         /* over the whole volume, or dense at its start */
    bool trims;          /* makes holes, too, so that extents and leaves are ragged */
    bool commits;
};

static struct style random_style(void) {
    static const uint32_t sizes[] = {1, 1, 3, 16, 80, 512};
    return (struct style){.max_blocks = sizes[random_below(&model.random, 6)],
                          .spread = random_one_in(&model.random, 2),
                          .trims = random_one_in(&model.random, 2),
                          .commits = random_one_in(&model.random, 2)};
}

static void random_range(const struct style *style, uint64_t *offset, uint32_t *length) {
    uint64_t blocks = model.size / LFSX_BLOCK_SIZE;
    uint64_t count = 1 + random_below(&model.random, style->max_blocks);
    count = MATH_MIN(count, blocks / 2);
    uint64_t within = style->spread ? blocks : blocks / 2 / model.count + 2 * count;
    uint64_t first = random_below(&model.random, MATH_MIN(within, blocks) - count);
    *offset = first * LFSX_BLOCK_SIZE;
    *length = (uint32_t)(count * LFSX_BLOCK_SIZE);
}

static enum status write_once(const struct style *style) {
    uint64_t offset;
    uint32_t length;
    random_range(style, &offset, &length);
    unsigned char *data = calloc(1, length);
    memcpy(data, &offset, sizeof offset);
    enum status status = pooltest_write(any(), offset, data, length, 0);
    free(data);
    assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
    return status;
}

static void trim_once(const struct style *style) {
    uint64_t offset;
    uint32_t length;
    random_range(style, &offset, &length);
    enum status status = lfsx_volume_trim(any(), offset, length, 0);
    assert_true(status == STATUS_OK || (model.has_snapshots && status == STATUS_NO_SPACE));
}

/* Until one block more is refused again and again. */
static void fill(void) {
    struct style style = random_style();
    unsigned refused = 0;
    for (unsigned i = 0; refused < FULL && i < 30000; i++) {
        if (write_once(&style) == STATUS_OK) {
            refused = 0;
        } else if (style.max_blocks > 1) {
            style.max_blocks /= 2;
        } else {
            refused++;
        }
        if (style.trims && random_one_in(&model.random, 4))
            trim_once(&style);
        if (style.commits && random_one_in(&model.random, 20))
            assert_int_equal(lfsx_pool_commit(model.pool), STATUS_OK);
    }
}

static void assert_checkpoints_work(void) {
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
}

/* Block by block, here and there, then the rest; nothing remains but the empty volumes. */
static void trim_everything(void) {
    struct style one = {.max_blocks = 1, .spread = random_one_in(&model.random, 2)};
    for (unsigned i = 0; i < 300; i++) {
        trim_once(&one);
        if (random_one_in(&model.random, 50))
            assert_checkpoints_work();
    }
    for (unsigned i = 0; i < model.count; i++) {
        assert_int_equal(lfsx_volume_trim(model.volumes[i], 0, model.size, 0), STATUS_OK);
        struct lfsx_volume_info info;
        lfsx_volume_info(model.volumes[i], &info);
        assert_int_equal(info.logical_bytes, 0);
    }
}

static void close_volumes(void) {
    for (unsigned i = 0; i < model.count; i++)
        lfsx_volume_close(model.volumes[i]);
}

static void delete_everything(uint32_t flags) {
    close_volumes();
    for (unsigned i = 0; i < model.count; i++) {
        char name[64];
        name_of(i, name);
        assert_int_equal(lfsx_volume_delete(model.pool, name, flags), STATUS_OK);
    }
    assert_int_equal(lfsx_pool_settle(model.pool), STATUS_OK);
    assert_checkpoints_work();
    struct lfsx_pool_info info;
    lfsx_pool_info(model.pool, &info);
    assert_true(info.used_bytes <= 4 * LFSX_BLOCK_SIZE);
    model.count = 0;
}

static void end(void) {
    close_volumes();
    assert_int_equal(lfsx_pool_close(model.pool), STATUS_OK);
    pooltest_assert_clean(model.disk);
    ramdisk_destroy(model.disk);
    model.count = 0;
}

static uint64_t random_size(void) {
    uint64_t smallest = DISK_MIN_DEVICE_BLOCKS;
    uint64_t more = random_below(&model.random, 1ull << random_below(&model.random, 14));
    return (smallest + more) * LFSX_BLOCK_SIZE;
}

static unsigned random_count(void) {
    return 1 + (unsigned)random_below(&model.random, 1ull << random_below(&model.random, 9));
}

static void full_pools_can_be_emptied(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(4); round++) {
        start(random_size(), random_count());
        for (unsigned again = 0; again < 2; again++) {
            fill();
            assert_checkpoints_work();
            trim_everything();
        }
        fill();
        if (random_one_in(&model.random, 2))
            delete_everything(0);
        end();
    }
}

/* The same with all volumes dirty at once when the pool is full, so that a checkpoint has the whole
 * catalog to write. */
static void many_volumes_at_once(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(1); round++) {
        start(random_size(), VOLUMES_MAX);
        fill();
        for (unsigned again = 0; again < 3; again++) {
            for (unsigned i = 0; i < model.count; i++) /* frees little, and dirties each */
                assert_int_equal(lfsx_volume_trim(model.volumes[i],
                                                  random_below(&model.random, model.size / 2),
                                                  200000, 0),
                                 STATUS_OK);
            assert_int_equal(pool_checkpoint_force(model.pool), STATUS_OK);
            fill();
        }
        delete_everything(0);
        end();
    }
}

/* With snapshots, trimming may say NO_SPACE, deleting and checkpoints not. */
static void snapshots_can_be_deleted(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(3); round++) {
        start(random_size(), 1 + (unsigned)random_below(&model.random, 20));
        unsigned taken = 0;
        for (unsigned again = 0; again < 4; again++) {
            fill();
            model.has_snapshots = true;
            for (unsigned i = 0; i < model.count; i++) {
                char name[64], snapshot[32];
                name_of(i, name);
                const char *names[] = {name};
                sprintf(snapshot, "%u", taken++);
                enum status status = lfsx_snapshot_create(model.pool, names, 1, snapshot, 0);
                assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
            }
            for (unsigned i = 0; i < 200; i++) {
                enum status status =
                    lfsx_volume_trim(any(), random_below(&model.random, model.size / 2), 100000, 0);
                assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
            }
            assert_checkpoints_work();
        }
        delete_everything(LFSX_DELETE_SNAPSHOTS);
        model.has_snapshots = false;
        end();
    }
}

struct worker {
    struct os_thread *thread;
    struct random random;
};

/* Writes and trims where nobody else does. */
static void work(void *context) {
    struct worker *worker = context;
    struct lfsx_volume *volume = model.volumes[random_below(&worker->random, model.count)];
    uint64_t blocks = model.size / LFSX_BLOCK_SIZE;
    for (unsigned i = 0; i < 500; i++) {
        uint64_t offset = random_below(&worker->random, blocks - 20) * LFSX_BLOCK_SIZE;
        uint32_t length = (uint32_t)(1 + random_below(&worker->random, 16)) * LFSX_BLOCK_SIZE;
        if (random_one_in(&worker->random, 3)) {
            assert_int_equal(lfsx_volume_trim(volume, offset, length, 0), STATUS_OK);
            continue;
        }
        unsigned char *data = calloc(1, length);
        enum status status = pooltest_write(volume, offset, data, length, i % 50 == 0);
        assert_true(status == STATUS_OK || status == STATUS_NO_SPACE);
        free(data);
    }
}

static void many_hands(void **state) {
    (void)state;
    for (unsigned round = 0; round < random_scale(2); round++) {
        start(random_size(), 4);
        fill();
        struct worker workers[6];
        for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++) {
            workers[i].random.state = random_next(&model.random);
            assert_int_equal(os_thread_start(&workers[i].thread, "worker", work, &workers[i]),
                             STATUS_OK);
        }
        for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++)
            os_thread_join(workers[i].thread);
        assert_checkpoints_work();
        trim_everything();
        end();
    }
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    model.random = random_start("pool_full");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_pools_can_be_emptied),
        cmocka_unit_test(many_volumes_at_once),
        cmocka_unit_test(snapshots_can_be_deleted),
        cmocka_unit_test(many_hands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
