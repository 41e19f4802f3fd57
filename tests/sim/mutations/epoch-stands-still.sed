# A snapshot does not end the epoch.
# file: storage/lfsx/catalog/catalog_apply.c
# run: --mode random --seeds 1-20
s/a->pool->forest.epoch++;//
