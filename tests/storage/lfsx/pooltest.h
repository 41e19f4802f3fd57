/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of whole pools share: making one, checking one, and pages to read and write with. */
#ifndef TESTS_STORAGE_LFSX_POOLTEST_H
#define TESTS_STORAGE_LFSX_POOLTEST_H

#include "storage/lfsx/file/holding.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/mount/keeper.h"
#include "storage/lfsx/pool/pool.h"
#include "tests/storage/lfsx/ramdisk.h"
#include "tests/storage/lfsx/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static inline void pooltest_format(struct ramdisk *disk, uint32_t volumes, uint64_t size) {
    static const char *const names[] = {"alpha", "beta", "gamma", "delta"};
    struct lfsx_new_volume list[4];
    assert_true(volumes <= 4);
    for (uint32_t i = 0; i < volumes; i++)
        list[i] = (struct lfsx_new_volume){names[i], size};
    struct lfsx_format_options options = {
        .label = "test", .volumes = list, .volume_count = volumes};
    assert_int_equal(lfsx_format(&disk->device, &options), STATUS_OK);
}

static inline struct lfsx_pool *pooltest_open(struct ramdisk *disk) {
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1u << 20};
    assert_int_equal(lfsx_pool_open(&disk->device, &options, &pool), STATUS_OK);
    return pool;
}

struct pooltest_findings {
    unsigned count;          /* those that `allowed` does not name */
    const uint32_t *allowed; /* ends with 0; NULL: none */
    bool quiet;
    bool without_data; /* do not read the data blocks */
};

static inline void pooltest_finding(void *context, const struct lfsx_finding *finding) {
    struct pooltest_findings *findings = context;
    for (const uint32_t *number = findings->allowed; number != NULL && *number != 0; number++)
        if (*number == finding->number)
            return;
    findings->count++;
    if (!findings->quiet)
        printf("finding %u %s: %s\n", finding->number, finding->name, finding->text);
}

static inline void pooltest_check(struct ramdisk *disk, struct pooltest_findings *findings) {
    struct lfsx_check_options options = {
        .data = !findings->without_data, .finding = pooltest_finding, .context = findings};
    struct lfsx_check_summary summary;
    assert_int_equal(lfsx_check(&disk->device, &options, &summary), STATUS_OK);
}

static inline void pooltest_assert_clean(struct ramdisk *disk) {
    struct pooltest_findings findings = {0};
    pooltest_check(disk, &findings);
    assert_int_equal(findings.count, 0);
}

/* Forgets some clean nodes, so that small trees miss too. */
static inline void pooltest_forget(struct lfsx_pool *pool, struct random *random) {
    os_rwlock_lock_exclusive(&pool->lock);
    LIST_FOR_EACH_SAFE(link, &pool->forest.cache.clean) {
        if (random_one_in(random, 2))
            cache_drop(&pool->forest.cache, LIST_CONTAINER(link, struct cached_node, link));
    }
    os_rwlock_unlock_exclusive(&pool->lock);
}

/* Copies between the spans of a buffer and flat memory. */
static inline void pooltest_put(struct lfsx_buffer *buffer, const unsigned char *from) {
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        memcpy(buffer->spans[i].base, from, buffer->spans[i].length);
        from += buffer->spans[i].length;
    }
}

static inline enum status pooltest_write(struct lfsx_volume *volume, uint64_t offset,
                                         const unsigned char *data, uint32_t length,
                                         uint32_t flags) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, length, &buffer);
    if (status != STATUS_OK)
        return status;
    pooltest_put(buffer, data);
    status = lfsx_volume_write(volume, buffer, flags);
    lfsx_buffer_free(buffer);
    return status;
}

/* Reads and, if that succeeded, copies out. */
static inline enum status pooltest_read(struct lfsx_volume *volume, uint64_t offset,
                                        unsigned char *data, uint32_t length) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, length, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_volume_read(volume, buffer);
    for (uint32_t i = 0; status == STATUS_OK && i < buffer->span_count; i++) {
        memcpy(data, buffer->spans[i].base, buffer->spans[i].length);
        data += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

#endif
