# A schedule is acknowledged before it is durable.
# file: storage/lfsx/snapshot/schedule.c
# run: --mode random --seeds 1-60
/^enum status lfsx_schedule_set(/,/^}/s/transaction_run(pool, false/transaction_run(pool, true/
