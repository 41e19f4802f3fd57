/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: making one, and files into and out of it. */
#include "base/format.h"
#include "storage/lfsx/lfsx_share.h"
#include "tools/lfsx/commands.h"
#include "tools/text/json.h"
#include "tools/text/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define MODE_FILE 0644u
#define MODE_DIRECTORY 0755u

static enum status tell(enum status status, const char *word) {
    if (status != STATUS_OK)
        complain(word, status_text(status));
    return status;
}

/* A path's last name, and the directory that it is in. */
struct place {
    uint64_t directory;
    struct lfsx_name name;
};

static enum status find_place(struct lfsx_share *share, char *path, struct place *place) {
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        path[--length] = '\0';
    char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    place->name = (struct lfsx_name){name, strlen(name)};
    place->directory = LFSX_ROOT;
    if (slash == NULL)
        return STATUS_OK;
    *slash = '\0';
    enum status status = lfsx_share_resolve(share, path, &place->directory);
    *slash = '/';
    return status;
}

static struct lfsx_owner owner_of_new(uint32_t mode) {
    return (struct lfsx_owner){.mode = mode, .uid = (uint32_t)getuid(), .gid = (uint32_t)getgid()};
}

/* ---- put and get ---- */

/* A place to read or write; "-" is the program's own. */
static FILE *open_stream(const char *path, bool to_read) {
    if (strcmp(path, "-") == 0)
        return to_read ? stdin : stdout;
    FILE *stream = fopen(path, to_read ? "rb" : "wb");
    if (stream == NULL)
        complain(path, strerror(errno));
    return stream;
}

static enum status close_stream(FILE *stream, const char *path, enum status status) {
    bool failed = ferror(stream) != 0 || fflush(stream) != 0;
    if (stream != stdin && stream != stdout && fclose(stream) != 0)
        failed = true;
    if (failed && status == STATUS_OK)
        return complain(path, "reading or writing it failed");
    return status;
}

/* Copies what the stream has, a piece at a time, up to its end. */
static enum status copy_in(FILE *stream, struct lfsx_file *file) {
    uint64_t offset = 0;
    for (;;) {
        static char piece[PIECE];
        size_t length = fread(piece, 1, sizeof piece, stream);
        if (length == 0)
            return STATUS_OK;
        struct lfsx_buffer *buffer;
        enum status status = lfsx_buffer_alloc(offset, (uint32_t)length, &buffer);
        if (status != STATUS_OK)
            return status;
        const char *from = piece;
        for (uint32_t i = 0; i < buffer->span_count; i++) {
            memcpy(buffer->spans[i].base, from, buffer->spans[i].length);
            from += buffer->spans[i].length;
        }
        status = lfsx_file_write(file, buffer, 0);
        lfsx_buffer_free(buffer);
        if (status != STATUS_OK)
            return status;
        offset += length;
    }
}

static enum status copy_out(struct lfsx_file *file, FILE *stream) {
    uint32_t length = PIECE;
    for (uint64_t offset = 0; length == PIECE; offset += length) {
        struct lfsx_buffer *buffer;
        enum status status = lfsx_buffer_alloc(offset, PIECE, &buffer);
        if (status == STATUS_OK)
            status = lfsx_file_read(file, buffer, &length);
        uint32_t left = status == STATUS_OK ? length : 0;
        for (uint32_t i = 0; left > 0; i++) {
            uint32_t here = buffer->spans[i].length < left ? buffer->spans[i].length : left;
            (void)fwrite(buffer->spans[i].base, 1, here, stream); /* close_stream() tells */
            left -= here;
        }
        lfsx_buffer_free(buffer);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The file at the place, empty: made if it is not there. */
static enum status open_empty(struct lfsx_share *share, const struct place *place,
                              struct lfsx_file **file) {
    uint64_t inode;
    struct lfsx_owner owner = owner_of_new(MODE_FILE);
    enum status status = lfsx_share_lookup(share, place->directory, place->name, &inode);
    if (status == STATUS_NOT_FOUND)
        status = lfsx_share_create_file(share, place->directory, place->name, &owner, &inode, 0);
    if (status == STATUS_OK)
        status = lfsx_file_open(share, inode, file);
    if (status != STATUS_OK)
        return status;
    status = lfsx_file_truncate(*file, 0, 0);
    if (status != STATUS_OK)
        lfsx_file_close(*file);
    return status;
}

static enum status put(struct lfsx_share *share, const struct words *words) {
    struct place place;
    struct lfsx_file *file;
    FILE *stream = open_stream(words->at[2], true);
    if (stream == NULL)
        return STATUS_IO;
    enum status status = find_place(share, words->at[1], &place);
    if (status == STATUS_OK)
        status = open_empty(share, &place, &file);
    if (status == STATUS_OK) {
        status = copy_in(stream, file);
        lfsx_file_close(file);
    }
    return close_stream(stream, words->at[2], tell(status, words->at[1]));
}

static enum status get(struct lfsx_share *share, const struct words *words) {
    uint64_t inode;
    struct lfsx_file *file;
    enum status status = lfsx_share_resolve(share, words->at[1], &inode);
    if (status == STATUS_OK)
        status = lfsx_file_open(share, inode, &file);
    if (status != STATUS_OK)
        return tell(status, words->at[1]);
    FILE *stream = open_stream(words->at[2], false);
    status = STATUS_IO;
    if (stream != NULL)
        status = close_stream(stream, words->at[2], tell(copy_out(file, stream), words->at[1]));
    lfsx_file_close(file);
    return status;
}

/* ---- names ---- */

static enum status make_directory(struct lfsx_share *share, const struct words *words) {
    struct place place;
    uint64_t inode;
    struct lfsx_owner owner = owner_of_new(MODE_DIRECTORY);
    enum status status = find_place(share, words->at[1], &place);
    if (status == STATUS_OK)
        status = lfsx_share_mkdir(share, place.directory, place.name, &owner, &inode, 0);
    return tell(status, words->at[1]);
}

static enum status remove_name(struct lfsx_share *share, const struct words *words) {
    struct place place;
    enum status status = find_place(share, words->at[1], &place);
    if (status == STATUS_OK)
        status = lfsx_share_unlink(share, place.directory, place.name, 0);
    if (status == STATUS_IS_DIRECTORY)
        status = lfsx_share_rmdir(share, place.directory, place.name, 0);
    return tell(status, words->at[1]);
}

static enum status move_name(struct lfsx_share *share, const struct words *words) {
    struct place from;
    struct place to;
    enum status status = find_place(share, words->at[1], &from);
    if (status == STATUS_OK)
        status = find_place(share, words->at[2], &to);
    if (status == STATUS_OK)
        status = lfsx_share_rename(share, from.directory, from.name, to.directory, to.name, 0);
    return tell(status, words->at[1]);
}

/* ---- listing ---- */

static const char *const kinds[] = {"file", "directory", "link"};

/* A name may hold anything, but a line end. */
static void print_name(const char *name) {
    for (const char *at = name; *at != '\0'; at++)
        putchar((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at);
    putchar('\n');
}

static void show(const struct lfsx_attributes *a, const char *name, bool json, bool later) {
    char size[FORMAT_BYTES_SIZE];
    char time[TIME_TEXT_SIZE];
    if (json) {
        printf("%s\n{\"name\": ", later ? "," : "");
        json_print_string(name);
        printf(
            ", \"kind\": \"%s\", \"inode\": %" PRIu64 ", \"mode\": %u, \"links\": %u, \"uid\": %u"
            ", \"gid\": %u, \"size\": %" PRIu64 ", \"modified_ns\": %" PRIu64 "}",
            kinds[a->kind], a->inode, a->mode, a->links, a->uid, a->gid, a->size, a->modified_ns);
        return;
    }
    printf("%-9s %04o %5u %5u %10s  %s  ", kinds[a->kind], a->mode, a->uid, a->gid,
           format_bytes(size, a->size), time_text(time, a->modified_ns));
    print_name(name);
}

/* A name that leads to nothing: in a snapshot a repair leaves it, since what it named was lost. */
static void show_lost(const struct lfsx_entry *entry, bool json, bool later) {
    if (json) {
        printf("%s\n{\"name\": ", later ? "," : "");
        json_print_string(entry->name);
        printf(", \"kind\": \"%s\", \"inode\": %" PRIu64 ", \"lost\": true}", kinds[entry->kind],
               entry->inode);
        return;
    }
    printf("%-9s %4s %5s %5s %10s  %-20s  ", kinds[entry->kind], "lost", "", "", "", "");
    print_name(entry->name);
}

/* Counts what is lost. */
static enum status show_directory(struct lfsx_share *share, uint64_t directory, bool json,
                                  uint64_t *lost) {
    static struct lfsx_entry entries[LFSX_READDIR_MAX];
    uint64_t cookie = 0;
    size_t count = 0;
    bool later = false;
    do {
        enum status status =
            lfsx_share_readdir(share, directory, cookie, entries, LFSX_READDIR_MAX, &count);
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            struct lfsx_attributes attributes;
            status = lfsx_share_getattr(share, entries[i].inode, &attributes);
            if (status == STATUS_OK)
                show(&attributes, entries[i].name, json, later);
            if (status == STATUS_NOT_FOUND) {
                show_lost(&entries[i], json, later);
                ++*lost;
                status = STATUS_OK;
            }
            later = true;
        }
        if (status != STATUS_OK)
            return status;
        if (count > 0)
            cookie = entries[count - 1].cookie;
    } while (count > 0);
    return STATUS_OK;
}

static enum status list_files(struct lfsx_share *share, const struct words *words) {
    const char *path = words->count > 1 ? words->at[1] : "";
    struct lfsx_attributes attributes;
    uint64_t inode;
    uint64_t lost = 0;
    enum status status = lfsx_share_resolve(share, path, &inode);
    if (status == STATUS_OK)
        status = lfsx_share_getattr(share, inode, &attributes);
    if (status != STATUS_OK)
        return tell(status, path);
    if (words->json)
        printf("[");
    if (attributes.kind == LFSX_DIRECTORY)
        status = show_directory(share, inode, words->json, &lost);
    else
        show(&attributes, path, words->json, false);
    if (words->json)
        printf("]\n");
    if (status == STATUS_OK && lost > 0)
        return complain(words->at[0], "not all of what was named there could be repaired");
    return tell(status, path);
}

/* ---- commands ---- */

static enum status on_share(struct lfsx_pool *pool, const struct words *words,
                            enum status (*run)(struct lfsx_share *share,
                                               const struct words *words)) {
    struct lfsx_share *share;
    enum status status = lfsx_share_open(pool, words->at[0], &share);
    if (status != STATUS_OK)
        return tell(status, words->at[0]);
    status = run(share, words);
    lfsx_share_close(share);
    return status;
}

enum status share_create(struct lfsx_pool *pool, const struct words *words) {
    if (!is_name(words->at[0]))
        return STATUS_INVALID;
    return tell(lfsx_share_create(pool, words->at[0]), words->at[0]);
}

enum status share_list(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, list_files);
}

enum status share_put(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, put);
}

enum status share_get(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, get);
}

enum status share_mkdir(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, make_directory);
}

enum status share_remove(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, remove_name);
}

enum status share_move(struct lfsx_pool *pool, const struct words *words) {
    return on_share(pool, words, move_name);
}
