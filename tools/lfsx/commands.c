/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lfsx/commands.h"

#include "base/format.h"
#include "storage/lfsx/lfsx_share.h"
#include "storage/lfsx/lfsx_space.h"
#include "tools/text/size.h"
#include "tools/text/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Says why a thing could not be done. */
static enum status tell(enum status status, const char *word) {
    if (status != STATUS_OK)
        complain(word, status_text(status));
    return status;
}

/* Says what is wrong with a thing: `known` if that is the status, else what the status means. */
static enum status tell_known(enum status status, const char *word, enum status expected,
                              const char *known) {
    if (status == expected)
        complain(word, known);
    else
        tell(status, word);
    return status;
}

static enum status create(struct lfsx_pool *pool, const struct words *words) {
    uint64_t size;
    if (!is_name(words->at[0]))
        return STATUS_INVALID;
    if (!size_parse(words->at[1], &size))
        return complain(words->at[1], "this is not a size; write it like 512M or 4G");
    enum status status = lfsx_volume_create(pool, words->at[0], size);
    if (status == STATUS_INVALID)
        return complain(words->at[1], "a volume has 512 bytes to 4E, in multiples of 512 bytes");
    return tell(status, words->at[0]);
}

static enum status resize(struct lfsx_pool *pool, const struct words *words) {
    uint64_t size;
    if (!size_parse(words->at[1], &size))
        return complain(words->at[1], "this is not a size; write it like 512M or 4G");
    uint32_t flags = words->shrink ? LFSX_RESIZE_SHRINK : 0;
    enum status status = lfsx_volume_resize(pool, words->at[0], size, flags);
    if (status == STATUS_INVALID && !words->shrink)
        return complain(words->at[0],
                        "it can get larger, by multiples of 512 bytes; --shrink gives "
                        "up what lies behind a smaller size");
    return tell(status, words->at[0]);
}

/* Why what is in use cannot be deleted. */
static const char *in_use_by(const struct words *words) {
    if (strchr(words->at[0], '@') != NULL)
        return "a clone depends on it: lfsx list shows which; delete the clone first";
    return words->snapshots
               ? "a clone depends on one of its snapshots: lfsx list shows which; delete the clone "
                 "first"
               : "it has snapshots; --snapshots deletes them, too";
}

static enum status take_away(struct lfsx_pool *pool, const struct words *words) {
    const char *at = strchr(words->at[0], '@');
    uint32_t flags =
        (words->snapshots ? LFSX_DELETE_SNAPSHOTS : 0) | (words->now ? LFSX_DELETE_NOW : 0);
    enum status status;
    if (at == NULL) {
        status = lfsx_volume_delete(pool, words->at[0], flags);
        if (status == STATUS_NOT_FOUND)
            status = lfsx_share_delete(pool, words->at[0], flags);
    } else {
        char *volume = strndup(words->at[0], (size_t)(at - words->at[0]));
        status = volume == NULL ? STATUS_NO_MEMORY : lfsx_snapshot_delete(pool, volume, at + 1);
        free(volume);
    }
    if (status == STATUS_BUSY)
        return complain(words->at[0], in_use_by(words));
    if (status == STATUS_PERMISSION)
        return complain(words->at[0], "it is protected; lfsx protect POOL VOLUME off");
    if (status == STATUS_OK) /* so that what it held is free when the program ends */
        status = lfsx_pool_settle(pool);
    return tell(status, words->at[0]);
}

/* "none" or a size. */
static bool parse_bound(const char *word, uint64_t *bytes) {
    *bytes = 0;
    bool good = strcmp(word, "none") == 0 || (size_parse(word, bytes) && *bytes > 0);
    if (!good)
        complain(word, "write a size like 512M or 4G, or none");
    return good;
}

static enum status quota(struct lfsx_pool *pool, const struct words *words) {
    uint64_t bytes;
    if (!parse_bound(words->at[1], &bytes))
        return STATUS_INVALID;
    enum status status = lfsx_dataset_set_quota(pool, words->at[0], bytes);
    if (status == STATUS_INVALID)
        return complain(words->at[1], "a quota is a multiple of 4K, and not less than what is "
                                      "reserved");
    return tell(status, words->at[0]);
}

static enum status reserve(struct lfsx_pool *pool, const struct words *words) {
    uint64_t bytes;
    if (!parse_bound(words->at[1], &bytes))
        return STATUS_INVALID;
    enum status status = lfsx_dataset_set_reservation(pool, words->at[0], bytes);
    if (status == STATUS_INVALID)
        return complain(words->at[1], "a reservation is a multiple of 4K, and not more than the "
                                      "quota");
    return tell(status, words->at[0]);
}

static enum status grow(struct lfsx_pool *pool, const struct words *words) {
    (void)words;
    enum status status = lfsx_pool_grow(pool);
    struct lfsx_pool_info info;
    char size[FORMAT_BYTES_SIZE];
    lfsx_pool_info(pool, &info);
    if (status == STATUS_OK)
        printf("the pool has %s\n", format_bytes(size, info.size_bytes));
    return tell(status, "grow");
}

/* Whose fault it was when a thing should get a new name. */
static enum status tell_named(enum status status, const char *word, const char *new_name) {
    return tell(status, status == STATUS_EXISTS ? new_name : word);
}

static enum status rename_volume(struct lfsx_pool *pool, const struct words *words) {
    if (!is_name(words->at[1]))
        return STATUS_INVALID;
    return tell_named(lfsx_volume_rename(pool, words->at[0], words->at[1]), words->at[0],
                      words->at[1]);
}

static bool see_name(void *context, const struct lfsx_snapshot_info *info) {
    const char **name = context;
    if (strcmp(info->name, *name) == 0)
        *name = NULL;
    return *name != NULL;
}

/* The first of the volumes that is not there, or has such a snapshot; NULL if none is like that. */
static const char *find_culprit(struct lfsx_pool *pool, const struct words *words,
                                enum status status) {
    for (int i = 1; i < words->count; i++) {
        const char *name = words->at[0];
        enum status found = lfsx_snapshot_list(pool, words->at[i], see_name, &name);
        if (status == (found == STATUS_OK && name == NULL ? STATUS_EXISTS : found))
            return words->at[i];
    }
    return NULL;
}

static enum status snapshot(struct lfsx_pool *pool, const struct words *words) {
    if (!is_name(words->at[0]))
        return STATUS_INVALID;
    enum status status = lfsx_snapshot_create(pool, (const char *const *)words->at + 1,
                                              (uint32_t)words->count - 1, words->at[0], 0);
    if (status == STATUS_OK)
        return status;
    if (status == STATUS_INVALID)
        return complain(words->at[0], "no snapshot was taken: a volume is named twice");
    const char *culprit = find_culprit(pool, words, status);
    return tell_known(status, culprit == NULL ? words->at[0] : culprit, STATUS_EXISTS,
                      "no snapshot was taken: it has one of this name already");
}

/* Takes "VOLUME@SNAPSHOT" apart, in place. */
static bool split(char *word, const char **volume, const char **snapshot_name) {
    char *at = strchr(word, '@');
    if (at == NULL) {
        complain(word, "write it as VOLUME@SNAPSHOT");
        return false;
    }
    *at = '\0';
    *volume = word;
    *snapshot_name = at + 1;
    return true;
}

/* Undoes it: split() left no other zero in the word. */
static void join(char *word) {
    word[strlen(word)] = '@';
}

static enum status clone(struct lfsx_pool *pool, const struct words *words) {
    const char *volume;
    const char *name;
    if (!is_name(words->at[1]) || !split(words->at[0], &volume, &name))
        return STATUS_INVALID;
    enum status status = lfsx_clone_create(pool, volume, name, words->at[1]);
    join(words->at[0]);
    return tell_named(status, words->at[0], words->at[1]);
}

static enum status rollback(struct lfsx_pool *pool, const struct words *words) {
    const char *volume;
    const char *name;
    if (!is_name(words->at[1]) || !split(words->at[0], &volume, &name))
        return STATUS_INVALID;
    enum status status = lfsx_volume_rollback(pool, volume, name, words->at[1]);
    join(words->at[0]);
    return tell_named(status, words->at[0], words->at[1]);
}

static enum status rewind_volume(struct lfsx_pool *pool, const struct words *words) {
    uint64_t ns;
    if (!is_name(words->at[2]))
        return STATUS_INVALID;
    struct lfsx_snapshot_info *info = malloc(sizeof *info);
    if (info == NULL)
        return tell(STATUS_NO_MEMORY, words->at[0]);
    if (!time_parse(words->at[1], &ns)) {
        free(info);
        return complain(words->at[1], "this is not a time; write it like 2026-11-21T14:00:00");
    }
    enum status status = lfsx_snapshot_at(pool, words->at[0], ns, info);
    if (status == STATUS_NOT_FOUND) {
        free(info);
        return complain(words->at[0], "it is not there, or has no snapshot at or before this time");
    }
    if (status == STATUS_OK)
        status = lfsx_volume_rollback(pool, words->at[0], info->name, words->at[2]);
    if (status == STATUS_OK)
        printf("%s is as it was in %s@%s\n", words->at[0], words->at[2], info->name);
    free(info);
    return tell_named(status, words->at[0], words->at[2]);
}

static bool parse_number(const char *word, uint64_t *id) {
    char *end;
    *id = strtoull(word, &end, 10);
    bool good = *end == '\0' && end != word;
    if (!good)
        complain(word, "write the number that lfsx list shows");
    return good;
}

static enum status purge(struct lfsx_pool *pool, const struct words *words) {
    uint64_t id;
    if (!parse_number(words->at[0], &id))
        return STATUS_INVALID;
    enum status status = lfsx_deleted_purge(pool, id);
    if (status == STATUS_BUSY)
        return complain(words->at[0], "one of its snapshots has a clone");
    if (status == STATUS_OK)
        status = lfsx_pool_settle(pool);
    return tell(status, words->at[0]);
}

static enum status undelete(struct lfsx_pool *pool, const struct words *words) {
    uint64_t id;
    if (!parse_number(words->at[0], &id))
        return STATUS_INVALID;
    const char *name = words->count > 1 ? words->at[1] : NULL;
    if (name != NULL && !is_name(name))
        return STATUS_INVALID;
    return tell_known(lfsx_volume_undelete(pool, id, name), words->at[0], STATUS_EXISTS,
                      "its name is taken; write another one behind the number");
}

static enum status protect(struct lfsx_pool *pool, const struct words *words) {
    uint64_t keep = 0;
    bool on = strcmp(words->at[1], "on") == 0;
    if (!on && strcmp(words->at[1], "off") != 0)
        return complain(words->at[1], "write on or off");
    if (words->count > 2 && !duration_parse(words->at[2], &keep))
        return complain(words->at[2], "this is not a duration; write it like 12h or 7d");
    return tell(lfsx_volume_protect(pool, words->at[0], on, keep), words->at[0]);
}

/* "1h=24": a snapshot each hour, of the last 24. */
static bool parse_rule(char *word, struct lfsx_schedule_rule *rule) {
    char *equals = strchr(word, '=');
    char *end = NULL;
    bool good = equals != NULL;
    if (good) {
        *equals = '\0';
        rule->keep = strtoull(equals + 1, &end, 10);
        good = *end == '\0' && end != equals + 1 && duration_parse(word, &rule->interval_ns);
        *equals = '=';
    }
    if (!good)
        complain(word, "write it as INTERVAL=COUNT, for example 1h=24");
    return good;
}

static enum status schedule(struct lfsx_pool *pool, const struct words *words) {
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count = (uint32_t)words->count - 1;
    if (count > LFSX_SCHEDULE_RULES_MAX)
        return complain(words->at[0], "a schedule has at most 32 rules");
    for (uint32_t i = 0; i < count; i++)
        if (!parse_rule(words->at[i + 1], &rules[i]))
            return STATUS_INVALID;
    enum status status = lfsx_schedule_set(pool, words->at[0], rules, count);
    if (status == STATUS_INVALID)
        return complain(words->at[0],
                        "intervals are a second or more, each once; counts 1 or more");
    return tell(status, words->at[0]);
}

const struct command commands[] = {
    {"list", 0, 0, true, "[--json]", "show volumes, snapshots and what they take", list_run},
    {"create", 2, 2, false, "VOLUME SIZE", "make a thin volume", create},
    {"resize", 2, 2, false, "VOLUME SIZE [--shrink]",
     "give it another size, a smaller one only with --shrink", resize},
    {"quota", 2, 2, false, "VOLUME SIZE|none",
     "let it hold so much data at most, what snapshots hold not counted", quota},
    {"reserve", 2, 2, false, "VOLUME SIZE|none",
     "make sure that it gets so much space, whatever others take", reserve},
    {"grow", 0, 0, false, "", "let the pool use all of a disk or image that has become larger",
     grow},
    {"rename", 2, 2, false, "VOLUME NAME", "give it another name", rename_volume},
    {"delete", 1, 1, false, "VOLUME|VOLUME@SNAPSHOT [--snapshots] [--now]",
     "delete it, with its snapshots, and so that it cannot be brought back", take_away},
    {"undelete", 1, 2, false, "NUMBER [NAME]", "bring back a deleted volume", undelete},
    {"purge", 1, 1, false, "NUMBER", "give up a deleted volume or share now, with its snapshots",
     purge},
    {"protect", 2, 3, false, "VOLUME on|off [DURATION]",
     "refuse to delete it; keep it so long after it was deleted", protect},
    {"snapshot", 2, -1, false, "NAME VOLUME...",
     "take a snapshot of all these volumes in one instant", snapshot},
    {"clone", 2, 2, false, "VOLUME@SNAPSHOT NAME", "make a volume that begins as the snapshot was",
     clone},
    {"rollback", 2, 2, false, "VOLUME@SNAPSHOT KEEP_AS",
     "take a volume back; what it is now is kept as KEEP_AS", rollback},
    {"rewind", 3, 3, false, "VOLUME TIME KEEP_AS",
     "the same, to its newest snapshot at or before a time", rewind_volume},
    {"schedule", 1, -1, false, "VOLUME [INTERVAL=COUNT]...",
     "take snapshots by itself: one in each interval, of so many intervals", schedule},
    {"share", 1, 1, false, "SHARE", "make an empty share, a tree of directories and files",
     share_create},
    {"ls", 1, 2, true, "SHARE|SHARE@SNAPSHOT [PATH] [--json]",
     "show what a directory of a share holds", share_list},
    {"put", 3, 3, false, "SHARE PATH FILE|-", "copy a file into a share", share_put},
    {"get", 3, 3, true, "SHARE|SHARE@SNAPSHOT PATH FILE|-",
     "copy a file out of a share or its snapshot", share_get},
    {"mkdir", 2, 2, false, "SHARE PATH", "make a directory in a share", share_mkdir},
    {"rm", 2, 2, false, "SHARE PATH", "remove a file or an empty directory of a share",
     share_remove},
    {"mv", 3, 3, false, "SHARE PATH PATH", "move a name in a share, replacing another", share_move},
    {NULL, 0, 0, false, NULL, NULL, NULL}};
