/* SPDX-License-Identifier: Apache-2.0 */
/* What the program can do with a pool that it has opened. */
#ifndef TOOLS_LFSX_COMMANDS_H
#define TOOLS_LFSX_COMMANDS_H

#include "storage/lfsx/lfsx_snapshot.h"

#include <stdbool.h>

/* The words behind the pool on the command line, options taken out. */
struct words {
    int count;
    char **at;
    bool snapshots; /* --snapshots */
    bool now;       /* --now */
    bool shrink;    /* --shrink */
    bool json;      /* --json */
    bool help;      /* --help */
};

struct command {
    const char *name;
    int least, most; /* words; most -1: any number */
    bool read_only;
    const char *usage; /* the words */
    const char *help;  /* what is done */
    enum status (*run)(struct lfsx_pool *pool, const struct words *words);
};

/* Ends with one without a name. */
extern const struct command commands[];

/* Says what is wrong with a word. */
enum status complain(const char *word, const char *what);

/* Whether a volume, share or snapshot can have this name; says it if not. */
bool is_name(const char *word);

/* list.c */
enum status list_run(struct lfsx_pool *pool, const struct words *words);

/* share.c */
enum status share_create(struct lfsx_pool *pool, const struct words *words);
enum status share_list(struct lfsx_pool *pool, const struct words *words);
enum status share_put(struct lfsx_pool *pool, const struct words *words);
enum status share_get(struct lfsx_pool *pool, const struct words *words);
enum status share_mkdir(struct lfsx_pool *pool, const struct words *words);
enum status share_remove(struct lfsx_pool *pool, const struct words *words);
enum status share_move(struct lfsx_pool *pool, const struct words *words);

#endif
