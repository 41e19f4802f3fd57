/* SPDX-License-Identifier: Apache-2.0 */
/* Several changes of names and settings as one: all of them or none. */
#include "base/os.h"
#include "storage/lfsx/lfsx_transaction.h"
#include "tests/sim/model_share.h"
#include "tests/sim/sim_test.h"

#include <stdio.h>
#include <string.h>

#define CHANGES_MAX 4u
#define KEEP_NS 20000000000ull
#define ATTEMPTS 3u
#define SIZE_MIN 8192u /* as of what is created */
#define THINKING_NS 3000000

enum change_kind {
    CREATE,
    CREATE_SHARE,
    DELETE,
    RENAME,
    SWAP,
    CLONE,
    QUOTA,
    KEEP,
    SNAPSHOT,
    ENLARGE,
    SHRINK,
    CHANGE_KINDS
};

struct change {
    enum change_kind kind;
    unsigned name, other; /* `other`: what becomes of it, or the clone's origin */
    unsigned passing;     /* the name in between while two are exchanged */
    int snapshot;
    char label[24];
    uint64_t value;
    uint64_t resized; /* to which size what is made gets at once; 0: to none */
    struct shrinking shrinking;
};

struct wish {
    struct run *run;
    struct change changes[CHANGES_MAX];
    unsigned count;
    unsigned unused; /* a free name, for what is undone on the way; MODEL_NAMES: none */
};

/* ---- drawing ---- */

static bool has_snapshots(const struct run *run, unsigned instance) {
    for (uint32_t i = 0; i < run->model.snapshot_count; i++)
        if (run->model.snapshots[i].instance == instance && model_has_snapshot(&run->model, i))
            return true;
    return run->model.instances[instance].is_scheduled;
}

/* A name that is idle and from now on nobody else's; MODEL_NAMES: none. */
static unsigned take_name(struct run *run, bool exists) {
    unsigned first = (unsigned)run_below(run, run->plan.names);
    for (unsigned i = 0; i < run->plan.names; i++) {
        unsigned name = (first + i) % run->plan.names;
        if ((model_present(&run->model, name) >= 0) != exists || !name_is_idle(run, name))
            continue;
        if (exists)
            run->deleting[name] = true;
        else
            run->creating[name] = true;
        return name;
    }
    return MODEL_NAMES;
}

static void give_name(struct run *run, unsigned name) {
    if (name < MODEL_NAMES)
        run->creating[name] = run->deleting[name] = false;
}

/* A snapshot whose content was seen, of a volume that stays; -1: none. */
static int take_snapshot(struct run *run, unsigned *origin) {
    for (uint32_t i = 0; i < run->model.snapshot_count; i++) {
        struct model_snapshot *one = &run->model.snapshots[i];
        *origin = name_of_instance(run, (int)one->instance);
        if (one->content == NULL || one->busy > 0 || !model_has_snapshot(&run->model, i) ||
            *origin == MODEL_NAMES || run->deleting[*origin] || run->creating[*origin])
            continue;
        one->busy++;
        run->users[*origin]++;
        return (int)i;
    }
    return -1;
}

/* Whether there is what the change is about; else nothing is taken. */
static bool suits(struct run *run, struct change *change) {
    int instance = change->name < MODEL_NAMES ? model_present(&run->model, change->name) : -1;
    if (change->name == MODEL_NAMES)
        return false;
    if (change->kind == DELETE)
        return !has_snapshots(run, (unsigned)instance);
    if (change->kind == QUOTA)
        return run->model.instances[instance].share == NULL &&
               model_value(&run->model, run->model.instances[instance].reserved) == 0;
    if (change->kind == ENLARGE || change->kind == SHRINK)
        return run->model.instances[instance].share == NULL && change->value > 0;
    if (change->kind == CLONE)
        return change->snapshot >= 0;
    if (change->kind == RENAME || change->kind == SWAP)
        return change->other < MODEL_NAMES &&
               (change->kind == RENAME || change->passing < MODEL_NAMES);
    return true;
}

static void give_back(struct run *run, struct change *change) {
    give_name(run, change->name);
    if (change->kind == CLONE && change->snapshot >= 0) {
        run->model.snapshots[change->snapshot].busy--;
        run->users[change->other]--;
    } else if (change->kind == RENAME || change->kind == SWAP) {
        give_name(run, change->other);
    }
    if (change->kind == SWAP)
        give_name(run, change->passing);
}

/* Sizes and the like. */
static void draw_value(struct run *run, struct change *change) {
    int instance = change->name < MODEL_NAMES ? model_present(&run->model, change->name) : -1;
    uint64_t more = MODEL_CELL * (1 + run_below(run, 40));
    bool at_once = run_one_in(run, 3);
    if (change->kind == CREATE) {
        change->value = draw_size(run);
        change->resized = at_once ? draw_size(run) : 0;
    } else if (change->kind == QUOTA) {
        change->value = run_below(run, 20);
    } else if (change->kind == ENLARGE && instance >= 0) {
        change->value = size_of(run, instance) + more;
    } else if (change->kind == SHRINK && instance >= 0 &&
               size_of(run, instance) >= more + SIZE_MIN) {
        change->value = size_of(run, instance) - more;
    } else if (change->kind == CLONE && at_once && change->snapshot >= 0) {
        const struct model_snapshot *origin = &run->model.snapshots[change->snapshot];
        if (run->model.instances[origin->instance].share == NULL)
            change->resized = origin->size + more;
    }
}

static void draw_change(struct wish *wish) {
    struct run *run = wish->run;
    struct change *change = &wish->changes[wish->count];
    *change = (struct change){.kind = (enum change_kind)run_below(run, CHANGE_KINDS),
                              .snapshot = -1,
                              .other = MODEL_NAMES,
                              .passing = MODEL_NAMES};
    bool makes = change->kind == CREATE || change->kind == CREATE_SHARE || change->kind == CLONE;
    change->name = take_name(run, !makes);
    if (change->kind == RENAME || change->kind == SWAP)
        change->other = take_name(run, change->kind == SWAP);
    if (change->kind == SWAP)
        change->passing = take_name(run, false);
    if (change->kind == CLONE)
        change->snapshot = take_snapshot(run, &change->other);
    if (change->snapshot >= 0)
        memcpy(change->label, run->model.snapshots[change->snapshot].name, sizeof change->label);
    draw_value(run, change);
    if (change->kind == SNAPSHOT)
        snprintf(change->label, sizeof change->label, "t%09llx",
                 (unsigned long long)sim_random_next(&run->random) & 0xfffffffff);
    if (suits(run, change))
        wish->count++;
    else
        give_back(run, change);
}

/* ---- what the pool does ---- */

static enum status resize_at_once(struct lfsx_transaction *t, const struct change *change,
                                  enum status made) {
    if (made != STATUS_OK || change->resized == 0)
        return made;
    return lfsx_transaction_resize(t, model_name(change->name), change->resized,
                                   change->kind == CREATE ? LFSX_RESIZE_SHRINK : 0);
}

static enum status do_change(struct lfsx_transaction *t, const struct change *change) {
    const char *name = model_name(change->name);
    const char *other = change->other < MODEL_NAMES ? model_name(change->other) : "";
    enum status status;
    switch (change->kind) {
    case CREATE:
        return resize_at_once(t, change, lfsx_transaction_volume_create(t, name, change->value));
    case CREATE_SHARE:
        return lfsx_transaction_share_create(t, name);
    case DELETE:
        status = lfsx_transaction_volume_delete(t, name, LFSX_DELETE_NOW);
        return status != STATUS_NOT_FOUND ? status
                                          : lfsx_transaction_share_delete(t, name, LFSX_DELETE_NOW);
    case RENAME:
        return lfsx_transaction_rename(t, name, other);
    case SWAP:
        status = lfsx_transaction_rename(t, name, model_name(change->passing));
        if (status == STATUS_OK)
            status = lfsx_transaction_rename(t, other, name);
        return status == STATUS_OK ? lfsx_transaction_rename(t, model_name(change->passing), other)
                                   : status;
    case CLONE:
        return resize_at_once(t, change,
                              lfsx_transaction_clone_create(t, other, change->label, name));
    case SNAPSHOT:
        return lfsx_transaction_snapshot_create(t, &name, 1, change->label, 0);
    case ENLARGE:
        return lfsx_transaction_resize(t, name, change->value, 0);
    case SHRINK:
        return lfsx_transaction_resize(t, name, change->value, LFSX_RESIZE_SHRINK);
    case QUOTA:
        return lfsx_transaction_set_quota(t, name, change->value * LFSX_BLOCK_SIZE);
    default:
        return lfsx_transaction_protect(t, name, false, KEEP_NS);
    }
}

/* Something that is undone before the rest goes on. */
static enum status do_and_undo(struct lfsx_transaction *t, const struct wish *wish) {
    uint64_t savepoint;
    if (wish->unused == MODEL_NAMES)
        return STATUS_OK;
    enum status status = lfsx_transaction_savepoint(t, &savepoint);
    if (status == STATUS_OK)
        status = lfsx_transaction_volume_create(t, model_name(wish->unused), 8192);
    return status == STATUS_OK ? lfsx_transaction_rollback_to(t, savepoint) : status;
}

static bool count_one(void *context, const struct lfsx_dataset_info *info) {
    (void)info;
    ++*(unsigned *)context;
    return true;
}

/* Reads what others may be changing: those that read to the end of their transaction wait for each
 * other, and now and then one has to start over. */
static enum status look_around(struct lfsx_transaction *t, struct run *run) {
    struct lfsx_dataset_info info;
    unsigned count = 0;
    if (run_one_in(run, 4))
        return lfsx_transaction_list(t, count_one, &count);
    enum status status =
        lfsx_transaction_find(t, model_name((unsigned)run_below(run, run->plan.names)), &info);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* A transaction sees what it did. */
static enum status look_back(struct lfsx_transaction *t, const struct change *change) {
    struct lfsx_dataset_info info;
    bool is_gone = change->kind == DELETE || change->kind == RENAME;
    enum status status = lfsx_transaction_find(t, model_name(change->name), &info);
    if ((status == STATUS_OK && is_gone) || (status == STATUS_NOT_FOUND && !is_gone))
        report_violation("a transaction does not see what it did");
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status do_changes(struct lfsx_transaction *t, void *context) {
    const struct wish *wish = context;
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < wish->count && status == STATUS_OK; i++) {
        if (run_one_in(wish->run, 2))
            status = look_around(t, wish->run);
        if (run_one_in(wish->run, 3)) /* others come in between */
            os_sleep_ns(run_below(wish->run, THINKING_NS));
        if (status == STATUS_OK)
            status = do_change(t, &wish->changes[i]);
        if (status == STATUS_OK)
            status = look_back(t, &wish->changes[i]);
        if (i == 0 && status == STATUS_OK)
            status = do_and_undo(t, wish);
    }
    return status;
}

static enum status do_and_abort(struct lfsx_pool *pool,
                                const struct lfsx_transaction_options *options, struct wish *wish) {
    struct lfsx_transaction *t;
    enum status status = lfsx_transaction_begin(pool, options, &t);
    if (status != STATUS_OK)
        return status;
    status = do_changes(t, wish);
    lfsx_transaction_abort(t);
    return status;
}

/* ---- what the model makes of it ---- */

static void set_size(struct run *run, uint32_t op, int instance, uint64_t size) {
    model_need(&run->model, bytes_of(run, instance), size);
    model_set(&run->model, op, bytes_of(run, instance)->size, size);
}

static void add_new(struct run *run, uint32_t op, const struct change *change) {
    unsigned instance;
    if (change->kind == CREATE)
        instance = model_add_instance(&run->model,
                                      change->resized > 0 ? change->resized : change->value, NULL);
    else if (change->kind == CREATE_SHARE)
        instance = model_add_share(&run->model, NULL, 0);
    else
        instance = add_clone(run, change->snapshot);
    if (change->kind == CLONE && change->resized > 0)
        set_size(run, op, (int)instance, change->resized);
    model_rename(&run->model, op, change->name, (int)instance);
}

/* What gets another name must be known by its number, or it could not be told from what had that
 * name before. */
static void learn_names(struct wish *wish) {
    for (unsigned i = 0; i < wish->count; i++) {
        const struct change *change = &wish->changes[i];
        if (change->kind == RENAME || change->kind == SWAP)
            name_learn(wish->run, change->name);
        if (change->kind == SWAP)
            name_learn(wish->run, change->other);
    }
}

static uint32_t note(struct wish *wish) {
    struct run *run = wish->run;
    for (unsigned i = 0; i < wish->count; i++)
        if (wish->changes[i].kind == SHRINK)
            wish->changes[i].shrinking =
                shrink_begin(run, wish->changes[i].name, wish->changes[i].value);
    uint32_t op = model_begin(&run->model, run_now(run));
    for (unsigned i = 0; i < wish->count; i++) {
        const struct change *change = &wish->changes[i];
        int instance = model_present(&run->model, change->name);
        int other = change->other < MODEL_NAMES ? model_present(&run->model, change->other) : -1;
        if (instance < 0)
            add_new(run, op, change);
        else if (change->kind == QUOTA)
            model_set(&run->model, op, run->model.instances[instance].quota, change->value);
        else if (change->kind == SNAPSHOT)
            model_add_snapshot(&run->model, op, (unsigned)instance, change->label);
        else if (change->kind == ENLARGE || change->kind == SHRINK)
            set_size(run, op, instance, change->value);
        else if (change->kind != KEEP)
            model_rename(&run->model, op, change->name, other);
        if (change->kind == RENAME || change->kind == SWAP)
            model_rename(&run->model, op, change->other, instance);
    }
    return op;
}

/* ---- what became of it ---- */

/* What is there of one of the names that changed; false: nobody can tell. */
static bool compare_name(struct run *run, unsigned name, bool *done, bool *undone) {
    uint64_t id = 0;
    int exists = name_look_up(run, name, &id);
    const struct model_cell *cell = &run->model.cells[name];
    if (exists < 0) {
        run->in_doubt = true;
        return false;
    }
    for (uint32_t back = 1; back <= 2; back++) {
        uint64_t value = cell->history[cell->count - back].value;
        uint64_t known = value == 0 ? 0 : run->model.instances[value - 1].id;
        bool same = (value != 0) == (exists != 0) && (known == 0 || known == id);
        *(back == 1 ? done : undone) &= same;
    }
    return true;
}

/* Whether it happened, of one that may have. */
static void settle(struct run *run, uint32_t op, enum status status) {
    bool done = true;
    bool undone = true;
    bool told = false;
    for (uint32_t i = 0; i < run->model.ops[op].cell_count; i++) {
        uint32_t cell = run->model.ops[op].cells[i];
        if (cell >= MODEL_NAMES)
            continue;
        told = true;
        if (!compare_name(run, cell, &done, &undone))
            return;
    }
    if (!done && (!undone || status == STATUS_OK))
        report_violation("a transaction is there in part");
    if (told && !done)
        model_undo(&run->model, op);
    else if (!told && status != STATUS_OK)
        run->in_doubt = true; /* nothing but what has no name of its own */
}

/* What happened without becoming durable: a volume's new end is closed until it is asked for again.
 */
static void ask_again(struct wish *wish) {
    struct run *run = wish->run;
    for (unsigned i = 0; i < wish->count && !run->in_doubt; i++) {
        const struct change *change = &wish->changes[i];
        if (change->kind != ENLARGE ||
            size_of(run, model_present(&run->model, change->name)) != change->value)
            continue;
        enum status status = STATUS_NO_MEMORY;
        for (unsigned j = 0; j < ATTEMPTS && status == STATUS_NO_MEMORY; j++)
            status = lfsx_volume_resize(run->pool, model_name(change->name), change->value, 0);
        run->in_doubt |= status != STATUS_OK;
    }
}

static void note_outcome(struct wish *wish, enum status status) {
    struct run *run = wish->run;
    for (unsigned i = 0; i < wish->count; i++) {
        struct change *change = &wish->changes[i];
        int instance = model_present(&run->model, change->name);
        if (change->kind == SHRINK)
            shrink_end(run, change->name, &change->shrinking, status);
        else if (change->kind == KEEP)
            run->model.instances[instance].keep =
                status == STATUS_OK ? MODEL_KEEP : MODEL_KEEP_PERHAPS;
        else if (instance >= 0)
            name_learn(run, change->name);
    }
}

void op_transaction(struct run *run) {
    static const enum lfsx_isolation levels[] = {LFSX_READ_COMMITTED, LFSX_SNAPSHOT,
                                                 LFSX_SERIALIZABLE};
    struct wish wish = {.run = run};
    struct lfsx_transaction_options options = {levels[run_below(run, 3)], OS_FOREVER};
    uint64_t wanted = 1 + run_below(run, CHANGES_MAX);
    for (unsigned i = 0; i < 2 * wanted && wish.count < wanted; i++)
        draw_change(&wish);
    wish.unused = run_one_in(run, 3) ? take_name(run, false) : MODEL_NAMES;
    if (wish.count > 0 && run_one_in(run, 6)) {
        run_expect(run, do_and_abort(run->pool, &options, &wish),
                   RUN_MAY(STATUS_NO_SPACE) | RUN_MAY(STATUS_CONFLICT) | RUN_MAY(STATUS_DEADLOCK),
                   "a transaction that is given up");
    } else if (wish.count > 0) {
        learn_names(&wish);
        uint32_t op = note(&wish);
        enum status status = lfsx_transaction_run(run->pool, &options, do_changes, &wish);
        if (status == STATUS_OK)
            model_acknowledge(&run->model, op, run_now(run), true);
        settle(run, op, status);
        if (status != STATUS_OK)
            ask_again(&wish);
        note_outcome(&wish, status);
        run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a transaction");
    }
    give_name(run, wish.unused);
    for (unsigned i = 0; i < wish.count; i++)
        give_back(run, &wish.changes[i]);
}
