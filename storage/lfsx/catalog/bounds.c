/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas and reservations are set: parts of a dataset's record. Whether the pool can keep its
 * promises is seen when the transaction commits (catalog_apply.c). */
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/lfsx_space.h"

struct setting {
    const char *name;
    uint64_t bytes;
    bool is_quota; /* else a reservation */
};

static enum status set(struct lfsx_transaction *t, void *context) {
    const struct setting *wish = context;
    struct catalog_named named;
    struct disk_dataset *disk = &named.record.dataset;
    if (wish->bytes % LFSX_BLOCK_SIZE != 0 || wish->bytes > LFSX_VOLUME_SIZE_MAX)
        return STATUS_INVALID;
    enum status status = catalog_name_present(t, wish->name, &named);
    if (status != STATUS_OK)
        return status;
    *(wish->is_quota ? &disk->quota_blocks : &disk->reserved_blocks) =
        le64_make(wish->bytes / LFSX_BLOCK_SIZE);
    uint64_t quota = le64_get(disk->quota_blocks);
    if (quota > 0 && le64_get(disk->reserved_blocks) > quota)
        return STATUS_INVALID;
    return catalog_dataset_put(t, &named.record); /* it is as long as it was: takes no space */
}

static enum status do_set(struct lfsx_transaction *t, void *context) {
    return transaction_do(t, set, context);
}

enum status lfsx_transaction_set_quota(struct lfsx_transaction *t, const char *name,
                                       uint64_t bytes) {
    struct setting wish = {name, bytes, true};
    return do_set(t, &wish);
}

enum status lfsx_dataset_set_quota(struct lfsx_pool *pool, const char *name, uint64_t bytes) {
    struct setting wish = {name, bytes, true};
    return transaction_run(pool, false, do_set, &wish);
}

enum status lfsx_transaction_set_reservation(struct lfsx_transaction *t, const char *name,
                                             uint64_t bytes) {
    struct setting wish = {name, bytes, false};
    return do_set(t, &wish);
}

enum status lfsx_dataset_set_reservation(struct lfsx_pool *pool, const char *name, uint64_t bytes) {
    struct setting wish = {name, bytes, false};
    return transaction_run(pool, false, do_set, &wish);
}
