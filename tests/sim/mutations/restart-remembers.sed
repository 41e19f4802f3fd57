# A transaction that starts over after a deadlock still has notes of what it did before.
# file: storage/lfsx/catalog/transaction.c
# run: --mode random --seeds 100-400 --cuts 4
/^void lfsx_transaction_restart/,/^}/s/forget_notes(t, 0);//
