# A volume's new size is acknowledged before it is durable.
# file: storage/lfsx/catalog/resizing.c
# run: --mode random --seeds 1-60
/^enum status lfsx_volume_resize(/,/^}/s/transaction_run(pool, false/transaction_run(pool, true/
