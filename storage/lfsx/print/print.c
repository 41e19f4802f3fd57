/* SPDX-License-Identifier: Apache-2.0 */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/print/print_internal.h"

#define LINE_SIZE 2048u
#define DAY_NS 86400000000000ull

void print_line(struct print *print, unsigned depth, const char *format, ...) {
    char text[LINE_SIZE];
    size_t indent = 2 * (size_t)depth;
    memset(text, ' ', indent);
    va_list arguments;
    va_start(arguments, format);
    format_text_v(text + indent, sizeof text - indent, format, arguments);
    va_end(arguments);
    print->line(print->context, text);
}

const char *print_uuid(char *out, const uint8_t *uuid) {
    for (unsigned i = 0; i < 16; i++)
        format_text(out + 2 * i, 3, "%02x", uuid[i]);
    return out;
}

/* The civil date of a day since 1970-01-01, by eras of 400 years that begin in March. */
static void civil(uint64_t day, uint64_t *year, unsigned *month, unsigned *of_month) {
    uint64_t z = day + 719468;
    uint64_t era = z / 146097;
    unsigned of_era = (unsigned)(z % 146097);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (5 * of_year + 2) / 153;
    *of_month = of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

const char *print_time(char *out, uint64_t ns) {
    if (ns == 0) {
        format_text(out, PRINT_TIME_SIZE, "0");
        return out;
    }
    uint64_t year;
    unsigned month, day;
    civil(ns / DAY_NS, &year, &month, &day);
    uint64_t seconds = ns % DAY_NS / 1000000000;
    format_text(out, PRINT_TIME_SIZE, "%04llu-%02u-%02uT%02llu:%02llu:%02llu.%09lluZ",
                (unsigned long long)year, month, day, (unsigned long long)seconds / 3600,
                (unsigned long long)seconds / 60 % 60, (unsigned long long)seconds % 60,
                (unsigned long long)ns % 1000000000);
    return out;
}

const char *print_name(char *out, const uint8_t *name, size_t length) {
    bool clean = text_is_valid((const char *)name, length);
    for (size_t i = 0; i < length; i++)
        out[i] = (char)(clean || (name[i] >= 0x20 && name[i] < 0x7f) ? name[i] : '?');
    out[length] = '\0';
    return out;
}

const char *print_pointer(char *out, const struct pointer *pointer) {
    if (pointer->block == 0)
        format_text(out, PRINT_POINTER_SIZE, "nothing");
    else
        format_text(out, PRINT_POINTER_SIZE, "block %llu level %u birth %llu checksum %016llx",
                    (unsigned long long)pointer->block, pointer->level,
                    (unsigned long long)pointer->birth, (unsigned long long)pointer->checksum);
    return out;
}

/* Without a label, the layout is taken to be that of the whole device. */
static enum status load_label(struct print *print) {
    enum status status = label_read(print->device, &print->label);
    if (status != STATUS_CORRUPT && status != STATUS_CHECKSUM && status != STATUS_NOT_LFSX)
        return status;
    print_line(print, 0, "there is no whole label: the layout is guessed from the device's size");
    return geometry_plan(print->device->size / DISK_BLOCK_SIZE, &print->label.geometry);
}

/* The newest valid superblock of either ring, although another one may have been newer. */
static void choose_superblock(struct print *print) {
    for (unsigned area = 0; area < 2; area++)
        for (unsigned i = 0; i < DISK_RING_SLOTS; i++) {
            const struct slot *slot = &print->ring.slots[area][i];
            if (slot->state != SLOT_VALID ||
                (print->has_super && slot->superblock.checkpoint <= print->super.checkpoint))
                continue;
            print->super = slot->superblock;
            print->has_super = true;
        }
}

static const struct kind {
    const char *what;
    enum { ARGUMENT_NONE, ARGUMENT_MAYBE, ARGUMENT_NEEDED } argument;
    bool needs_super;
    enum status (*print)(struct print *print, const char *argument);
} kinds[] = {
    {"label", ARGUMENT_NONE, false, print_label},
    {"superblocks", ARGUMENT_NONE, false, print_superblocks},
    {"superblock", ARGUMENT_NEEDED, false, print_superblock},
    {"map", ARGUMENT_NONE, true, print_map},
    {"node", ARGUMENT_NEEDED, false, print_node},
    {"tree", ARGUMENT_MAYBE, true, print_tree},
    {"dataset", ARGUMENT_NEEDED, true, print_dataset},
    {"snapshots", ARGUMENT_NONE, true, print_snapshots},
    {"dead", ARGUMENT_NONE, true, print_dead},
    {"journal", ARGUMENT_NONE, true, print_journal},
};

static const struct kind *find_kind(const char *what, const char *argument) {
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strcmp(kinds[i].what, what) == 0 &&
            (argument == NULL ? kinds[i].argument != ARGUMENT_NEEDED
                              : kinds[i].argument != ARGUMENT_NONE))
            return &kinds[i];
    return NULL;
}

static enum status run(struct print *print, const struct kind *kind, const char *argument) {
    enum status status = load_label(print);
    if (status == STATUS_OK)
        status = ring_read(print->device, &print->label, &print->ring);
    if (status != STATUS_OK)
        return status;
    choose_superblock(print);
    if (!kind->needs_super || print->has_super)
        return kind->print(print, argument);
    print_line(print, 0, "no superblock is valid");
    return STATUS_NOT_FOUND;
}

enum status lfsx_print(struct blockdev *device, const char *what, const char *argument,
                       lfsx_print_line *line, void *context) {
    const struct kind *kind = find_kind(what, argument);
    if (kind == NULL)
        return STATUS_INVALID;
    if (device->size / DISK_BLOCK_SIZE < DISK_MIN_DEVICE_BLOCKS)
        return STATUS_NOT_LFSX;
    struct print *print = os_alloc_zeroed(sizeof *print);
    if (print == NULL)
        return STATUS_NO_MEMORY;
    print->device = device;
    print->line = line;
    print->context = context;
    enum status status = run(print, kind, argument);
    os_free(print);
    return status;
}
