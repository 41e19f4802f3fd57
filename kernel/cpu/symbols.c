/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cpu/symbols.h"

#include "kernel/boot/image.h"

#include <stddef.h>

/* Made by symbols.awk; sorted by address. */
extern const uint64_t symbols_count;
extern const uint64_t symbols_addresses[];
extern const char *const symbols_names[];

const char *symbols_find(uint64_t address, uint64_t *offset) {
    if (address < (uint64_t)kernel_text_start || address >= (uint64_t)kernel_text_end)
        return NULL;
    uint64_t low = 0;
    uint64_t high = symbols_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (symbols_addresses[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    *offset = address - symbols_addresses[low - 1];
    return symbols_names[low - 1];
}
