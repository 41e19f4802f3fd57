# A creation is acknowledged before it is durable.
# file: storage/lfsx/namespace.c
# run: --mode random --seeds 1-20
s/return pool_commit(creation->pool);/return STATUS_OK;/
