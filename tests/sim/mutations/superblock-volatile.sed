# The two copies of a superblock are not durable one after the other.
# file: storage/lfsx/format/super.c
# run: --mode random --seeds 1-10
s/page, DISK_BLOCK_SIZE, BLOCK_FUA)/page, DISK_BLOCK_SIZE, 0)/
