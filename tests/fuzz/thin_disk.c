/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/thin_disk.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

static void write_block(struct thin_disk *disk, uint64_t block, const unsigned char *from) {
    bool is_word = memcmp(from, from + sizeof(uint64_t), THIN_BLOCK - sizeof(uint64_t)) == 0;
    if (is_word)
        memcpy(&disk->words[block], from, sizeof disk->words[block]);
    else
        memcpy(disk->pages + block * THIN_BLOCK, from, THIN_BLOCK);
    disk->is_page[block] = !is_word;
}

static void expand(const struct thin_disk *disk, uint64_t block, unsigned char *to) {
    for (size_t i = 0; i < THIN_BLOCK; i += sizeof disk->words[block])
        memcpy(to + i, &disk->words[block], sizeof disk->words[block]);
}

static void read_block(const struct thin_disk *disk, uint64_t block, unsigned char *to) {
    if (disk->is_page[block])
        memcpy(to, disk->pages + block * THIN_BLOCK, THIN_BLOCK);
    else
        expand(disk, block, to);
}

static void submit(struct blockdev *device, struct block_request *request) {
    struct thin_disk *disk = (struct thin_disk *)device;
    uint64_t block = request->offset / THIN_BLOCK;
    for (uint32_t i = 0; i < request->span_count; i++) {
        const struct span *span = &request->spans[i];
        REQUIRE(span->length % THIN_BLOCK == 0);
        for (size_t at = 0; at < span->length; at += THIN_BLOCK, block++) {
            unsigned char *memory = (unsigned char *)span->base + at;
            if (request->operation == BLOCK_WRITE)
                write_block(disk, block, memory);
            else
                read_block(disk, block, memory);
        }
    }
    request->status = STATUS_OK;
    request->done(request);
}

static void *reserve(uint64_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return memory;
}

void thin_disk_init(struct thin_disk *disk, uint64_t bytes) {
    static const struct blockdev_operations operations = {.submit = submit};
    uint64_t blocks = bytes / THIN_BLOCK;
    disk->device = (struct blockdev){.operations = &operations,
                                     .name = "memory",
                                     .size = bytes,
                                     .limits = {.block_size = THIN_BLOCK,
                                                .max_transfer = 1 << 20,
                                                .queue_depth = 32,
                                                .volatile_cache = true}};
    disk->words = reserve(blocks * sizeof *disk->words);
    disk->is_page = reserve(blocks * sizeof *disk->is_page);
    disk->pages = reserve(bytes);
}

void thin_disk_destroy(struct thin_disk *disk) {
    uint64_t blocks = disk->device.size / THIN_BLOCK;
    munmap(disk->words, blocks * sizeof *disk->words);
    munmap(disk->is_page, blocks * sizeof *disk->is_page);
    munmap(disk->pages, disk->device.size);
}

void *thin_disk_page(struct thin_disk *disk, uint64_t block) {
    unsigned char *page = disk->pages + block * THIN_BLOCK;
    if (!disk->is_page[block])
        expand(disk, block, page);
    disk->is_page[block] = true;
    return page;
}
