# What was allocated stays allocated when more cannot be.
# file: storage/lfsx/data/buffer.c
# run: --mode memory --seeds 1-4
s/^        lfsx_buffer_free(buffer);$//
