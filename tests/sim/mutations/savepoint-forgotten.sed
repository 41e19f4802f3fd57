# What was undone to a savepoint is done nevertheless.
# file: storage/lfsx/catalog/transaction.c
# run: --mode random --seeds 1-60
/^enum status lfsx_transaction_rollback_to(/,/^}/s/mvcc_rollback_to(t->records, savepoint)/STATUS_OK/
