# A commit does not flush the device.
# file: storage/journal/journal.c
# run: --mode random --seeds 1-10
s/status == STATUS_OK ? blockdev_flush(journal->area\.device) : status/status/
