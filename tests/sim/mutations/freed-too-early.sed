# A freed block is given out when the checkpoint that frees it has begun, not when it is durable.
# file: storage/lfsx/space/alloc.c
# run: --mode random --seeds 1-40
/^enum status alloc_reserve_releases(/i\
static enum status reserve_stage(struct allocator *a, uint64_t count, unsigned stage);\
enum status alloc_reserve_releases(struct allocator *a, uint64_t count) {\
    enum status status = reserve_stage(a, count, ALLOC_STAGE_DURABLE);\
    return status == STATUS_OK ? reserve_stage(a, count, ALLOC_STAGE_OPEN) : status;\
}
s/^enum status alloc_reserve_releases(struct allocator \*a, uint64_t count) {/static enum status reserve_stage(struct allocator *a, uint64_t count, unsigned stage) {/
/^bool alloc_release(/,/^}/s/ALLOC_STAGE_OPEN/ALLOC_STAGE_DURABLE/
s/struct alloc_log \*log = &a->stages\[ALLOC_STAGE_OPEN\];/struct alloc_log *log = \&a->stages[stage];/
