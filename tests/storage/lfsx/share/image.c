/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what was done to a share and is durable is on the device, also where only the journal knows
 * it. SHARE_IMAGE in the environment: a path; PATH-journal.img and PATH-clean.img are images of a
 * pool before and after it was closed, and PATH.txt says what the share holds, for the reader of
 * the format in tests/decoder:
 *
 *     PATH INODE MODE LINKS SIZE CHECKSUM     of each inode with a name; MODE in octal, as in
 * st_mode PATH @NAME LENGTH CHECKSUM              of each of its attributes
 */
#include "base/checksum.h"
#include "tests/storage/lfsx/sharemodel.h"

#define DISK_BYTES (16ull << 20)
#define OPERATIONS 500u

static void write_file(const char *path, const char *suffix, const void *bytes, size_t length) {
    char name[512];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

struct manifest {
    const struct sharemodel *model;
    char text[1 << 20];
    size_t length;
};

static void print(struct manifest *manifest, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print(struct manifest *manifest, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof manifest->text - manifest->length;
    int length = vsnprintf(manifest->text + manifest->length, room, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < room);
    manifest->length += (size_t)length;
}

static void print_xattrs(struct manifest *manifest, const struct sharemodel_node *node,
                         const char *path) {
    for (unsigned i = 0; i < SHAREMODEL_XATTRS; i++) {
        if (!node->xattrs[i].is_set)
            continue;
        struct lfsx_name name = sharemodel_xattr_name(i);
        size_t length = node->xattrs[i].length;
        unsigned char *value = malloc(length + 1);
        struct random random = {node->xattrs[i].seed};
        random_fill(&random, value, length);
        print(manifest, "%s @%.*s %zu %llu\n", path, (int)name.length, name.text, length,
              (unsigned long long)checksum_xxh64(value, length, 0));
        free(value);
    }
}

static void print_node(struct manifest *manifest, int number, const char *path) {
    static const unsigned kinds[] = {0100000, 0040000, 0120000};
    const struct sharemodel_node *node = &manifest->model->nodes[number];
    unsigned long long checksum = 0;
    char target[LFSX_TARGET_MAX];
    if (node->kind == LFSX_SYMLINK) {
        sharemodel_target(node->seed, target, node->size);
        checksum = checksum_xxh64(target, node->size, 0);
    } else if (node->kind == LFSX_REGULAR) {
        checksum = checksum_xxh64(node->data, node->size, 0);
    }
    print(manifest, "%s %llu %o %u %llu %llu\n", path, (unsigned long long)node->inode,
          kinds[node->kind] | node->mode, node->links, (unsigned long long)node->size, checksum);
    print_xattrs(manifest, node, path);
    for (unsigned i = 0; i < SHAREMODEL_NAMES; i++) {
        char below[512];
        if (node->entries[i] < 0)
            continue;
        snprintf(below, sizeof below, "%s%s%.1s", path, number == 0 ? "" : "/",
                 sharemodel_name(i).text);
        print_node(manifest, node->entries[i], below);
    }
}

static void work(struct sharetest *test, struct sharemodel *model, struct random *random) {
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct sharemodel_operation operation;
        if (!sharemodel_random(model, random, &operation))
            continue;
        enum status status = sharemodel_do(test, model, &operation, 0);
        assert_int_equal(sharemodel_apply(model, &operation), status);
        sharemodel_collect(model);
        if (i == OPERATIONS / 2)
            assert_int_equal(pool_checkpoint_force(test->pool), STATUS_OK);
    }
    assert_int_equal(lfsx_share_sync(test->share), STATUS_OK);
}

static void an_image(void **state) {
    (void)state;
    static struct manifest manifest;
    static struct sharemodel model;
    struct random random = random_start("share_image");
    struct sharetest test;
    sharetest_start(&test, DISK_BYTES);
    sharemodel_init(&model);
    work(&test, &model, &random);
    struct ramdisk *journal = ramdisk_from(test.disk->content, DISK_BYTES);
    sharetest_close(&test);
    manifest.model = &model;
    print_node(&manifest, 0, "/");
    const char *path = getenv("SHARE_IMAGE");
    if (path != NULL) {
        write_file(path, "-journal.img", journal->content, DISK_BYTES);
        write_file(path, "-clean.img", test.disk->content, DISK_BYTES);
        write_file(path, ".txt", manifest.text, manifest.length);
    }
    ramdisk_destroy(test.disk);
    test.disk = journal; /* as after a power cut */
    pooltest_assert_clean(test.disk);
    sharetest_open(&test);
    uint64_t used;
    assert_true(sharemodel_same(test.share, &model, &used));
    sharetest_end(&test);
    sharemodel_destroy(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_image)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
