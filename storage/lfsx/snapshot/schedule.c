/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that are taken and deleted by themselves, so that a volume can be taken back to any of
 * the last seconds, minutes or hours.
 *
 * Whether one is due and whether one is kept is told from the snapshots that there are and the
 * time, so nothing is remembered between runs, and a crash forgets nothing.
 */
#include "storage/lfsx/snapshot/schedule.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/lfsx/catalog/catalog_change.h"
#include "storage/lfsx/snapshot/snapshot.h"

#define SECOND_NS 1000000000ull
#define REST_NS (5 * SECOND_NS) /* at most this long between two runs */
#define NAME_SIZE 32u

_Static_assert(LFSX_SCHEDULE_RULES_MAX == DISK_SCHEDULE_RULES_MAX, "rules");

/* Days since 1970 to a date of the Gregorian calendar, by counting in 400-year cycles that begin in
 * March. */
static void date_of(uint64_t days, unsigned *year, unsigned *month, unsigned *day) {
    uint64_t shifted = days + 719468; /* since 0000-03-01 */
    uint64_t in_cycle = shifted % 146097;
    uint64_t years = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    uint64_t in_year = in_cycle - (365 * years + years / 4 - years / 100);
    uint64_t march_month = (5 * in_year + 2) / 153;
    *day = (unsigned)(in_year - (153 * march_month + 2) / 5 + 1);
    *month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = (unsigned)(years + shifted / 146097 * 400 + (*month <= 2));
}

/* "auto-20261121-064712", in UTC. */
static void automatic_name(uint64_t now_ns, char name[NAME_SIZE]) {
    uint64_t seconds = now_ns / SECOND_NS;
    unsigned year, month, day;
    date_of(seconds / 86400, &year, &month, &day);
    unsigned in_day = (unsigned)(seconds % 86400);
    format_text(name, NAME_SIZE, "auto-%04u%02u%02u-%02u%02u%02u", year, month, day, in_day / 3600,
                in_day / 60 % 60, in_day % 60);
}

static const struct snapshot *newest_automatic(const struct dataset *d) {
    const struct snapshot *newest = NULL;
    LIST_FOR_EACH(link, &d->snapshots)
    if (snapshot_of(link)->automatic && !snapshot_of(link)->deleting)
        newest = snapshot_of(link);
    return newest;
}

static bool is_changed(const struct dataset *d) {
    return d->tree.dirty || d->tree.root.birth > d->tree.kept;
}

/* Whether some rule's present interval has no snapshot yet. */
static bool is_due(const struct dataset *d, uint64_t now_ns) {
    if (d->state != DISK_DATASET_LIVE || d->damage != STATUS_OK || d->schedule.count == 0 ||
        !is_changed(d))
        return false;
    const struct snapshot *newest = newest_automatic(d);
    if (newest == NULL)
        return true;
    for (uint32_t i = 0; i < d->schedule.count; i++) {
        uint64_t interval = d->schedule.rules[i].interval_ns;
        if (newest->created_ns / interval < now_ns / interval)
            return true;
    }
    return false;
}

/* Whether the snapshot is the first of one of a rule's newest intervals. */
static bool is_kept_by(const struct lfsx_schedule_rule *rule, const struct snapshot *s,
                       const struct snapshot *before, uint64_t now_ns) {
    uint64_t interval = s->created_ns / rule->interval_ns;
    uint64_t present = now_ns / rule->interval_ns;
    bool recent = present <= interval || present - interval < rule->keep;
    return recent && (before == NULL || before->created_ns / rule->interval_ns != interval);
}

/* Of an automatic snapshot and the automatic one before it. */
static bool is_kept(const struct dataset *d, const struct snapshot *s,
                    const struct snapshot *before, uint64_t now_ns) {
    for (uint32_t i = 0; i < d->schedule.count; i++)
        if (is_kept_by(&d->schedule.rules[i], s, before, now_ns))
            return true;
    return false;
}

/* The names of all volumes that are due. */
struct due {
    char (*names)[LFSX_NAME_MAX + 1];
    const char **list;
    uint32_t count;
};

static enum status collect_due(struct lfsx_pool *pool, uint64_t now_ns, struct due *due) {
    uint32_t count = 0;
    *due = (struct due){0};
    LIST_FOR_EACH(link, &pool->datasets)
    count += is_due(LIST_CONTAINER(link, struct dataset, link), now_ns);
    if (count == 0)
        return STATUS_OK;
    due->names = os_alloc(count * sizeof *due->names);
    due->list = os_alloc(count * sizeof *due->list);
    if (due->names == NULL || due->list == NULL)
        return STATUS_NO_MEMORY;
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        if (!is_due(d, now_ns))
            continue;
        memcpy(due->names[due->count], d->name, sizeof d->name);
        due->list[due->count] = due->names[due->count];
        due->count++;
    }
    return STATUS_OK;
}

static void take_due(struct lfsx_pool *pool, uint64_t now_ns) {
    struct due due;
    os_rwlock_lock_shared(&pool->lock);
    enum status status = collect_due(pool, now_ns, &due);
    os_rwlock_unlock_shared(&pool->lock);
    if (status == STATUS_OK && due.count > 0) {
        char name[NAME_SIZE];
        automatic_name(now_ns, name);
        status = snapshot_take_scheduled(pool, due.list, due.count, name, now_ns);
    }
    os_free(due.names);
    os_free(due.list);
    bool comes_later = status == STATUS_TIMEOUT; /* a transaction holds one of them */
    if (status != STATUS_OK && status != STATUS_NOT_FOUND && status != STATUS_EXISTS &&
        !comes_later)
        log_warning("lfsx", "%s: scheduled snapshots could not be taken: %s", pool->device->name,
                    status_text(status));
}

/* An automatic snapshot that no rule keeps and nobody uses. */
struct surplus {
    uint64_t dataset, epoch;
};

static bool find_in(struct dataset *d, uint64_t now_ns, struct surplus *surplus) {
    const struct snapshot *before = NULL;
    LIST_FOR_EACH(link, &d->snapshots) {
        const struct snapshot *s = snapshot_of(link);
        if (!s->automatic || s->deleting)
            continue;
        if (s->open_count == 0 && s->clone_count == 0 && !is_kept(d, s, before, now_ns)) {
            *surplus = (struct surplus){d->id, s->epoch};
            return true;
        }
        before = s;
    }
    return false;
}

static bool find_surplus(struct lfsx_pool *pool, uint64_t now_ns, struct surplus *surplus) {
    bool found = false;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        bool whole = d->state == DISK_DATASET_LIVE && d->damage == STATUS_OK; /* else all stay */
        found = found || (whole && find_in(d, now_ns, surplus));
    }
    os_rwlock_unlock_shared(&pool->lock);
    return found;
}

static void discard_surplus(struct lfsx_pool *pool, uint64_t now_ns) {
    struct surplus surplus = {0};
    while (find_surplus(pool, now_ns, &surplus))
        if (snapshot_discard(pool, surplus.dataset, surplus.epoch) != STATUS_OK)
            return;
}

static uint64_t time_to_next(struct lfsx_pool *pool, uint64_t now_ns) {
    uint64_t rest = REST_NS;
    os_rwlock_lock_shared(&pool->lock);
    LIST_FOR_EACH(link, &pool->datasets) {
        const struct dataset *d = LIST_CONTAINER(link, struct dataset, link);
        for (uint32_t i = 0; d->state == DISK_DATASET_LIVE && i < d->schedule.count; i++) {
            uint64_t interval = d->schedule.rules[i].interval_ns;
            rest = MATH_MIN(rest, interval - now_ns % interval);
        }
    }
    os_rwlock_unlock_shared(&pool->lock);
    return rest;
}

uint64_t schedule_run(struct lfsx_pool *pool, uint64_t now_ns) {
    take_due(pool, now_ns);
    discard_surplus(pool, now_ns);
    return time_to_next(pool, now_ns);
}

/* Sorts the rules in. INVALID: one that cannot be, or two of one interval. */
static enum status sort_rules(const struct lfsx_schedule_rule *rules, uint32_t count,
                              struct schedule *schedule) {
    if (count > LFSX_SCHEDULE_RULES_MAX)
        return STATUS_INVALID;
    for (uint32_t i = 0; i < count; i++) {
        if (rules[i].interval_ns < SECOND_NS || rules[i].keep == 0)
            return STATUS_INVALID;
        uint32_t at = i;
        for (; at > 0 && schedule->rules[at - 1].interval_ns >= rules[i].interval_ns; at--) {
            if (schedule->rules[at - 1].interval_ns == rules[i].interval_ns)
                return STATUS_INVALID;
            schedule->rules[at] = schedule->rules[at - 1];
        }
        schedule->rules[at] = rules[i];
    }
    schedule->count = count;
    return STATUS_OK;
}

struct setting {
    const char *volume;
    const struct lfsx_schedule_rule *rules;
    uint32_t count;
};

static enum status put_rules(struct lfsx_transaction *t, uint64_t dataset,
                             const struct schedule *schedule) {
    struct key tree_key = catalog_schedule_key(dataset);
    struct mvcc_key key = records_key(&tree_key);
    struct disk_schedule_rule rules[DISK_SCHEDULE_RULES_MAX];
    if (schedule->count == 0)
        return catalog_delete_if_there(t, &tree_key);
    for (uint32_t i = 0; i < schedule->count; i++)
        rules[i] = (struct disk_schedule_rule){le64_make(schedule->rules[i].interval_ns),
                                               le64_make(schedule->rules[i].keep)};
    t->takes_space = true;
    return mvcc_write(t->records, &key, rules, schedule->count * sizeof *rules);
}

static enum status set(struct lfsx_transaction *t, void *context) {
    const struct setting *wish = context;
    struct schedule schedule;
    struct catalog_named named;
    enum status status = sort_rules(wish->rules, wish->count, &schedule);
    if (status == STATUS_OK)
        status = catalog_name_present(t, wish->volume, &named);
    return status == STATUS_OK ? put_rules(t, named.entry.target, &schedule) : status;
}

static enum status do_set(struct lfsx_transaction *t, void *context) {
    return transaction_do(t, set, context);
}

enum status lfsx_transaction_schedule_set(struct lfsx_transaction *t, const char *volume,
                                          const struct lfsx_schedule_rule *rules, uint32_t count) {
    struct setting wish = {volume, rules, count};
    return do_set(t, &wish);
}

enum status lfsx_schedule_set(struct lfsx_pool *pool, const char *volume,
                              const struct lfsx_schedule_rule *rules, uint32_t count) {
    struct setting wish = {volume, rules, count};
    return transaction_run(pool, false, do_set, &wish);
}

enum status lfsx_schedule_get(struct lfsx_pool *pool, const char *volume,
                              struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX],
                              uint32_t *count) {
    os_rwlock_lock_shared(&pool->lock);
    struct dataset *d = dataset_find(pool, volume);
    if (d != NULL) {
        memcpy(rules, d->schedule.rules, sizeof d->schedule.rules);
        *count = d->schedule.count;
    }
    os_rwlock_unlock_shared(&pool->lock);
    return d == NULL ? STATUS_NOT_FOUND : STATUS_OK;
}
