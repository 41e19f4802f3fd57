# What a pool gains is given out before the checkpoint that says so is durable.
# file: storage/lfsx/space/alloc_grow.c
# run: --mode random --seeds 1-120
s/&a->stages\[ALLOC_STAGE_OPEN\]/\&a->stages[ALLOC_STAGE_DURABLE]/
