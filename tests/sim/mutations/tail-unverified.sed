# The data of journal entries that may not have been flushed is not verified.
# file: storage/lfsx/mount/recover.c
# run: --mode random --seeds 1-10
s/\*is = checksum_xxh64(.*$/*is = true;/
