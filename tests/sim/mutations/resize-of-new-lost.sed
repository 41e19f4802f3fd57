# A volume that a transaction makes and resizes keeps the size that it was made with.
# file: storage/lfsx/catalog/resizing.c
# run: --mode random --seeds 1-60 --cuts 10
/^void resizing_create/,/^}/s/resize_apply(d, note->size);//
