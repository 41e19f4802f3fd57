/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays: as many whole items to a page as it holds. */
#include "storage/lfsx/spill/array.h"
#include "base/assert.h"
#include "base/mem.h"

struct spill_array *spill_array_open(struct spill *spill, size_t item_size) {
    ASSERT(item_size > 0 && item_size <= OS_PAGE_SIZE);
    struct spill_array *array = os_alloc(sizeof *array);
    struct spill_pages *pages = os_alloc(sizeof *pages);
    if (array == NULL || pages == NULL) {
        os_free(array);
        os_free(pages);
        spill_fail(spill, STATUS_NO_MEMORY);
        return NULL;
    }
    spill_pages_init(pages, spill);
    *array = (struct spill_array){pages, item_size, OS_PAGE_SIZE / item_size, 0};
    return array;
}

void spill_array_close(struct spill_array *array) {
    if (array == NULL)
        return;
    spill_pages_clear(array->pages);
    os_free(array->pages);
    os_free(array);
}

uint64_t spill_array_count(const struct spill_array *array) {
    return array->count;
}

static char *place(struct spill_array *array, uint64_t index, bool write) {
    char *page = spill_page(array->pages, index / array->per_page, write);
    return page == NULL ? NULL : page + index % array->per_page * array->item_size;
}

void spill_array_add(struct spill_array *array, const void *item) {
    char *to = place(array, array->count, true);
    if (to == NULL)
        return;
    memcpy(to, item, array->item_size);
    array->count++;
}

void spill_array_get(struct spill_array *array, uint64_t index, void *item) {
    ASSERT(index < array->count);
    const char *from = place(array, index, false);
    if (from == NULL)
        memset(item, 0, array->item_size);
    else
        memcpy(item, from, array->item_size);
}

void spill_array_put(struct spill_array *array, uint64_t index, const void *item) {
    ASSERT(index < array->count);
    char *to = place(array, index, true);
    if (to != NULL)
        memcpy(to, item, array->item_size);
}

void spill_array_cut(struct spill_array *array, uint64_t count) {
    ASSERT(count <= array->count);
    array->count = count;
    if (count == 0)
        spill_pages_clear(array->pages);
}

uint64_t spill_array_search(struct spill_array *array, const void *key,
                            bool (*before)(const void *item, const void *key)) {
    uint64_t low = 0;
    uint64_t high = array->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const char *item = place(array, middle, false);
        if (item == NULL)
            return array->count; /* a failure */
        if (before(item, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
