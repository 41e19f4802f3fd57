# A clone frees what belongs to its origin.
# file: storage/lfsx/tree/dead_log.c
# run: --mode random --seeds 1-20
s/if (btree_is_foreign(tree, birth)) {/if (false) {/
