# A snapshot does not end the epoch.
# file: storage/lfsx/snapshot/snapshot.c
# run: --mode random --seeds 1-20
s/taking->pool->epoch++;//
