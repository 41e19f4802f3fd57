# A file that loses its last name leaves no order to clean it up.
# file: storage/lfsx/share/change.c
# run: --mode random --seeds 1-40
/^enum status change_drop_link/,/^}/s/return mvcc_write(run->transaction, &key, "", 0);/return STATUS_OK;/
