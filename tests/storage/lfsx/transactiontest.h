/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of transactions over the catalog share: a pool, and what it holds as a text. */
#ifndef TESTS_STORAGE_LFSX_TRANSACTIONTEST_H
#define TESTS_STORAGE_LFSX_TRANSACTIONTEST_H

#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/lfsx_transaction.h"
#include "tests/storage/lfsx/pooltest.h"

#define STATE_LINES 64u
#define STATE_LINE 1200u

/* Everything that the catalog says and that two equal stories have in common, a sorted line for
 * each thing. */
struct state {
    unsigned count;
    char lines[STATE_LINES][STATE_LINE];
};

static inline char *state_add(struct state *state) {
    assert_true(state->count < STATE_LINES);
    return state->lines[state->count++];
}

static inline bool state_add_deleted(void *context, const struct lfsx_volume_info *info) {
    snprintf(state_add(context), STATE_LINE, "deleted %s %llu", info->name,
             (unsigned long long)info->size);
    return true;
}

static inline bool state_add_size(void *context, const struct lfsx_volume_info *info) {
    snprintf(state_add(context), STATE_LINE, "volume %s %llu origin '%s'%s", info->name,
             (unsigned long long)info->size, info->origin, info->is_protected ? " protected" : "");
    return true;
}

struct state_names {
    struct lfsx_pool *pool;
    struct state *state;
    const char *volume;
};

/* What a schedule took may come at any time. */
static inline bool state_add_snapshot(void *context, const struct lfsx_snapshot_info *info) {
    const struct state_names *names = context;
    if (!info->automatic)
        snprintf(state_add(names->state), STATE_LINE, "snapshot %s@%s", names->volume, info->name);
    return true;
}

static inline bool state_add_name(void *context, const struct lfsx_dataset_info *info) {
    struct state_names *names = context;
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count;
    assert_int_equal(lfsx_schedule_get(names->pool, info->name, rules, &count), STATUS_OK);
    snprintf(state_add(names->state), STATE_LINE, "name %s is %s %llu, keeps %llu, rules %u",
             info->name, info->is_share ? "share" : "volume",
             (unsigned long long)(info->is_share ? 0 : info->origin),
             (unsigned long long)info->keep_deleted_ns, count);
    names->volume = info->name;
    assert_int_equal(lfsx_snapshot_list(names->pool, info->name, state_add_snapshot, names),
                     STATUS_OK);
    return true;
}

static inline int state_compare(const void *a, const void *b) {
    return strcmp(a, b);
}

/* As calls outside of transactions see it, and as transactions do: the two must agree. */
static inline void state_get(struct lfsx_pool *pool, struct state *state) {
    static const struct lfsx_transaction_options options = {LFSX_READ_COMMITTED, 0};
    struct state_names names = {.pool = pool, .state = state};
    struct lfsx_transaction *t;
    memset(state, 0, sizeof *state);
    assert_int_equal(lfsx_volume_list(pool, state_add_size, state), STATUS_OK);
    assert_int_equal(lfsx_deleted_list(pool, state_add_deleted, state), STATUS_OK);
    assert_int_equal(lfsx_transaction_begin(pool, &options, &t), STATUS_OK);
    assert_int_equal(lfsx_transaction_list(t, state_add_name, &names), STATUS_OK);
    lfsx_transaction_abort(t);
    qsort(state->lines, state->count, STATE_LINE, state_compare);
}

static inline bool state_equals(const struct state *a, const struct state *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static inline void state_print(const char *what, const struct state *state) {
    for (unsigned i = 0; i < state->count; i++)
        printf("%s: %s\n", what, state->lines[i]);
}

static inline void state_assert_equal(const struct state *a, const struct state *b) {
    if (!state_equals(a, b)) {
        state_print("one", a);
        state_print("other", b);
    }
    assert_true(state_equals(a, b));
}

/* ---- transactions ---- */

static inline struct lfsx_transaction *begin_at(struct lfsx_pool *pool,
                                                enum lfsx_isolation isolation) {
    struct lfsx_transaction_options options = {isolation, 0}; /* it never waits */
    struct lfsx_transaction *t;
    assert_int_equal(lfsx_transaction_begin(pool, &options, &t), STATUS_OK);
    return t;
}

static inline void commit(struct lfsx_transaction *t) {
    assert_int_equal(lfsx_transaction_commit(t, NULL), STATUS_OK);
}

static inline bool finds(struct lfsx_transaction *t, const char *name) {
    struct lfsx_dataset_info info;
    enum status status = lfsx_transaction_find(t, name, &info);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    if (status == STATUS_OK)
        assert_string_equal(info.name, name);
    return status == STATUS_OK;
}

static inline bool exists(struct lfsx_pool *pool, const char *name) {
    struct lfsx_transaction *t = begin_at(pool, LFSX_READ_COMMITTED);
    bool found = finds(t, name);
    lfsx_transaction_abort(t);
    return found;
}

#endif
