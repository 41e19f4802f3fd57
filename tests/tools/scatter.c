/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a new pool with much metadata and little else, and scatters it over all of the device: a
 * share of many files, each with an attribute that takes a node of its own.
 *
 * Usage: scatter IMAGE FILES. The image holds an empty pool.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 3000u
#define FILES_IN_A_DIRECTORY 50u
#define CACHE_BYTES (512ull << 20)

static void require(enum status status, const char *what) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "scatter: %s: %s\n", what, status_text(status));
    exit(1);
}

/* What is written next goes elsewhere. */
static void move_on(struct lfsx_pool *pool) {
    struct allocator *allocator = &pool->allocator;
    const struct geometry *g = &allocator->geometry;
    uint64_t random;
    os_random(&random, sizeof random);
    os_mutex_lock(&allocator->lock);
    allocator->node_cursor = g->data_start + random % (g->data_end - g->data_start);
    os_mutex_unlock(&allocator->lock);
}

static struct lfsx_name number_name(char *text, size_t size, uint64_t number) {
    snprintf(text, size, "%llu", (unsigned long long)number);
    return (struct lfsx_name){text, strlen(text)};
}

static void add_file(struct lfsx_share *share, uint64_t directory, uint64_t number) {
    static const struct lfsx_owner owner = {.mode = 0644};
    static const struct lfsx_name attribute = {"attribute", 9};
    char text[24], value[VALUE_SIZE];
    uint64_t inode;
    memset(value, (int)number, sizeof value);
    require(lfsx_share_create_file(share, directory, number_name(text, sizeof text, number), &owner,
                                   &inode, 0),
            "a file");
    require(lfsx_share_xattr_set(share, inode, attribute, value, sizeof value, 0), "an attribute");
}

static void fill(struct lfsx_pool *pool, uint64_t files) {
    static const struct lfsx_owner owner = {.mode = 0755};
    struct lfsx_share *share;
    uint64_t directory = LFSX_ROOT;
    require(lfsx_share_create(pool, "home"), "a share");
    require(lfsx_share_open(pool, "home", &share), "a share");
    for (uint64_t i = 0; i < files; i++) {
        char text[24];
        move_on(pool);
        if (i % FILES_IN_A_DIRECTORY == 0)
            require(lfsx_share_mkdir(share, LFSX_ROOT, number_name(text, sizeof text, files + i),
                                     &owner, &directory, 0),
                    "a directory");
        add_file(share, directory, i);
    }
    lfsx_share_close(share);
}

int main(int argc, char **argv) {
    host_start("scatter");
    if (argc != 3)
        return 2;
    struct blockdev *device;
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = CACHE_BYTES};
    require(host_blockdev_open(argv[1], 0, &device), argv[1]);
    require(lfsx_pool_open(device, &options, &pool), argv[1]);
    fill(pool, strtoull(argv[2], NULL, 10));
    require(lfsx_pool_close(pool), argv[1]);
    blockdev_close(device);
    return 0;
}
