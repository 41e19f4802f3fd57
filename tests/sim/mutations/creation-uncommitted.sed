# A creation is acknowledged before it is durable.
# file: storage/lfsx/catalog/namespace.c
# run: --mode random --seeds 1-20
s/transaction_run(pool, false, do_create/transaction_run(pool, true, do_create/
