# A commit flushes the device without having written out what is staged.
# file: storage/lfsx/mount/open.c
# run: --mode random --seeds 1-20
s/staging_flush_begin(data, STAGING_COMMIT);//
s/return staging_flush_end(data, STAGING_COMMIT);/return STATUS_OK;/
