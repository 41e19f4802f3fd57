# What a file's last block holds behind the end comes to light when the file gets longer.
# file: storage/lfsx/share/data.c
# run: --mode random --seeds 1-40
s/^    return clear_part(f, size \/ LFSX_BLOCK_SIZE, 0, 0, &none);/    return STATUS_OK;/
