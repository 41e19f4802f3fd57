/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an LFSX pool can be the store below transactions. A commit is one update of the pool and
 * one record in its journal; it waits for nothing to become durable; one that fails, for whatever
 * reason, leaves the tree as it was. The store here keeps names in the catalog tree, beside the
 * pool's own; they name nothing, and are gone before the pool is closed.
 */
#include "base/assert.h"
#include "host/host.h"
#include "storage/journal/journal_format.h"
#include "storage/mvcc/mvcc.h"
#include "tests/storage/lfsx/pooltest.h"

#include <stdatomic.h>

#define DISK_BYTES (20ull << 20)
#define VOLUME_SIZE (32ull << 20) /* more than the pool holds */
#define NAMES 300u                /* so that the tree has several leaves */
#define RECORD_TYPE 77u           /* in the journal; none is left when the pool is opened again */
#define TREE_KEY_SIZE 25u

/* ---- the store ---- */

/* What belongs to a commit beside its records. */
struct attachment {
    bool frees;    /* the commit gives space back: it may use the reserve */
    uint64_t mark; /* out: what to wait for in the journal */
};

static void put_number(unsigned char *out, uint64_t number) {
    for (unsigned i = 0; i < 8; i++)
        out[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t get_number(const unsigned char *bytes) {
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

static struct mvcc_key record_key(const struct key *key) {
    struct mvcc_key out = {.length = TREE_KEY_SIZE};
    put_number(out.bytes, DISK_OWNER_CATALOG);
    put_number(out.bytes + 8, key->inode);
    out.bytes[16] = key->type;
    put_number(out.bytes + 17, key->offset);
    return out;
}

/* The key, or if it is longer the tree's last one before it. */
static struct key tree_key(const struct mvcc_key *key) {
    ASSERT(key->length >= TREE_KEY_SIZE && get_number(key->bytes) == DISK_OWNER_CATALOG);
    return (struct key){.inode = get_number(key->bytes + 8),
                        .type = key->bytes[16],
                        .offset = get_number(key->bytes + 17)};
}

struct look {
    struct lfsx_pool *pool;
    const struct mvcc_key *from, *last;
    struct mvcc_key *found;
    void *value;
    size_t length;
};

static enum status look_step(void *context, struct btree_cursor *cursor) {
    struct look *look = context;
    struct key from = tree_key(look->from);
    enum status status = btree_seek(&look->pool->catalog, &from, cursor);
    while (status == STATUS_OK) {
        struct item item = btree_item(cursor);
        *look->found = record_key(&item.key);
        look->length = item.length;
        memcpy(look->value, item.value, item.length);
        if (mvcc_key_compare(look->found, look->from) >= 0)
            return mvcc_key_compare(look->found, look->last) > 0 ? STATUS_NOT_FOUND : STATUS_OK;
        status = btree_next(cursor);
    }
    return status;
}

static enum status store_next(void *context, const struct mvcc_key *from,
                              const struct mvcc_key *last, struct mvcc_key *found, void *value,
                              size_t *length) {
    struct look look = {
        .pool = context, .from = from, .last = last, .found = found, .value = value};
    enum status status = pool_look(look.pool, look_step, &look);
    *length = look.length;
    return status;
}

static enum status store_read(void *context, const struct mvcc_key *key, void *value,
                              size_t *length) {
    struct mvcc_key found;
    return store_next(context, key, key, &found, value, length);
}

struct commit {
    struct lfsx_pool *pool;
    const struct mvcc_change *changes;
    size_t count;
    struct attachment *attachment;
    unsigned char *record; /* for the journal */
    size_t length;
};

static size_t write_record(const struct mvcc_change *changes, size_t count, unsigned char *out) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mvcc_change *change = &changes[i];
        if (out != NULL) {
            out[length] = (unsigned char)change->kind;
            memcpy(out + length + 1, change->key.bytes, TREE_KEY_SIZE);
            put_number(out + length + 1 + TREE_KEY_SIZE, change->length);
            if (change->length > 0)
                memcpy(out + length + 9 + TREE_KEY_SIZE, change->value, change->length);
        }
        length += 9 + TREE_KEY_SIZE + change->length;
    }
    return length;
}

/* Brings all that the changes walk over into memory, and finds out what they use up: for each leaf
 * once, since a bound for each change alone would ask for more than a full pool has left. */
static enum status prefetch(const struct commit *commit, struct btree_cursor *cursor,
                            struct update_need *need) {
    struct btree *tree = &commit->pool->catalog;
    const struct cached_node *leaf = NULL;
    for (size_t i = 0; i < commit->count; i++) {
        struct key key = tree_key(&commit->changes[i].key);
        uint64_t items = commit->changes[i].kind != MVCC_DELETE;
        uint64_t leaves;
        enum status status = btree_prefetch(tree, &key, &key, cursor, &leaves);
        if (status != STATUS_OK)
            return status;
        (void)btree_find(tree, &key, cursor);
        bool same = cursor->path[cursor->depth - 1].node == leaf;
        leaf = cursor->path[cursor->depth - 1].node;
        need->nodes += same ? 2 * items : btree_nodes_needed(tree, leaves, items);
    }
    return STATUS_OK;
}

static void change_tree(struct btree *tree, const struct mvcc_change *change) {
    struct key key = tree_key(&change->key);
    switch (change->kind) {
    case MVCC_INSERT:
        btree_insert(tree, &key, change->value, (uint16_t)change->length);
        return;
    case MVCC_REPLACE:
        btree_replace(tree, &key, change->value, (uint16_t)change->length);
        return;
    case MVCC_DELETE:
        btree_remove(tree, &key);
    }
}

static enum status commit_step(void *context, struct btree_cursor *cursor) {
    struct commit *commit = context;
    struct lfsx_pool *pool = commit->pool;
    struct update_need need = {.frees = commit->attachment != NULL && commit->attachment->frees,
                               .record = commit->length};
    enum status status = prefetch(commit, cursor, &need);
    if (status == STATUS_OK)
        status = pool_update_begin(pool, &need);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < commit->count; i++)
        change_tree(&pool->catalog, &commit->changes[i]);
    struct span span = {commit->record, commit->length};
    uint64_t mark = journal_add(pool->journal, RECORD_TYPE, &span, 1);
    if (commit->attachment != NULL)
        commit->attachment->mark = mark;
    pool_update_end(pool);
    return STATUS_OK;
}

static enum status store_apply(void *context, const struct mvcc_change *changes, size_t count,
                               void *attachment) {
    struct commit commit = {
        .pool = context, .changes = changes, .count = count, .attachment = attachment};
    commit.length = write_record(changes, count, NULL);
    ASSERT(commit.length <= JOURNAL_RECORD_MAX);
    commit.record = os_alloc(commit.length);
    if (commit.record == NULL)
        return STATUS_NO_MEMORY;
    (void)write_record(changes, count, commit.record);
    /* Not pool_change(): record locks are held, so it must not wait for the reaper. */
    enum status status = pool_change_background(commit.pool, commit_step, &commit);
    os_free(commit.record);
    return status;
}

/* ---- the words of the tests ---- */

static struct ramdisk *disk;
static struct lfsx_pool *pool;
static struct mvcc *mvcc;

/* The format's own name has a hash for an offset: far from here. */
static struct mvcc_key key_of(uint64_t number) {
    struct key key = {
        .inode = DISK_CATALOG_NAMES, .type = DISK_TYPE_ENTRY, .offset = number * DISK_ENTRY_SLOTS};
    return record_key(&key);
}

#define NAME "nothing"

static enum status put(struct mvcc_transaction *transaction, uint64_t number, uint64_t target) {
    struct mvcc_key key = key_of(number);
    union {
        struct disk_entry disk;
        unsigned char bytes[sizeof(struct disk_entry) + sizeof NAME];
    } entry;
    entry.disk = (struct disk_entry){.target = le64_make(DISK_FIRST_DATASET + target),
                                     .kind = DISK_ENTRY_DATASET,
                                     .name_length = sizeof NAME - 1};
    memcpy(entry.disk.name, NAME, sizeof NAME - 1);
    return mvcc_write(transaction, &key, &entry, sizeof entry.disk + sizeof NAME - 1);
}

static enum status drop(struct mvcc_transaction *transaction, uint64_t number) {
    struct mvcc_key key = key_of(number);
    return mvcc_delete(transaction, &key);
}

static struct mvcc_transaction *begin(enum mvcc_isolation isolation) {
    struct mvcc_options options = {.isolation = isolation, .timeout_ns = OS_FOREVER};
    struct mvcc_transaction *transaction = NULL;
    enum status status = mvcc_begin(mvcc, &options, &transaction);
    ASSERT(status == STATUS_OK);
    return transaction;
}

/* Which targets names have, ABSENT for those that are not there. */
#define ABSENT UINT64_MAX
typedef uint64_t state_of_names[NAMES];

static enum status list(struct mvcc_transaction *transaction, state_of_names names) {
    struct mvcc_key at = key_of(0);
    struct mvcc_key last = key_of(NAMES - 1);
    unsigned char value[DISK_VALUE_MAX];
    size_t length = 0;
    enum status status = STATUS_OK;
    memset(names, 0xff, sizeof(state_of_names));
    for (bool more = true; more; more = mvcc_key_advance(&at)) {
        status = mvcc_next(transaction, &at, &last, &at, value, sizeof value, &length);
        if (status != STATUS_OK)
            break;
        const struct disk_entry *entry = (const struct disk_entry *)value;
        names[tree_key(&at).offset / DISK_ENTRY_SLOTS] =
            le64_get(entry->target) - DISK_FIRST_DATASET;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void list_now(state_of_names names) {
    struct mvcc_transaction *transaction = begin(MVCC_READ_COMMITTED);
    assert_int_equal(list(transaction, names), STATUS_OK);
    mvcc_abort(transaction);
}

static uint64_t journal_records(void) {
    struct journal_statistics statistics;
    journal_statistics(pool->journal, &statistics);
    return statistics.records;
}

/* Every second name is there, and names its own number. */
static void start(void) {
    disk = ramdisk_create(DISK_BYTES);
    pooltest_format(disk, 1, VOLUME_SIZE);
    pool = pooltest_open(disk);
    struct mvcc_store store = {.read = store_read,
                               .next = store_next,
                               .apply = store_apply,
                               .context = pool,
                               .value_max = DISK_VALUE_MAX};
    assert_int_equal(mvcc_create(&store, &mvcc), STATUS_OK);
    struct mvcc_transaction *transaction = begin(MVCC_SERIALIZABLE);
    for (uint64_t i = 0; i < NAMES; i += 2)
        assert_int_equal(put(transaction, i, i), STATUS_OK);
    assert_int_equal(mvcc_commit(transaction, NULL), STATUS_OK);
}

static void end(void) {
    struct attachment attachment = {.frees = true};
    state_of_names names;
    list_now(names);
    struct mvcc_transaction *transaction = begin(MVCC_SERIALIZABLE);
    for (uint64_t i = 0; i < NAMES; i++)
        if (names[i] != ABSENT)
            assert_int_equal(drop(transaction, i), STATUS_OK);
    assert_int_equal(mvcc_commit(transaction, &attachment), STATUS_OK);
    mvcc_destroy(mvcc);
    assert_int_equal(lfsx_pool_close(pool), STATUS_OK);
    pooltest_assert_clean(disk);
    ramdisk_destroy(disk);
}

/* ---- tests ---- */

/* Nothing is in the journal before the commit, then one record; and one flush, waited for later,
 * makes two commits durable. */
static void a_commit_is_one_record(void **state) {
    (void)state;
    start();
    uint64_t before = journal_records();
    struct attachment attachments[2] = {{0}};
    for (uint64_t i = 0; i < 2; i++) {
        struct mvcc_transaction *transaction = begin(MVCC_SERIALIZABLE);
        for (uint64_t number = i; number < NAMES; number += 20)
            assert_int_equal(put(transaction, number, 1000 + i), STATUS_OK);
        assert_int_equal(drop(transaction, 2 + 2 * i), STATUS_OK);
        assert_int_equal(journal_records(), before + i);
        assert_int_equal(mvcc_commit(transaction, &attachments[i]), STATUS_OK);
        assert_int_equal(journal_records(), before + 1 + i);
        assert_int_equal(attachments[i].mark, journal_newest(pool->journal));
    }
    assert_true(attachments[0].mark < attachments[1].mark);
    struct journal_statistics one;
    struct journal_statistics two;
    journal_statistics(pool->journal, &one);
    assert_int_equal(journal_commit(pool->journal, attachments[1].mark), STATUS_OK);
    assert_int_equal(journal_commit(pool->journal, attachments[0].mark), STATUS_OK);
    journal_statistics(pool->journal, &two);
    assert_true(two.flushes <= one.flushes + 1);
    end();
}

/* Each allocation of a commit fails once, the tree's nodes being in memory or not. */
static void no_memory_changes_nothing(void **state) {
    (void)state;
    struct random random = random_start("pool_store");
    start();
    assert_int_equal(lfsx_pool_commit(pool), STATUS_OK);
    for (uint64_t k = 0; k < 60; k++) {
        state_of_names before;
        state_of_names after;
        struct mvcc_transaction *transaction = begin(MVCC_SNAPSHOT);
        list_now(before);
        for (uint64_t number = k; number < NAMES; number += 60)
            assert_int_equal(put(transaction, number, 5000 + k), STATUS_OK);
        assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
        pooltest_forget(pool, &random);
        host_memory_fail(k, false);
        enum status status = mvcc_commit(transaction, NULL);
        host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            list_now(after);
            assert_memory_equal(before, after, sizeof before);
            assert_int_equal(mvcc_commit(transaction, NULL), STATUS_OK);
        }
        for (uint64_t number = k; number < NAMES; number += 60)
            before[number] = 5000 + k;
        list_now(after);
        assert_memory_equal(before, after, sizeof before);
    }
    end();
}

/* A leaf that the commit needs cannot be read: the commit fails; it succeeds when it can be. */
static void damage_changes_nothing(void **state) {
    (void)state;
    start();
    assert_int_equal(pool_checkpoint_force(pool), STATUS_OK);
    struct mvcc_transaction *transaction = begin(MVCC_SERIALIZABLE);
    for (uint64_t number = 0; number < NAMES; number += 10)
        assert_int_equal(put(transaction, number, 7), STATUS_OK);
    state_of_names before;
    state_of_names after;
    list_now(before);
    os_rwlock_lock_exclusive(&pool->lock);
    uint64_t leaf = 0; /* a clean one, forgotten and damaged on the disk */
    LIST_FOR_EACH_SAFE(link, &pool->forest.cache.clean) {
        struct cached_node *node = LIST_CONTAINER(link, struct cached_node, link);
        struct key first = node_key(node->page, 0);
        if (node->page->level == 0 && le64_get(node->page->owner) == DISK_OWNER_CATALOG &&
            first.type == DISK_TYPE_ENTRY && first.offset > 0 &&
            first.offset < NAMES * DISK_ENTRY_SLOTS) {
            leaf = node->block;
            cache_drop(&pool->forest.cache, node);
            break;
        }
    }
    os_rwlock_unlock_exclusive(&pool->lock);
    assert_int_not_equal(leaf, 0);
    disk->content[leaf * DISK_BLOCK_SIZE + 99] ^= 1;
    assert_int_equal(mvcc_commit(transaction, NULL), STATUS_CHECKSUM);
    disk->content[leaf * DISK_BLOCK_SIZE + 99] ^= 1;
    list_now(after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(mvcc_commit(transaction, NULL), STATUS_OK);
    list_now(after);
    assert_true(after[0] == 7 && after[10] == 7 && after[2] == 2);
    end();
}

/* In a full pool a commit is refused, but one that says that it gives space back is not. */
static void a_full_pool(void **state) {
    (void)state;
    start();
    struct lfsx_volume *volume;
    static unsigned char data[1u << 17];
    assert_int_equal(lfsx_volume_open(pool, "alpha", &volume), STATUS_OK);
    enum status status = STATUS_OK;
    for (uint32_t length = sizeof data; length >= LFSX_BLOCK_SIZE; length /= 2) {
        status = STATUS_OK;
        for (uint64_t at = 0; status == STATUS_OK && at + length <= VOLUME_SIZE; at += length)
            status = pooltest_write(volume, at, data, length, 0);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    struct mvcc_transaction *one = begin(MVCC_SERIALIZABLE);
    for (uint64_t number = 1; number < NAMES; number += 2)
        assert_int_equal(put(one, number, 7), STATUS_OK);
    assert_int_equal(mvcc_commit(one, NULL), STATUS_NO_SPACE);
    mvcc_abort(one);
    state_of_names names;
    list_now(names);
    for (uint64_t i = 0; i < NAMES; i++)
        assert_true(names[i] == (i % 2 == 0 ? i : ABSENT));
    struct attachment attachment = {.frees = true};
    one = begin(MVCC_SERIALIZABLE);
    assert_int_equal(drop(one, 0), STATUS_OK);
    assert_int_equal(mvcc_commit(one, &attachment), STATUS_OK);
    lfsx_volume_close(volume);
    end();
}

/* ---- threads ---- */

#define MOVERS 3u
#define MOVES 150u

static atomic_uint movers_left;

struct worker {
    struct random random;
    struct os_thread *thread;
};

/* Gives the target of one name to another; the sum of all stays. */
static enum status move(struct mvcc_transaction *transaction, struct random *random) {
    state_of_names names;
    uint64_t from = random_below(random, NAMES);
    uint64_t to = random_below(random, NAMES);
    enum status status = list(transaction, names);
    if (status != STATUS_OK || names[from] == ABSENT || names[to] != ABSENT)
        return status;
    status = put(transaction, to, names[from]);
    return status == STATUS_OK ? drop(transaction, from) : status;
}

static void be_mover(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < MOVES; i++) {
        struct mvcc_transaction *transaction = begin(MVCC_SNAPSHOT);
        enum status status = move(transaction, &worker->random);
        if (status == STATUS_OK)
            status = mvcc_commit(transaction, NULL);
        ASSERT(status == STATUS_OK || status == STATUS_CONFLICT || status == STATUS_DEADLOCK);
        if (status != STATUS_OK)
            mvcc_abort(transaction);
    }
    atomic_fetch_sub(&movers_left, 1);
}

static void assert_sum(const state_of_names names) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < NAMES; i++)
        sum += names[i] == ABSENT ? 0 : names[i];
    ASSERT(sum == NAMES / 2 * (NAMES / 2 - 1));
}

/* Sees all of a move or nothing, while nodes are forgotten and checkpoints come. */
static void be_watcher(void *argument) {
    struct worker *worker = argument;
    while (movers_left > 0) {
        state_of_names names;
        struct mvcc_transaction *transaction = begin(MVCC_SNAPSHOT);
        enum status status = list(transaction, names);
        ASSERT(status == STATUS_OK);
        assert_sum(names);
        mvcc_abort(transaction);
        status = pool_checkpoint(pool);
        ASSERT(status == STATUS_OK);
        pooltest_forget(pool, &worker->random);
    }
}

static void moves_are_seen_whole(void **state) {
    (void)state;
    struct random random = random_start("pool_store");
    struct worker workers[MOVERS + 1];
    start();
    movers_left = MOVERS;
    for (unsigned i = 0; i <= MOVERS; i++) {
        workers[i].random = (struct random){random_next(&random)};
        assert_int_equal(os_thread_start(&workers[i].thread, "pool-store",
                                         i < MOVERS ? be_mover : be_watcher, &workers[i]),
                         STATUS_OK);
    }
    for (unsigned i = 0; i <= MOVERS; i++)
        os_thread_join(workers[i].thread);
    state_of_names names;
    list_now(names);
    assert_sum(names);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_one_record), cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(damage_changes_nothing), cmocka_unit_test(a_full_pool),
        cmocka_unit_test(moves_are_seen_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
