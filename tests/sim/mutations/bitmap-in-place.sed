# A bitmap is written over the copy that counts.
# file: storage/lfsx/space/alloc_map.c
# run: --mode random --seeds 1-10
s/uint8_t copy = entry->copy ^ 1;/uint8_t copy = entry->copy;/
