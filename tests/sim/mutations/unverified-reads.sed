# What the device returns is taken for what was written.
# file: storage/lfsx/data/data_path.c
# run: --mode silent --seeds 1-20
s/checksum_xxh64(pages\[i\], LFSX_BLOCK_SIZE, 0) != map->checksums\[i\]/false/
