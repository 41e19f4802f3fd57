/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of lfsx_print() share. It believes nothing: a part that is damaged is printed as
 * far as it can be, and said to be so.
 */
#ifndef STORAGE_LFSX_PRINT_PRINT_INTERNAL_H
#define STORAGE_LFSX_PRINT_PRINT_INTERNAL_H

#include "storage/lfsx/format/super.h"
#include "storage/lfsx/lfsx_print.h"

#include <stdbool.h>
#include <stdint.h>

struct print {
    struct blockdev *device;
    lfsx_print_line *line;
    void *context;
    struct label label; /* its geometry is guessed if both copies are damaged */
    struct ring ring;
    struct superblock super; /* the newest one that is valid */
    bool has_super;
};

#define PRINT_UUID_SIZE 33
#define PRINT_TIME_SIZE 40
#define PRINT_NAME_SIZE (4 * LFSX_NAME_MAX + 1)
#define PRINT_POINTER_SIZE 96

/* ---- print.c ---- */

/* One line, two spaces to the right for each step of `depth`. */
void print_line(struct print *print, unsigned depth, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Each returns `out`. Bytes that are no clean text become '?'. */
const char *print_uuid(char *out, const uint8_t *uuid);
const char *print_time(char *out, uint64_t ns);
const char *print_name(char *out, const uint8_t *name, size_t length);
const char *print_pointer(char *out, const struct pointer *pointer);

/* ---- print/super.c ---- */

enum status print_label(struct print *print, const char *argument);
enum status print_superblocks(struct print *print, const char *argument);
enum status print_superblock(struct print *print, const char *argument);
/* A number in decimal, whole. */
bool print_parse(const char *text, uint64_t *number);

/* ---- print/item.c ---- */

/* Header and items of a node, or of as many as can be told. */
void print_node_content(struct print *print, unsigned depth, const struct disk_node *node);
void print_item(struct print *print, unsigned depth, const struct item *item);

/* ---- print/tree.c ---- */

enum status print_node(struct print *print, const char *argument);
enum status print_tree(struct print *print, const char *argument);
enum status print_dataset(struct print *print, const char *argument);
enum status print_snapshots(struct print *print, const char *argument);
enum status print_dead(struct print *print, const char *argument);

/* ---- print/map.c ---- */

enum status print_map(struct print *print, const char *argument);

/* ---- print/journal.c ---- */

enum status print_journal(struct print *print, const char *argument);

#endif
