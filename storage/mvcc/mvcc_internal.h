/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share.
 *
 * mvcc.lock guards everything here but what a comment gives to the transaction's own thread. It is
 * the only lock of the room, and is never held while the store is called. Functions declared here
 * are called with it held.
 *
 * Time is counted in stamps: each commit that changed something has one more than the one before.
 * A view is the stamp up to which a transaction sees commits.
 *
 * Invariants:
 * 1. A record that is in memory has at least one committed version, the newest of which is the
 *    store's, or will be once the store's apply that is running has failed. Whoever has a view
 *    finds there the version that it shall see, and need not ask the store.
 * 2. A record that is not in memory has in the store what every view of now shall see.
 * 3. A committed version that was replaced is in memory exactly as long as there is a view that
 * sees it: from its stamp on, and older than the stamp that replaced it. So a record that was
 * changed after a view was taken is in memory as long as the view; and what nobody can see any more
 * takes no memory, however long an old view stays.
 * 4. Only the holder of an exclusive lock on a key has an uncommitted change of it.
 */
#ifndef STORAGE_MVCC_INTERNAL_H
#define STORAGE_MVCC_INTERNAL_H

#include "base/list.h"
#include "storage/mvcc/mvcc.h"
#include "storage/mvcc/tree.h"

struct mvcc {
    struct mvcc_store store; /* constant */
    struct os_mutex lock;
    uint64_t stamp;                /* of the newest commit */
    uint64_t transaction_count;    /* ever begun: gives identifiers */
    uint64_t request_count;        /* ever made: gives their order of arrival */
    uint64_t search;               /* number of the newest search of the wait-for graph */
    struct list_node transactions; /* the oldest first */
    struct list_node views;        /* transactions that have one, the lowest view first */
    struct mvcc_tree records;      /* by key */
    struct mvcc_tree requests;     /* for locks, held and waiting: by first key and arrival */
    struct mvcc_info info;
};

/* A value of a record, or the absence of one: first uncommitted, then committed. */
struct mvcc_version {
    struct list_node link; /* uncommitted: in transaction.changes; committed: in record.versions */
    struct mvcc_record *record;
    struct mvcc_version *shadowed; /* uncommitted: what its transaction's rollback brings back */
    uint64_t sequence;             /* uncommitted: place among changes and savepoints */
    uint64_t stamp;                /* committed: since when; 0: since before every view */
    struct list_node kept_link;    /* committed, not the newest: in a transaction's `kept` */
    bool deleted;
    size_t length;
    unsigned char value[];
};

struct mvcc_record {
    struct mvcc_tree_node node; /* in mvcc.records */
    struct mvcc_key key;
    struct list_node versions;       /* committed, the newest first */
    struct mvcc_version *pending;    /* the newest uncommitted change; NULL: none */
    struct mvcc_transaction *writer; /* whose it is */
};

/* A lock that somebody holds or waits for. */
struct mvcc_request {
    struct mvcc_tree_node node; /* in mvcc.requests */
    struct list_node link;      /* in owner->requests */
    struct mvcc_transaction *owner;
    struct mvcc_key first, last;
    struct mvcc_request *reach; /* of those at and below this one in the tree: greatest `last` */
    enum mvcc_lock_mode mode;
    uint64_t arrival;
    bool granted;
    bool overtakes; /* does not queue behind others that wait */
};

struct mvcc_savepoint {
    struct list_node link; /* in transaction.savepoints */
    uint64_t sequence;     /* also its name */
};

struct mvcc_transaction {
    struct mvcc *mvcc;
    uint64_t id;
    enum mvcc_isolation isolation;
    uint64_t timeout_ns;
    unsigned restarts;
    struct list_node link;      /* in mvcc.transactions */
    struct list_node view_link; /* in mvcc.views while it has a view */
    uint64_t view;
    struct list_node kept;       /* replaced versions of which this is the latest view */
    struct list_node changes;    /* uncommitted versions in order of `sequence` */
    struct list_node savepoints; /* the oldest first */
    struct list_node requests;   /* in order of arrival; the last one may be waiting */
    uint64_t record_count;       /* records with an uncommitted change */
    uint64_t request_count;
    uint64_t sequence;            /* of the newest change or savepoint */
    struct os_condition wake;     /* `waiting` has become NULL */
    struct mvcc_request *waiting; /* NULL: it does not wait */
    bool doomed;                  /* victim of a deadlock */

    /* The search of the wait-for graph, see deadlock.c. */
    uint64_t search;                      /* the one that came here last */
    struct mvcc_transaction *search_next; /* in the order in which they were found */
    struct mvcc_transaction *search_from; /* who waits for this one */
    bool search_queue;                    /* only because it comes later */

    /* The own thread's: room for a value. */
    unsigned char scratch[];
};

/* ---- record.c: versions and views ---- */

/* Links nothing. NULL: no memory. Needs no lock. */
struct mvcc_version *mvcc_version_new(const void *value, size_t length, bool deleted);
/* Unlinks it from where it is and releases it. */
void mvcc_version_free(struct mvcc *mvcc, struct mvcc_version *version);
/* A newer version was committed: keeps this one for those who see it, or releases it, and with it
 * the record if nobody needs that. */
void mvcc_version_supersede(struct mvcc *mvcc, struct mvcc_version *version);

void mvcc_record_init_tree(struct mvcc *mvcc);
/* NULL: not in memory. */
struct mvcc_record *mvcc_record_find(const struct mvcc *mvcc, const struct mvcc_key *key);
/* The first one in memory whose key is at least this; NULL: none. */
struct mvcc_record *mvcc_record_at_least(const struct mvcc *mvcc, const struct mvcc_key *key);
/* Brings the record's committed state into memory. The transaction holds the exclusive lock; gives
 * up mvcc.lock for a while. Until it has a change, the caller must settle it. NO_MEMORY, the
 * store's. */
enum status mvcc_record_load(struct mvcc_transaction *transaction, const struct mvcc_key *key,
                             struct mvcc_record **record);
/* Releases the record if nobody needs it. */
void mvcc_record_settle(struct mvcc *mvcc, struct mvcc_record *record);
struct mvcc_version *mvcc_record_newest(const struct mvcc_record *record);
/* What the transaction, which has a view, sees; never NULL, maybe a deletion. */
const struct mvcc_version *mvcc_record_visible(const struct mvcc_record *record,
                                               const struct mvcc_transaction *transaction);

/* From now on the transaction sees what is committed by now. It may have a view: then nothing. */
void mvcc_view_take(struct mvcc_transaction *transaction);
/* Gives the view back, and releases the versions that only it saw. It may have none. */
void mvcc_view_drop(struct mvcc_transaction *transaction);

/* ---- change.c: uncommitted changes ---- */

/* Locks a record for a change. CONFLICT, and what mvcc_request_lock() gives. */
enum status mvcc_change_lock(struct mvcc_transaction *transaction, const struct mvcc_key *key);
/* Undoes all changes newer than this place. */
void mvcc_change_undo(struct mvcc_transaction *transaction, uint64_t sequence);
/* Forgets the savepoints that are newer than this place, but not what was changed. */
void mvcc_savepoint_forget(struct mvcc_transaction *transaction, uint64_t sequence);

/* ---- transaction.c ---- */

/* Undoes all and gives back locks and view; the object stays. */
void mvcc_transaction_rollback(struct mvcc_transaction *transaction);

/* ---- lock.c ---- */

/* How one request stands in another's way. */
enum mvcc_obstacle { MVCC_OBSTACLE_NONE, MVCC_OBSTACLE_QUEUE, MVCC_OBSTACLE_HELD };

void mvcc_request_init_tree(struct mvcc *mvcc);
/* TIMEOUT, DEADLOCK (all is rolled back), NO_MEMORY. May give up mvcc.lock for a while. */
enum status mvcc_request_lock(struct mvcc_transaction *transaction, const struct mvcc_key *first,
                              const struct mvcc_key *last, enum mvcc_lock_mode mode);
/* Gives back all locks and wakes who waited for them. */
void mvcc_request_release_all(struct mvcc_transaction *transaction);
/* Calls `visit` for each request on some key of [first, last] until it returns false. */
typedef bool mvcc_request_visit(struct mvcc_request *request, void *context);
void mvcc_request_overlapping(const struct mvcc *mvcc, const struct mvcc_key *first,
                              const struct mvcc_key *last, mvcc_request_visit *visit,
                              void *context);
/* How `other` stands in the way of `request`. */
enum mvcc_obstacle mvcc_request_obstacle(const struct mvcc_request *request,
                                         const struct mvcc_request *other);
/* Whether somebody waits for this request to end. */
bool mvcc_request_is_waited_for(const struct mvcc_request *request);
/* Grants a waiting request if nothing is in its way any more, and wakes its owner. */
void mvcc_request_try(struct mvcc_request *request);
/* Ends the waiting of a request, releases it, and wakes who queued behind it. */
void mvcc_request_cancel(struct mvcc_request *request);

/* ---- deadlock.c ---- */

/* Ends every deadlock that the transaction, which has just begun to wait, is part of. Afterwards
 * it waits, or has got its lock, or is doomed. Without time to wait it may still be part of one. */
void mvcc_deadlock_resolve(struct mvcc_transaction *transaction);

/* ---- key.c ---- */

static inline bool mvcc_key_is_valid(const struct mvcc_key *key) {
    return key->length <= MVCC_KEY_SIZE;
}

#endif
