/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/data/data_path.h"
#include "base/checksum.h"
#include "storage/lfsx/lfsx.h"

#define FEW_BLOCKS 32u

/* Index of the first block whose content is not what its checksum says; map->count if all are. */
static uint64_t first_mismatch(const struct block_map *map, const uint64_t *blocks,
                               void *const *pages) {
    for (uint64_t i = 0; i < map->count; i++)
        if (blocks[i] != 0 && checksum_xxh64(pages[i], LFSX_BLOCK_SIZE, 0) != map->checksums[i])
            return i;
    return map->count;
}

/* Reads those of the mapped blocks that `rest` names. */
static enum status read_rest(struct data_path *data, const struct block_map *map, uint64_t *rest,
                             void *const *pages, uint64_t *bad) {
    struct block_map missing = {.count = map->count, .blocks = rest};
    enum status status = data_transfer(data->device, BLOCK_READ, &missing, pages);
    if (status != STATUS_OK)
        return status;
    *bad = first_mismatch(map, rest, pages);
    if (datacache_exists(&data->cache))
        datacache_keep(&data->cache, map, *bad, pages, rest);
    return *bad == map->count ? STATUS_OK : STATUS_CHECKSUM;
}

enum status data_read(struct data_path *data, const struct block_map *map, void *const *pages,
                      uint64_t *bad) {
    uint64_t few[FEW_BLOCKS];
    uint64_t *rest = few;
    *bad = map->count;
    if (map->count > FEW_BLOCKS)
        rest = os_alloc(map->count * sizeof *rest);
    if (rest == NULL)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    if (datacache_copy(&data->cache, map, pages, rest) > 0)
        status = read_rest(data, map, rest, pages, bad);
    if (rest != few)
        os_free(rest);
    return status;
}
