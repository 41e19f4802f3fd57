# A volume's new size is acknowledged before it is durable.
# file: storage/lfsx/file/resize.c
# run: --mode random --seeds 1-60
s/status = pool_commit(pool);/(void)pool;/
