/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps datasets and snapshots from being deleted while there are handles on them. */
#include "storage/lfsx/file/holding.h"
#include "base/assert.h"
#include "base/mem.h"
#include "storage/lfsx/file/damage.h"
#include "storage/lfsx/pool/dataset.h"
#include "storage/lfsx/pool/pool.h"

/* NOT_FOUND, BUSY. Lock exclusive. */
static enum status find_and_hold(struct lfsx_pool *pool, const char *name, uint8_t kind,
                                 struct holding *holding) {
    const char *at = strchr(name, '@');
    size_t length = at == NULL ? strlen(name) : (size_t)(at - name);
    if (length > LFSX_NAME_MAX)
        return STATUS_NOT_FOUND;
    char dataset[LFSX_NAME_MAX + 1] = {0};
    memcpy(dataset, name, length);
    *holding = (struct holding){.dataset = dataset_find(pool, dataset)};
    if (holding->dataset == NULL || holding->dataset->kind != kind)
        return STATUS_NOT_FOUND;
    if (holding->dataset->is_shrinking)
        return STATUS_BUSY;
    if (at != NULL) {
        holding->snapshot = snapshot_find(holding->dataset, at + 1);
        if (holding->snapshot == NULL)
            return STATUS_NOT_FOUND;
        holding->snapshot->open_count++;
    }
    holding->dataset->open_count++;
    return STATUS_OK;
}

/* No journal record may name a dataset that a power cut would undo, so nobody gets a handle before
 * its creation is durable. */
static enum status settle_creation(struct dataset *d) {
    struct lfsx_pool *pool = d->pool;
    os_mutex_lock(&pool->commit_lock);
    bool durable = pool->durable_generation >= d->created_in;
    os_mutex_unlock(&pool->commit_lock);
    return durable ? STATUS_OK : pool_checkpoint(pool);
}

/* A snapshot does not need what its volume lacks, and the other way round. */
static enum status check_damage(const struct holding *holding) {
    struct dataset *d = holding->dataset;
    if (holding->snapshot == NULL)
        return damage_check(d);
    return damage_check_snapshot(d->pool, d->id, holding->snapshot->epoch);
}

enum status holding_open(struct lfsx_pool *pool, const char *name, uint8_t kind,
                         struct holding *holding) {
    os_rwlock_lock_exclusive(&pool->lock);
    enum status status = find_and_hold(pool, name, kind, holding);
    os_rwlock_unlock_exclusive(&pool->lock);
    if (status != STATUS_OK)
        return status;
    status = settle_creation(holding->dataset);
    if (status == STATUS_OK)
        status = check_damage(holding);
    if (status != STATUS_OK)
        holding_close(holding);
    return status;
}

void holding_close(struct holding *holding) {
    struct lfsx_pool *pool = holding->dataset->pool;
    os_rwlock_lock_exclusive(&pool->lock);
    ASSERT(holding->dataset->open_count > 0);
    holding->dataset->open_count--;
    if (holding->snapshot != NULL) {
        ASSERT(holding->snapshot->open_count > 0);
        holding->snapshot->open_count--;
    }
    os_rwlock_unlock_exclusive(&pool->lock);
}
