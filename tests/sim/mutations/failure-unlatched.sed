# A checkpoint that could not be written is forgotten about.
# file: storage/lfsx/pool/checkpoint.c
# run: --mode device --seeds 1-6
s/pool_fail(pool, status, "a checkpoint could not be written");/status = STATUS_OK;/
