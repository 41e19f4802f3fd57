/* SPDX-License-Identifier: Apache-2.0 */
/* Building a tree from the left: one page for each level, written when it is full. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/repair/repair_internal.h"

enum status repair_loader_start(struct repair_loader *loader, struct repair *repair, uint64_t owner,
                                uint64_t birth) {
    *loader = (struct repair_loader){.repair = repair, .owner = owner, .birth = birth};
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++) {
        loader->pages[level] = os_page_alloc(DISK_BLOCK_SIZE);
        if (loader->pages[level] == NULL) {
            repair_fail(repair, STATUS_NO_MEMORY);
            for (unsigned i = 0; i < level; i++)
                os_page_free(loader->pages[i], DISK_BLOCK_SIZE);
            return STATUS_NO_MEMORY;
        }
        node_init(loader->pages[level], (uint8_t)level, owner);
    }
    return STATUS_OK;
}

/* Writes the page of a level to a new block and empties it. */
static struct pointer write_page(struct repair_loader *loader, unsigned level) {
    struct repair *repair = loader->repair;
    struct disk_node *page = loader->pages[level];
    struct pointer pointer = {
        .block = repair_block(repair), .birth = loader->birth, .level = (uint8_t)level};
    if (repair->failure != STATUS_OK)
        return pointer;
    page->block = le64_make(pointer.block);
    page->birth = le64_make(pointer.birth);
    page->checkpoint = le64_make(repair->checkpoint);
    pointer.checksum = node_seal(page);
    repair->failure =
        blockdev_write(repair->device, pointer.block * DISK_BLOCK_SIZE, page, DISK_BLOCK_SIZE, 0);
    node_init(page, (uint8_t)level, loader->owner);
    return pointer;
}

static void put(struct repair_loader *loader, unsigned level, const struct key *key,
                const void *value, uint16_t length);

static void put_pointer(struct repair_loader *loader, unsigned level, const struct key *key,
                        const struct pointer *pointer) {
    struct disk_pointer disk;
    pointer_store(&disk, pointer);
    put(loader, level, key, &disk, sizeof disk);
}

static void flush_page(struct repair_loader *loader, unsigned level) {
    if (node_count(loader->pages[level]) == 0)
        return;
    ASSERT(level < DISK_LEVEL_MAX);
    struct key first = node_key(loader->pages[level], 0);
    struct pointer pointer = write_page(loader, level);
    if (loader->repair->failure == STATUS_OK)
        put_pointer(loader, level + 1, &first, &pointer);
}

static void put(struct repair_loader *loader, unsigned level, const struct key *key,
                const void *value, uint16_t length) {
    if (!node_has_room(loader->pages[level], node_item_size(length)))
        flush_page(loader, level);
    if (loader->repair->failure != STATUS_OK)
        return;
    if (level > loader->top)
        loader->top = level;
    node_insert(loader->pages[level], node_count(loader->pages[level]), key, value, length);
}

void repair_loader_item(struct repair_loader *loader, const struct key *key, const void *value,
                        uint16_t length) {
    if (loader->repair->failure == STATUS_OK)
        put(loader, 0, key, value, length);
}

void repair_loader_subtree(struct repair_loader *loader, const struct key *key,
                           const struct pointer *root) {
    for (unsigned level = 0; level <= root->level; level++)
        if (loader->repair->failure == STATUS_OK)
            flush_page(loader, level);
    if (loader->repair->failure == STATUS_OK)
        put_pointer(loader, (unsigned)root->level + 1, key, root);
}

bool repair_loader_is_empty(const struct repair_loader *loader) {
    return loader->top == 0 && node_count(loader->pages[0]) == 0;
}

struct pointer repair_loader_end(struct repair_loader *loader) {
    struct pointer root = {0};
    for (unsigned level = 0; loader->repair->failure == STATUS_OK && level < loader->top; level++)
        flush_page(loader, level);
    if (loader->repair->failure == STATUS_OK)
        root = write_page(loader, loader->top);
    for (unsigned level = 0; level <= DISK_LEVEL_MAX; level++)
        os_page_free(loader->pages[level], DISK_BLOCK_SIZE);
    return root;
}
