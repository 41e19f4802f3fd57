/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions over records.
 *
 * A record is a key and a value. Below lies a store that holds the newest committed record of each
 * key and changes many of them in one atomic step; here lies what transactions need beyond that:
 * uncommitted changes, older committed versions for as long as some transaction still looks at
 * them, and locks. None of it is on disk: after a crash the store alone says what was committed,
 * and after mvcc_commit() it is the store who can say when that is durable.
 *
 *     static enum status add(struct mvcc_transaction *t, void *context) {
 *         struct thing *thing = context;
 *         return mvcc_insert(t, &thing->key, thing->value, thing->length);
 *     }
 *     ...
 *     static const struct mvcc_options options = {MVCC_SERIALIZABLE, OS_FOREVER};
 *     status = mvcc_run(mvcc, &options, add, &thing, NULL);
 *
 * A transaction is used by one thread at a time; different ones by any threads at once. Calls may
 * sleep. A call that fails has changed no record; the transaction goes on, and may commit what it
 * did before, except after DEADLOCK, where everything that it did is undone and only mvcc_restart()
 * and mvcc_abort() are left. Locks, also those of failed calls, are held until commit, abort or
 * restart.
 *
 * Record locks come before every lock of the store's: whoever waits for a record holds no lock that
 * the store's read, next or apply may take.
 *
 * What other transactions can do to one of each level (docs/DESIGN.md says how and why):
 *
 *     level           dirty read   lost update   non-repeatable   read skew   phantom   write skew
 *     READ_COMMITTED  no           yes           yes              yes         yes       yes
 *     SNAPSHOT        no           no            no               no          no        yes
 *     SERIALIZABLE    no           no            no               no          no        no
 *
 * What holds for a transaction depends on its own level alone, but for write skew, which needs two:
 * a serializable transaction is also safe from writers of the other levels.
 */
#ifndef STORAGE_MVCC_MVCC_H
#define STORAGE_MVCC_MVCC_H

#include "base/os.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- keys ---- */

/* Bytes: those of a tree's number and of a key in a B+tree make 25. The rest is room. */
#define MVCC_KEY_SIZE 31u

/* Ordered as memcmp() orders bytes; of two keys that begin alike the shorter one comes first. Put
 * numbers in big-endian order. Any length, also 0, up to MVCC_KEY_SIZE. */
struct mvcc_key {
    uint8_t length;
    uint8_t bytes[MVCC_KEY_SIZE];
};

/* Below, equal to, above zero as a comes before, is, comes after b. Any context. */
int mvcc_key_compare(const struct mvcc_key *a, const struct mvcc_key *b);

/* Turns the key into the next one possible. False, and the key unchanged, if it is the last. Any
 * context. */
bool mvcc_key_advance(struct mvcc_key *key);

#define MVCC_KEY_TEXT_SIZE (2 * MVCC_KEY_SIZE + 3)

/* The key as hexadecimal digits, "''" for the empty one; `out` is returned. Any context. */
const char *mvcc_key_text(const struct mvcc_key *key, char out[static MVCC_KEY_TEXT_SIZE]);

/* ---- the store below ---- */

enum mvcc_change_kind {
    MVCC_INSERT,  /* the store has no record of this key */
    MVCC_REPLACE, /* it has one */
    MVCC_DELETE   /* it has one */
};

struct mvcc_change {
    enum mvcc_change_kind kind;
    struct mvcc_key key;
    const void *value; /* NULL for MVCC_DELETE */
    size_t length;     /* bytes; 0 for MVCC_DELETE */
};

/*
 * Called by any number of threads at once, not under mvcc's own lock, so they may sleep and read
 * from a device; but record locks of their caller's transaction are held, so they must not wait for
 * another transaction. Nobody but mvcc changes records of the store. What others do change in the
 * same place (a count that the store keeps itself) is not part of a value: read and next leave it
 * out, apply leaves it alone.
 */
struct mvcc_store {
    /* Copies the record's value (value_max bytes of room). NOT_FOUND; another status becomes that
     * of the caller's call. */
    enum status (*read)(void *context, const struct mvcc_key *key, void *value, size_t *length);
    /* Finds the first record with from <= key <= last; as read. Where a scan goes on, `from` is a
     * record's key with a zero byte behind it, whatever the length of the store's own keys. */
    enum status (*next)(void *context, const struct mvcc_key *from, const struct mvcc_key *last,
                        struct mvcc_key *found, void *value, size_t *length);
    /*
     * Makes all changes or none: for every read and next a single moment. They are in ascending
     * order, each key once; none only if there is an attachment. After an error nothing has
     * changed. Transactions of which one depends on the other are applied in that order, the second
     * one after the first has returned; others at once. So a store that makes a prefix of what it
     * applied durable never has an effect without its cause.
     */
    enum status (*apply)(void *context, const struct mvcc_change *changes, size_t count,
                         void *attachment);
    void *context;
    size_t value_max; /* bytes that a value may have */
};

/* ---- the transaction manager ---- */

struct mvcc;

/* The store is copied. NO_MEMORY. */
enum status mvcc_create(const struct mvcc_store *store, struct mvcc **mvcc);
/* No transaction is running. NULL is allowed. */
void mvcc_destroy(struct mvcc *mvcc);

struct mvcc_info {
    uint64_t transactions; /* running */
    uint64_t locks;        /* held and waited for */
    uint64_t waiting;      /* transactions that wait for a lock */
    uint64_t records;      /* with changes or older versions in memory */
    uint64_t versions;     /* in memory: uncommitted, current and older ones */
    uint64_t commits;      /* ... of these since mvcc_create() */
    uint64_t aborts;
    uint64_t restarts;
    uint64_t deadlocks; /* victims */
    uint64_t conflicts;
};
void mvcc_info(struct mvcc *mvcc, struct mvcc_info *info);

/* ---- transactions ---- */

enum mvcc_isolation {
    MVCC_READ_COMMITTED, /* each call sees what was committed when it began */
    MVCC_SNAPSHOT,       /* each call sees what was committed when the transaction began */
    MVCC_SERIALIZABLE    /* as if alone: what it reads, and found missing, stays so to its end */
};

struct mvcc_options {
    enum mvcc_isolation isolation;
    uint64_t timeout_ns; /* for each wait for a lock: OS_FOREVER, or 0 to never wait */
};

struct mvcc_transaction;

/* INVALID, NO_MEMORY. */
enum status mvcc_begin(struct mvcc *mvcc, const struct mvcc_options *options,
                       struct mvcc_transaction **transaction);

/*
 * Applies all changes at once and, if that is OK, releases the transaction. Any error, also one of
 * the store's apply, leaves it as it was before the call: try again, or abort. How durable it is on
 * return is the store's affair: the caller waits for that afterwards, when all locks are given back
 * and others can join the same flush.
 *
 * The attachment is for the store's apply alone: what belongs to the same atomic step, but is not
 * in records, and what the caller wants to know of that step. With one, apply is called also if
 * there is nothing to change. NULL: none; then a transaction without changes does not fail, unless
 * with DEADLOCK. NO_MEMORY, DEADLOCK (see above), the store's.
 */
enum status mvcc_commit(struct mvcc_transaction *transaction, void *attachment);

/* Undoes everything and releases the transaction. Does not fail. */
void mvcc_abort(struct mvcc_transaction *transaction);

/* Undoes everything, gives back all locks, and begins anew, which is possible after any error: also
 * after DEADLOCK, and with a new view after CONFLICT. Does not fail. Better than abort and begin:
 * with each restart the transaction is less likely to be the next victim (docs/DESIGN.md), so in
 * the end it gets through. */
void mvcc_restart(struct mvcc_transaction *transaction);

/*
 * Runs the body in a transaction of its own and commits that: what most callers want. After
 * DEADLOCK and CONFLICT, and if the body gives AGAIN, everything is undone and the body runs anew,
 * as often as it takes; after any other error it is aborted. What the body gives, and what
 * mvcc_begin() and mvcc_commit() give.
 */
typedef enum status mvcc_body(struct mvcc_transaction *transaction, void *context);
enum status mvcc_run(struct mvcc *mvcc, const struct mvcc_options *options, mvcc_body *body,
                     void *context, void *attachment);

/*
 * All calls below may also give
 *     INVALID    a key or value that is too long, a range to lock whose end lies before its start
 *     NO_MEMORY
 *     TIMEOUT    the lock was not to be had in time
 *     DEADLOCK   chosen to end a deadlock, now or in an earlier call: start over
 *     CONFLICT   a SNAPSHOT transaction wants to change what another changed since it began: it
 *                must start over to do that
 * and what the store's read and next give.
 */

/* ---- reading: sees the transaction's own changes ---- */

/* Copies as many bytes as there is room for (`size`; value may then be NULL); *length is the
 * value's. NOT_FOUND. Sleeps for locks only in SERIALIZABLE. */
enum status mvcc_read(struct mvcc_transaction *transaction, const struct mvcc_key *key, void *value,
                      size_t size, size_t *length);

/* As mvcc_read, but locks the record (or its absence) as for a change. To read first and change
 * later without losing an update (READ_COMMITTED), or without two readers that wait for each other
 * to let go (SERIALIZABLE). CONFLICT. */
enum status mvcc_read_for_update(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                                 void *value, size_t size, size_t *length);

/* Finds the first record with from <= key <= last; else as mvcc_read. NOT_FOUND also if last <
 * from, so that a scan goes on with mvcc_key_advance(found) until there is no next key or nothing
 * is found. `found` may be the same object as `from`. */
enum status mvcc_next(struct mvcc_transaction *transaction, const struct mvcc_key *from,
                      const struct mvcc_key *last, struct mvcc_key *found, void *value, size_t size,
                      size_t *length);

/* ---- changing: sleeps while another transaction that changed the record is running ---- */

/* Makes or replaces. */
enum status mvcc_write(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                       const void *value, size_t length);
/* EXISTS. */
enum status mvcc_insert(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                        const void *value, size_t length);
/* NOT_FOUND. */
enum status mvcc_replace(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                         const void *value, size_t length);
/* NOT_FOUND. */
enum status mvcc_delete(struct mvcc_transaction *transaction, const struct mvcc_key *key);

/* ---- savepoints ---- */

/* Remembers this moment of the transaction. Savepoints nest. NO_MEMORY, DEADLOCK. */
enum status mvcc_savepoint(struct mvcc_transaction *transaction, uint64_t *savepoint);
/* Undoes all changes since. The savepoint stays, later ones are gone. Locks stay, since what was
 * read under them was seen. INVALID (no such savepoint), DEADLOCK. */
enum status mvcc_rollback_to(struct mvcc_transaction *transaction, uint64_t savepoint);
/* Forgets it and all later ones; changes stay. INVALID, DEADLOCK. */
enum status mvcc_release(struct mvcc_transaction *transaction, uint64_t savepoint);

/* ---- explicit locks ---- */

/*
 * Reading and changing lock by themselves. A caller who knows that it will touch much of a range
 * may lock it once. An intention says that parts of the range will be locked: it is in the way only
 * of those who want to lock all of the range (a lock in this mode on the same or a wider range).
 */
enum mvcc_lock_mode {
    MVCC_LOCK_INTENTION_SHARED,
    MVCC_LOCK_INTENTION_EXCLUSIVE,
    MVCC_LOCK_SHARED,
    MVCC_LOCK_SHARED_INTENTION_EXCLUSIVE, /* reads all of it, will change parts */
    MVCC_LOCK_EXCLUSIVE
};

/* Locks all keys from first to last, both included and present or not, until the end of the
 * transaction. */
enum status mvcc_lock(struct mvcc_transaction *transaction, const struct mvcc_key *first,
                      const struct mvcc_key *last, enum mvcc_lock_mode mode);

/* ---- text for people ---- */

/* Gets lines without newline. Must not call mvcc. */
typedef void mvcc_line(void *context, const char *line);

/* A line for the whole, then all transactions with their locks and changes, then all records with
 * their versions. `line` NULL: into the log. */
void mvcc_print(struct mvcc *mvcc, mvcc_line *line, void *context);
/* One transaction, as above. */
void mvcc_transaction_print(struct mvcc_transaction *transaction, mvcc_line *line, void *context);

#endif
