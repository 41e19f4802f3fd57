# No bug, but a cache that gives nodes up all the time, so that whatever is missed is read again.
# file: storage/lfsx/tree/cache.c
# run: --mode random --seeds 1-8
# finds: nothing
s/#define MIN_CLEAN 1024u/#define MIN_CLEAN 16u/
