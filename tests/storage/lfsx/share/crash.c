/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: after a power cut at any moment, whatever part of the unflushed writes reached the medium,
 * the pool opens, the check finds nothing, and the share is what it was at one moment that is not
 * before the last acknowledged commit: no call is there in part, none without those before it, and
 * what was removed while it was open is freed.
 */
#include "host/host.h"
#include "tests/storage/lfsx/sharemodel.h"

#define DISK_BYTES (24ull << 20)
#define HISTORY_MAX 150u
#define PINS 3u

struct model {
    struct random random;
    struct sharetest test;
    struct sharemodel now;
    struct sharemodel durable;                        /* at the last acknowledged commit */
    struct sharemodel_operation history[HISTORY_MAX]; /* since then */
    unsigned count;
    struct lfsx_file *pins[PINS];
    int pinned[PINS]; /* nodes */
};

static void acknowledge(struct model *model) {
    for (unsigned i = 0; i < model->count; i++)
        (void)sharemodel_apply(&model->durable, &model->history[i]);
    model->count = 0;
    sharemodel_collect(&model->now);
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++)
        model->durable.nodes[i].pins = model->now.nodes[i].pins;
    sharemodel_collect(&model->durable);
}

static void unpin(struct model *model, unsigned i) {
    if (model->pins[i] == NULL)
        return;
    lfsx_file_close(model->pins[i]);
    model->pins[i] = NULL;
    model->now.nodes[model->pinned[i]].pins--;
}

/* Opens another file for some time. */
static void pin(struct model *model) {
    unsigned i = (unsigned)random_below(&model->random, PINS);
    unpin(model, i);
    int node = sharemodel_pick(&model->now, &model->random, LFSX_REGULAR);
    if (node < 0)
        return;
    model->pinned[i] = node;
    assert_int_equal(
        lfsx_file_open(model->test.share, model->now.nodes[node].inode, &model->pins[i]),
        STATUS_OK);
    model->now.nodes[node].pins++;
}

static bool is_cut(const struct model *model) {
    return model->test.disk->left_over != NULL;
}

/* Works until the power is cut. */
static void work(struct model *model) {
    struct random *random = &model->random;
    while (!is_cut(model)) {
        if (random_one_in(random, 10))
            pin(model);
        struct sharemodel_operation *operation = &model->history[model->count];
        bool fua = random_one_in(random, 12);
        bool possible = sharemodel_random(&model->now, random, operation);
        if (possible) {
            enum status status =
                sharemodel_do(&model->test, &model->now, operation, fua ? LFSX_FUA : 0);
            assert_int_equal(sharemodel_apply(&model->now, operation), status);
            model->count += status == STATUS_OK;
            fua = fua && status == STATUS_OK;
        }
        bool commit = !possible || random_one_in(random, 15) || model->count == HISTORY_MAX;
        if (commit)
            assert_int_equal(lfsx_share_sync(model->test.share), STATUS_OK);
        if ((fua || commit) && !is_cut(model))
            acknowledge(model);
    }
}

/* Finds the moment that the share came back to, which is the acknowledged one from here on. */
static void find_moment(struct model *model) {
    unsigned applied = 0;
    uint64_t used;
    for (unsigned i = 0; i < SHAREMODEL_NODES; i++)
        model->durable.nodes[i].pins = 0;
    while (!sharemodel_same(model->test.share, &model->durable, &used)) {
        if (applied == model->count)
            fail_msg("the share is that of no moment since the last acknowledged commit");
        (void)sharemodel_apply(&model->durable, &model->history[applied++]);
    }
    model->count = 0;
    sharemodel_collect(&model->durable);
    sharemodel_destroy(&model->now);
    sharemodel_copy(&model->now, &model->durable);
    struct lfsx_share_info info;
    do { /* until the cleaner has freed what nobody names */
        lfsx_share_info(model->test.share, &info);
        os_thread_yield();
    } while (info.used_bytes != used);
}

static void close_share(struct model *model) {
    for (unsigned i = 0; i < PINS; i++)
        unpin(model, i);
    sharetest_close(&model->test);
}

static void cut_and_come_back(struct model *model) {
    struct ramdisk *disk = model->test.disk;
    unsigned char *image = disk->left_over;
    disk->left_over = NULL;
    close_share(model);
    ramdisk_destroy(disk);
    model->test.disk = ramdisk_from(image, DISK_BYTES);
    free(image);
    pooltest_assert_clean(model->test.disk);
    sharetest_open(&model->test);
    find_moment(model);
}

static void power_cuts(void **state) {
    (void)state;
    static struct model model;
    model.random = random_start("share_crash");
    model.test.disk = sharetest_disk(DISK_BYTES);
    sharetest_open(&model.test);
    sharemodel_init(&model.now);
    sharemodel_init(&model.durable);
    for (unsigned round = 0; round < random_scale(60); round++) {
        ramdisk_record(model.test.disk);
        model.test.disk->cut_random.state = random_next(&model.random);
        model.test.disk->cut_after = 1 + random_below(&model.random, 300);
        work(&model);
        cut_and_come_back(&model);
    }
    close_share(&model);
    pooltest_assert_clean(model.test.disk);
    ramdisk_destroy(model.test.disk);
    sharemodel_destroy(&model.now);
    sharemodel_destroy(&model.durable);
}

int main(int argc, char **argv) {
    (void)argc;
    host_start(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(power_cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
