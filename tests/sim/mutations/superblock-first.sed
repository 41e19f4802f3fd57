# The superblock is written before the nodes.
# file: storage/lfsx/pool/checkpoint.c
# run: --mode exhaustive --ops 1 --seeds 0-99
s/^    uint64_t nodes = 0;$/    uint64_t nodes = 0;\n    writer.status = publish(pool, checkpoint);/
