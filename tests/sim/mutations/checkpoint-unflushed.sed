# The superblock is written before what it names is durable.
# file: storage/lfsx/pool/checkpoint.c
# run: --mode random --seeds 1-10
s/writer\.status = blockdev_flush(pool->device);/writer.status = STATUS_OK;/
