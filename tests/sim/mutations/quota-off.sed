# A write may go beyond the quota by a block.
# file: storage/lfsx/file/space.c
# run: --mode random --seeds 1-60
s/blocks + growth <= space->quota)/blocks + growth <= space->quota + 1)/
