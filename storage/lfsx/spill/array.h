/* SPDX-License-Identifier: Apache-2.0 */
/* What sorting knows of arrays. */
#ifndef STORAGE_LFSX_SPILL_ARRAY_H
#define STORAGE_LFSX_SPILL_ARRAY_H

#include "storage/lfsx/spill/spill_internal.h"

struct spill_array {
    struct spill_pages *pages;
    size_t item_size;
    uint64_t per_page, count; /* items */
};

#endif
