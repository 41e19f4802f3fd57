# A rename is two steps: the new name comes in one, the old one goes in another.
# file: storage/lfsx/share/rename.c
# run: --mode random --seeds 1-40
/^static enum status replace(/i\
static struct key half;\
static bool halved;\
static enum status take_half(struct change_run *run, void *context) {\
    struct mvcc_key key = records_key(context);\
    return mvcc_delete(run->transaction, &key);\
}
s/        status = mvcc_delete(run->transaction, &key);/        half = from->entry.key, halved = true;/
/^    if (status == STATUS_OK && wish.gone != 0)/i\
    if (status == STATUS_OK && halved) {\
        struct key first = half;\
        halved = false;\
        (void)share_run(share->share, take_half, &first);\
    }
