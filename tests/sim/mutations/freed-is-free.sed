# A freed block is given out at once, while durable checkpoints name it.
# file: storage/lfsx/space/alloc.c
# run: --mode random --seeds 1-10
/^bool alloc_release(/,/^}/{
s/log_append(&a->stages\[ALLOC_STAGE_OPEN\], block, count);/change_run(a, block, count, CHANGE_EXPIRE);/
/pending_blocks += count/d
}
