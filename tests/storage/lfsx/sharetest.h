/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of shares share: making one, names, and files as flat memory. */
#ifndef TESTS_STORAGE_LFSX_SHARETEST_H
#define TESTS_STORAGE_LFSX_SHARETEST_H

#include "storage/lfsx/lfsx_share.h"
#include "tests/storage/lfsx/pooltest.h"

#define SHARETEST_NAME "home"

static const struct lfsx_owner sharetest_owner = {.mode = 0644, .uid = 1000, .gid = 100};

static inline struct lfsx_name sharetest_name(const char *text) {
    return (struct lfsx_name){text, strlen(text)};
}

/* A pool with one empty share; it is closed. */
static inline struct ramdisk *sharetest_disk(uint64_t bytes) {
    struct ramdisk *disk = ramdisk_create(bytes);
    pooltest_format(disk, 0, 0);
    struct lfsx_pool *pool = pooltest_open(disk);
    assert_int_equal(lfsx_share_create(pool, SHARETEST_NAME), STATUS_OK);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    return disk;
}

/* A share of an open pool. */
struct sharetest {
    struct ramdisk *disk;
    struct lfsx_pool *pool;
    struct lfsx_share *share;
};

static inline void sharetest_open(struct sharetest *test) {
    test->pool = pooltest_open(test->disk);
    assert_int_equal(lfsx_share_open(test->pool, SHARETEST_NAME, &test->share), STATUS_OK);
}

static inline void sharetest_close(struct sharetest *test) {
    lfsx_share_close(test->share);
    assert_int_equal(lfsx_pool_close(test->pool), STATUS_OK);
}

static inline void sharetest_start(struct sharetest *test, uint64_t bytes) {
    test->disk = sharetest_disk(bytes);
    sharetest_open(test);
}

static inline void sharetest_end(struct sharetest *test) {
    sharetest_close(test);
    pooltest_assert_clean(test->disk);
    ramdisk_destroy(test->disk);
}

/* ---- by name, below one directory ---- */

static inline uint64_t sharetest_create(struct sharetest *test, uint64_t directory,
                                        const char *name) {
    uint64_t inode = 0;
    assert_int_equal(lfsx_share_create_file(test->share, directory, sharetest_name(name),
                                            &sharetest_owner, &inode, 0),
                     STATUS_OK);
    return inode;
}

static inline uint64_t sharetest_mkdir(struct sharetest *test, uint64_t directory,
                                       const char *name) {
    uint64_t inode = 0;
    assert_int_equal(
        lfsx_share_mkdir(test->share, directory, sharetest_name(name), &sharetest_owner, &inode, 0),
        STATUS_OK);
    return inode;
}

static inline enum status sharetest_unlink(struct sharetest *test, uint64_t directory,
                                           const char *name) {
    return lfsx_share_unlink(test->share, directory, sharetest_name(name), 0);
}

static inline enum status sharetest_rename(struct sharetest *test, uint64_t from_directory,
                                           const char *from, uint64_t to_directory, const char *to,
                                           uint32_t flags) {
    return lfsx_share_rename(test->share, from_directory, sharetest_name(from), to_directory,
                             sharetest_name(to), flags);
}

/* 0: not there. */
static inline uint64_t sharetest_lookup(struct sharetest *test, uint64_t directory,
                                        const char *name) {
    uint64_t inode = 0;
    enum status status = lfsx_share_lookup(test->share, directory, sharetest_name(name), &inode);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    return inode;
}

static inline struct lfsx_attributes sharetest_attributes(struct sharetest *test, uint64_t inode) {
    struct lfsx_attributes attributes;
    assert_int_equal(lfsx_share_getattr(test->share, inode, &attributes), STATUS_OK);
    return attributes;
}

/* ---- content ---- */

static inline struct lfsx_file *sharetest_file(struct sharetest *test, uint64_t inode) {
    struct lfsx_file *file;
    assert_int_equal(lfsx_file_open(test->share, inode, &file), STATUS_OK);
    return file;
}

static inline enum status sharetest_write(struct lfsx_file *file, uint64_t offset, const void *data,
                                          uint32_t length, uint32_t flags) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, length, &buffer);
    if (status != STATUS_OK)
        return status;
    pooltest_put(buffer, data);
    status = lfsx_file_write(file, buffer, flags);
    lfsx_buffer_free(buffer);
    return status;
}

/* *got: bytes before the file's end. */
static inline enum status sharetest_read(struct lfsx_file *file, uint64_t offset, void *data,
                                         uint32_t length, uint32_t *got) {
    struct lfsx_buffer *buffer;
    unsigned char *to = data;
    enum status status = lfsx_buffer_alloc(offset, length, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_file_read(file, buffer, got);
    for (uint32_t i = 0; status == STATUS_OK && i < buffer->span_count; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

/* Asserts that the file holds this and ends there. */
static inline void sharetest_assert_content(struct lfsx_file *file, const unsigned char *content,
                                            uint64_t size) {
    uint32_t length = (uint32_t)size + 5000;
    unsigned char *data = malloc(length);
    uint32_t got = 0;
    assert_int_equal(sharetest_read(file, 0, data, length, &got), STATUS_OK);
    assert_int_equal(got, size);
    if (size > 0)
        assert_memory_equal(data, content, size);
    for (uint32_t i = got; i < length; i++)
        assert_int_equal(data[i], 0);
    free(data);
}

#endif
