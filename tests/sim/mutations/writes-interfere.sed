# Two writes to the same block do not wait for each other.
# file: storage/lfsx/data/rangelock.c
# run: --mode random --seeds 1-20
s/while (must_wait(lock, hold))/while (false \&\& must_wait(lock, hold))/
