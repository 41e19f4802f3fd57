/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation maps as text: a line for each block of them, and one for each run in use. */
#include "base/math.h"
#include "base/os.h"
#include "storage/lfsx/print/print_internal.h"
#include "storage/lfsx/space/alloc.h"

static void print_runs(struct print *print, unsigned depth, uint64_t region,
                       const uint8_t *bitmap) {
    uint64_t first = region * DISK_REGION_BLOCKS;
    uint64_t start = 0;
    bool inside = false;
    for (uint64_t i = 0; i <= DISK_REGION_BLOCKS; i++) {
        bool used = i < DISK_REGION_BLOCKS && (bitmap[i / 8] >> i % 8 & 1) != 0;
        if (used && !inside)
            start = i;
        if (!used && inside)
            print_line(print, depth, "%llu..%llu", (unsigned long long)(first + start),
                       (unsigned long long)(first + i - 1));
        inside = used;
    }
}

static enum status print_map_block(struct print *print, unsigned level, uint64_t index,
                                   const struct disk_map_entry *entry) {
    const struct geometry *g = &print->label.geometry;
    unsigned depth = geometry_map_top(g) - level;
    struct disk_map_block *page = os_page_alloc(DISK_BLOCK_SIZE);
    if (page == NULL)
        return STATUS_NO_MEMORY;
    unsigned copy = entry->copy & 1;
    enum status read = alloc_read_map_block(print->device, g, level, index, entry, page);
    print_line(print, depth, "level %u block %llu, copy %u at block %llu: %u blocks free%s%s",
               level, (unsigned long long)index, copy,
               (unsigned long long)geometry_map_address(g, level, index, copy),
               le32_get(entry->free_blocks),
               read == STATUS_OK ? "" : ", DAMAGED: ", read == STATUS_OK ? "" : status_text(read));
    enum status status = STATUS_OK;
    if (read == STATUS_OK && level == 0)
        print_runs(print, depth + 1, index, page->bitmap);
    for (uint64_t i = 0;
         read == STATUS_OK && level > 0 && status == STATUS_OK && i < DISK_MAP_FANOUT &&
         index * DISK_MAP_FANOUT + i < geometry_map_level_blocks(g, level - 1);
         i++)
        status = print_map_block(print, level - 1, index * DISK_MAP_FANOUT + i, &page->entries[i]);
    os_page_free(page, DISK_BLOCK_SIZE);
    return status;
}

enum status print_map(struct print *print, const char *argument) {
    (void)argument;
    return print_map_block(print, geometry_map_top(&print->label.geometry), 0,
                           &print->super.map_root);
}
