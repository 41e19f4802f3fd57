/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in memory for tests of transactions, and the words that they are written in. It holds to
 * the contract of mvcc.h, and checks that its caller does.
 */
#ifndef TESTS_STORAGE_MVCC_MEMSTORE_H
#define TESTS_STORAGE_MVCC_MEMSTORE_H

#include "base/assert.h"
#include "base/mem.h"
#include "storage/mvcc/mvcc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define MEMSTORE_KEYS 64u /* keys are numbers below this */
#define MEMSTORE_VALUE_MAX 1000u
#define ABSENT UINT64_MAX /* as a value: there is no record */

struct memstore {
    struct os_mutex lock; /* guards all */
    uint64_t values[MEMSTORE_KEYS];
    enum status fail_read, fail_next, fail_apply; /* OK: they do not */
    unsigned refuse_every;                        /* every n-th apply gives NO_SPACE; 0: none */
    unsigned asked;                               /* to apply */
    unsigned applies;                             /* that were OK */
    void *attachment;                             /* of the newest apply */
    /* Called before a read, a next or an apply takes effect, without the lock; NULL: not. */
    void (*before_read)(void *context);
    void (*before_apply)(void *context);
    void *hook_context;
    /* Called for each change, under the lock; NULL: not. */
    void (*changed)(uint64_t key, uint64_t value);
    struct mvcc *mvcc;
};

static inline struct mvcc_key key_of(uint64_t number) {
    struct mvcc_key key = {.length = 9, .bytes = {7}};
    for (unsigned i = 0; i < 8; i++)
        key.bytes[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    return key;
}

/* The first key number that is at least `key`. */
static inline uint64_t number_from(const struct mvcc_key *key) {
    for (uint64_t number = 0; number < MEMSTORE_KEYS; number++) {
        struct mvcc_key one = key_of(number);
        if (mvcc_key_compare(&one, key) >= 0)
            return number;
    }
    return MEMSTORE_KEYS;
}

/* Values are as long as their number says, 8 to 107 bytes, so that lengths change. */
static inline size_t value_length(uint64_t value) {
    return 8 + value % 100;
}

static inline size_t value_make(uint64_t value, unsigned char *out) {
    memset(out, (int)(value & 0xff), value_length(value));
    memcpy(out, &value, sizeof value);
    return value_length(value);
}

static inline uint64_t value_parse(const unsigned char *bytes, size_t length) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    ASSERT(length == value_length(value) && (length == 8 || bytes[length - 1] == (value & 0xff)));
    return value;
}

static inline void memstore_hook(struct memstore *store, void (*hook)(void *context)) {
    if (hook != NULL)
        hook(store->hook_context);
}

static inline enum status memstore_find(struct memstore *store, uint64_t number, void *value,
                                        size_t *length) {
    if (number >= MEMSTORE_KEYS || store->values[number] == ABSENT)
        return STATUS_NOT_FOUND;
    *length = value_make(store->values[number], value);
    return STATUS_OK;
}

static inline enum status memstore_read(void *context, const struct mvcc_key *key, void *value,
                                        size_t *length) {
    struct memstore *store = context;
    memstore_hook(store, store->before_read);
    os_mutex_lock(&store->lock);
    uint64_t number = number_from(key);
    struct mvcc_key found = key_of(number);
    enum status status = store->fail_read;
    if (status == STATUS_OK)
        status = mvcc_key_compare(&found, key) == 0 ? memstore_find(store, number, value, length)
                                                    : STATUS_NOT_FOUND;
    os_mutex_unlock(&store->lock);
    return status;
}

static inline enum status memstore_next(void *context, const struct mvcc_key *from,
                                        const struct mvcc_key *last, struct mvcc_key *found,
                                        void *value, size_t *length) {
    struct memstore *store = context;
    memstore_hook(store, store->before_read);
    os_mutex_lock(&store->lock);
    uint64_t number = number_from(from);
    enum status status = store->fail_next;
    if (status == STATUS_OK) {
        while (number < MEMSTORE_KEYS && store->values[number] == ABSENT)
            number++;
        *found = key_of(number);
        status = mvcc_key_compare(found, last) > 0 ? STATUS_NOT_FOUND
                                                   : memstore_find(store, number, value, length);
    }
    os_mutex_unlock(&store->lock);
    return status;
}

static inline enum status memstore_apply(void *context, const struct mvcc_change *changes,
                                         size_t count, void *attachment) {
    struct memstore *store = context;
    memstore_hook(store, store->before_apply);
    os_mutex_lock(&store->lock);
    enum status status = store->fail_apply;
    if (store->refuse_every > 0 && ++store->asked % store->refuse_every == 0)
        status = STATUS_NO_SPACE;
    ASSERT(count > 0 || attachment != NULL);
    store->attachment = attachment;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct mvcc_change *change = &changes[i];
        ASSERT(i == 0 || mvcc_key_compare(&changes[i - 1].key, &change->key) < 0);
        uint64_t number = number_from(&change->key);
        ASSERT(number < MEMSTORE_KEYS);
        ASSERT((change->kind == MVCC_INSERT) == (store->values[number] == ABSENT));
        ASSERT((change->kind == MVCC_DELETE) == (change->value == NULL));
        store->values[number] =
            change->kind == MVCC_DELETE ? ABSENT : value_parse(change->value, change->length);
        if (store->changed != NULL)
            store->changed(number, store->values[number]);
    }
    store->applies += status == STATUS_OK;
    os_mutex_unlock(&store->lock);
    return status;
}

static inline void memstore_start(struct memstore *store) {
    *store = (struct memstore){.fail_read = STATUS_OK};
    os_mutex_init(&store->lock);
    for (unsigned i = 0; i < MEMSTORE_KEYS; i++)
        store->values[i] = ABSENT;
    struct mvcc_store callbacks = {.read = memstore_read,
                                   .next = memstore_next,
                                   .apply = memstore_apply,
                                   .context = store,
                                   .value_max = MEMSTORE_VALUE_MAX};
    assert_int_equal(mvcc_create(&callbacks, &store->mvcc), STATUS_OK);
}

/* Also: nothing is left behind once nobody is there. */
static inline void memstore_stop(struct memstore *store) {
    struct mvcc_info info;
    mvcc_info(store->mvcc, &info);
    assert_int_equal(info.transactions, 0);
    assert_int_equal(info.locks, 0);
    assert_int_equal(info.waiting, 0);
    assert_int_equal(info.records, 0);
    assert_int_equal(info.versions, 0);
    mvcc_destroy(store->mvcc);
    os_mutex_destroy(&store->lock);
}

static inline struct mvcc_transaction *
begin_waiting(struct memstore *store, enum mvcc_isolation isolation, uint64_t timeout_ns) {
    struct mvcc_transaction *transaction = NULL;
    struct mvcc_options options = {.isolation = isolation, .timeout_ns = timeout_ns};
    enum status status = mvcc_begin(store->mvcc, &options, &transaction);
    ASSERT(status == STATUS_OK);
    return transaction;
}

/* Never waits: what would wait gives TIMEOUT. */
static inline struct mvcc_transaction *begin(struct memstore *store,
                                             enum mvcc_isolation isolation) {
    return begin_waiting(store, isolation, 0);
}

static inline enum status get(struct mvcc_transaction *transaction, uint64_t number,
                              uint64_t *value) {
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    size_t length = 0;
    struct mvcc_key key = key_of(number);
    enum status status = mvcc_read(transaction, &key, bytes, sizeof bytes, &length);
    *value = status == STATUS_OK ? value_parse(bytes, length) : ABSENT;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static inline enum status get_for_update(struct mvcc_transaction *transaction, uint64_t number,
                                         uint64_t *value) {
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    size_t length = 0;
    struct mvcc_key key = key_of(number);
    enum status status = mvcc_read_for_update(transaction, &key, bytes, sizeof bytes, &length);
    *value = status == STATUS_OK ? value_parse(bytes, length) : ABSENT;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The first record in [*number, last]; *number becomes its. */
static inline enum status get_next(struct mvcc_transaction *transaction, uint64_t *number,
                                   uint64_t last, uint64_t *value) {
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    size_t length = 0;
    struct mvcc_key from = key_of(*number);
    struct mvcc_key end = key_of(last);
    enum status status = mvcc_next(transaction, &from, &end, &from, bytes, sizeof bytes, &length);
    if (status != STATUS_OK)
        return status;
    *number = number_from(&from);
    *value = value_parse(bytes, length);
    return STATUS_OK;
}

/* Reads all of [first, last] into values[0...]. */
static inline enum status scan(struct mvcc_transaction *transaction, uint64_t first, uint64_t last,
                               uint64_t *values) {
    for (uint64_t i = first; i <= last; i++)
        values[i - first] = ABSENT;
    for (uint64_t at = first; at <= last; at++) {
        uint64_t value = 0;
        enum status status = get_next(transaction, &at, last, &value);
        if (status != STATUS_OK)
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        values[at - first] = value;
    }
    return STATUS_OK;
}

static inline enum status put(struct mvcc_transaction *transaction, uint64_t number,
                              uint64_t value) {
    unsigned char bytes[MEMSTORE_VALUE_MAX];
    struct mvcc_key key = key_of(number);
    if (value == ABSENT)
        return mvcc_delete(transaction, &key);
    return mvcc_write(transaction, &key, bytes, value_make(value, bytes));
}

/* What a transaction of its own sees; it must not have to wait. */
static inline uint64_t committed(struct memstore *store, uint64_t number) {
    struct mvcc_transaction *transaction = begin(store, MVCC_READ_COMMITTED);
    uint64_t value = 0;
    assert_int_equal(get(transaction, number, &value), STATUS_OK);
    assert_int_equal(mvcc_commit(transaction, NULL), STATUS_OK);
    return value;
}

/* Commits one value in a transaction of its own. */
static inline enum status commit_one(struct memstore *store, uint64_t number, uint64_t value) {
    struct mvcc_transaction *transaction = begin(store, MVCC_READ_COMMITTED);
    enum status status = put(transaction, number, value);
    if (status == STATUS_OK)
        status = mvcc_commit(transaction, NULL);
    if (status != STATUS_OK)
        mvcc_abort(transaction);
    return status;
}

/* Sleeps until so many transactions wait for locks. */
static inline void await_waiting(struct memstore *store, uint64_t count) {
    struct mvcc_info info;
    for (mvcc_info(store->mvcc, &info); info.waiting != count; mvcc_info(store->mvcc, &info))
        os_sleep_ns(1000000);
}

#endif
