# The deletion of a snapshot is acknowledged before it is durable.
# file: storage/lfsx/snapshot/snapshot.c
# run: --mode random --seeds 1-20
/^enum status lfsx_snapshot_delete(/,/^}/s/transaction_run(pool, false/transaction_run(pool, true/
