# What a snapshot holds is freed when the volume drops it.
# file: storage/lfsx/tree/dead_log.c
# run: --mode random --seeds 1-20
s/birth <= tree->kept && birth > 0/false/
