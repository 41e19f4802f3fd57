# A freed block is given out when the checkpoint that frees it has begun, not when it is durable.
# file: storage/lfsx/space/alloc.c
# run: --mode random --seeds 1-40
/^enum status alloc_reserve_releases(/,$!b
/^bool alloc_release(/,/^}/s/ALLOC_STAGE_OPEN/ALLOC_STAGE_DURABLE/
/^enum status alloc_reserve_releases(/,/^}/s/ALLOC_STAGE_OPEN/ALLOC_STAGE_DURABLE/
