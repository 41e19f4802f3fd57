/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/everything_share.h"
#include "tests/fuzz/everything.h"

#define NAME "share"
#define SNAPSHOT "share@then"
#define FILES 30u /* in a directory of their own */
#define SIZE_MAX_FILE (6 * LFSX_BLOCK_SIZE)
#define LARGE (5 * LFSX_BLOCK_SIZE + 100)

enum state { THEN, NOW, STATES };

/* What stands under a path, in the snapshot and now. */
struct node {
    const char *path;
    enum lfsx_kind kind;
    bool is_there[STATES];
    uint32_t mode, links;
    uint32_t length; /* of a file or target */
    uint32_t xattr_length;
};

static const struct node nodes[] = {
    {"", LFSX_DIRECTORY, {true, true}, 0755, 1, 0, 20},
    {"documents", LFSX_DIRECTORY, {true, true}, 0750, 1, 0, 0},
    {"documents/large", LFSX_REGULAR, {true, true}, 0640, 1, LARGE, 2500},
    {"documents/small", LFSX_REGULAR, {true, true}, 0600, 2, 10, 0},
    {"second", LFSX_REGULAR, {true, true}, 0600, 2, 10, 0},
    {"short", LFSX_SYMLINK, {true, false}, 0777, 1, 9, 0},
    {"long", LFSX_SYMLINK, {true, true}, 0777, 1, 2500, 1},
    {"more", LFSX_DIRECTORY, {false, true}, 0711, 1, 0, 0},
    {"new", LFSX_REGULAR, {false, true}, 0644, 1, 3000, 0},
};

static struct lfsx_name to_name(const char *text) {
    return (struct lfsx_name){text, strlen(text)};
}

/* The bytes of a file, target or attribute: no zeros, which a target must not have. */
static void fill(const char *seed, unsigned char *bytes, size_t length) {
    struct random random = {length};
    for (const char *at = seed; *at != '\0'; at++)
        random.state = random.state * 31 + (unsigned char)*at;
    random_fill(&random, bytes, length);
    for (size_t i = 0; i < length; i++)
        bytes[i] |= 1;
}

/* Of the large file a block is a hole, and another one was written anew after the snapshot. */
static void file_bytes(const struct node *node, enum state state, unsigned char *bytes) {
    fill(strcmp(node->path, "second") == 0 ? "documents/small" : node->path, bytes, node->length);
    if (node->length != LARGE)
        return;
    memset(bytes + 2 * LFSX_BLOCK_SIZE, 0, LFSX_BLOCK_SIZE);
    if (state == NOW)
        fill("anew", bytes + LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE);
}

static const struct node *find(const char *path) {
    for (size_t i = 0; i < ARRAY_LENGTH(nodes); i++)
        if (strcmp(nodes[i].path, path) == 0)
            return &nodes[i];
    return NULL;
}

/* ---- making it ---- */

static void write_file(struct lfsx_share *share, uint64_t inode, uint64_t offset,
                       const unsigned char *bytes, uint32_t length, uint32_t flags) {
    struct lfsx_file *file;
    struct lfsx_buffer *buffer;
    REQUIRE(lfsx_file_open(share, inode, &file) == STATUS_OK);
    REQUIRE(lfsx_buffer_alloc(offset, length, &buffer) == STATUS_OK);
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        memcpy(buffer->spans[i].base, bytes, buffer->spans[i].length);
        bytes += buffer->spans[i].length;
    }
    REQUIRE(lfsx_file_write(file, buffer, flags) == STATUS_OK);
    lfsx_buffer_free(buffer);
    lfsx_file_close(file);
}

static void set_xattr(struct lfsx_share *share, uint64_t inode, const struct node *node) {
    static unsigned char value[LFSX_BLOCK_SIZE];
    fill("value", value, node->xattr_length);
    if (node->xattr_length > 0)
        REQUIRE(lfsx_share_xattr_set(share, inode, to_name("user.note"), value, node->xattr_length,
                                     0) == STATUS_OK);
}

static void make(struct lfsx_share *share, const char *path) {
    static unsigned char bytes[SIZE_MAX_FILE];
    const struct node *node = find(path);
    struct lfsx_owner owner = {.mode = node->mode, .uid = 1000, .gid = 100};
    const char *slash = strrchr(path, '/');
    uint64_t directory = LFSX_ROOT;
    uint64_t inode;
    struct lfsx_name name = to_name(slash == NULL ? path : slash + 1);
    if (slash != NULL)
        REQUIRE(lfsx_share_resolve(share, "documents", &directory) == STATUS_OK);
    file_bytes(node, THEN, bytes);
    if (node->kind == LFSX_DIRECTORY)
        REQUIRE(lfsx_share_mkdir(share, directory, name, &owner, &inode, 0) == STATUS_OK);
    else if (node->kind == LFSX_SYMLINK)
        REQUIRE(lfsx_share_symlink(share, directory, name,
                                   (struct lfsx_name){(char *)bytes, node->length}, &owner, &inode,
                                   0) == STATUS_OK);
    else
        REQUIRE(lfsx_share_create_file(share, directory, name, &owner, &inode, LFSX_FUA) ==
                STATUS_OK);
    if (node->kind == LFSX_REGULAR)
        write_file(share, inode, 0, bytes, node->length, LFSX_FUA);
    set_xattr(share, inode, node);
}

static uint64_t resolve(struct lfsx_share *share, const char *path) {
    uint64_t inode;
    REQUIRE(lfsx_share_resolve(share, path, &inode) == STATUS_OK);
    return inode;
}

struct lfsx_share *everything_share_begin(struct lfsx_pool *pool) {
    struct lfsx_share *share;
    struct lfsx_file *file;
    REQUIRE(lfsx_share_create(pool, NAME) == STATUS_OK);
    REQUIRE(lfsx_share_open(pool, NAME, &share) == STATUS_OK);
    set_xattr(share, LFSX_ROOT, find(""));
    make(share, "documents");
    make(share, "documents/large");
    make(share, "documents/small");
    make(share, "short");
    make(share, "long");
    REQUIRE(lfsx_share_link(share, resolve(share, "documents/small"), LFSX_ROOT, to_name("second"),
                            0) == STATUS_OK);
    REQUIRE(lfsx_file_open(share, resolve(share, "documents/large"), &file) == STATUS_OK);
    REQUIRE(lfsx_file_zero(file, 2 * LFSX_BLOCK_SIZE, LFSX_BLOCK_SIZE, 0) == STATUS_OK);
    lfsx_file_close(file);
    return share;
}

static void make_files(struct lfsx_share *share) {
    uint64_t directory = resolve(share, "more");
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        uint64_t inode;
        struct lfsx_owner owner = {.mode = i, .uid = i, .gid = i};
        snprintf(name, sizeof name, "file %u", i);
        REQUIRE(lfsx_share_create_file(share, directory, to_name(name), &owner, &inode, 0) ==
                STATUS_OK);
    }
}

struct lfsx_file *everything_share_change(struct lfsx_share *share) {
    static unsigned char anew[LFSX_BLOCK_SIZE];
    struct lfsx_file *removed;
    fill("anew", anew, sizeof anew);
    write_file(share, resolve(share, "documents/large"), LFSX_BLOCK_SIZE, anew, sizeof anew, 0);
    REQUIRE(lfsx_share_unlink(share, LFSX_ROOT, to_name("short"), 0) == STATUS_OK);
    make(share, "more");
    make_files(share);
    uint64_t inode;
    struct lfsx_owner owner = {.mode = 0600};
    REQUIRE(lfsx_share_create_file(share, LFSX_ROOT, to_name("open"), &owner, &inode, 0) ==
            STATUS_OK);
    write_file(share, inode, 0, anew, sizeof anew, 0);
    REQUIRE(lfsx_file_open(share, inode, &removed) == STATUS_OK);
    REQUIRE(lfsx_share_unlink(share, LFSX_ROOT, to_name("open"), 0) == STATUS_OK);
    return removed;
}

void everything_share_record(struct lfsx_share *share) {
    make(share, "new");
}

/* ---- reading it ---- */

struct reading {
    struct lfsx_share *share;
    enum state state;
    uint64_t errors;
};

/* Whether it worked; nothing but damage may keep it from working. */
static bool works(struct reading *reading, enum status status) {
    REQUIRE(status == STATUS_OK || everything_is_damage(status));
    reading->errors += status != STATUS_OK;
    return status == STATUS_OK;
}

static void read_file(struct reading *reading, uint64_t inode, const struct node *node) {
    static unsigned char bytes[SIZE_MAX_FILE];
    struct lfsx_file *file;
    struct lfsx_buffer *buffer;
    if (!works(reading, lfsx_file_open(reading->share, inode, &file)))
        return;
    file_bytes(node, reading->state, bytes);
    for (uint32_t at = 0; at < node->length; at += LFSX_BLOCK_SIZE) {
        uint32_t length;
        REQUIRE(lfsx_buffer_alloc(at, LFSX_BLOCK_SIZE, &buffer) == STATUS_OK);
        if (works(reading, lfsx_file_read(file, buffer, &length))) {
            REQUIRE(length == MATH_MIN(node->length - at, LFSX_BLOCK_SIZE));
            REQUIRE(memcmp(buffer->blocks[0], bytes + at, length) == 0);
        }
        lfsx_buffer_free(buffer);
    }
    lfsx_file_close(file);
}

static void read_target(struct reading *reading, uint64_t inode, const struct node *node) {
    static unsigned char bytes[SIZE_MAX_FILE];
    char target[LFSX_TARGET_MAX];
    size_t length;
    if (!works(reading, lfsx_share_readlink(reading->share, inode, target, sizeof target, &length)))
        return;
    file_bytes(node, reading->state, bytes);
    REQUIRE(length == node->length && memcmp(target, bytes, length) == 0);
}

/* How many names stand in the directory. */
static uint64_t expected_names(const struct node *node, enum state state) {
    if (strcmp(node->path, "more") == 0)
        return FILES;
    uint64_t count = 0;
    for (size_t i = 1; i < ARRAY_LENGTH(nodes); i++) {
        const char *slash = strrchr(nodes[i].path, '/');
        count += nodes[i].is_there[state] && (slash == NULL) == (node == &nodes[0]);
    }
    return count;
}

static void read_directory(struct reading *reading, uint64_t inode, const struct node *node) {
    static struct lfsx_entry entries[LFSX_READDIR_MAX];
    size_t count;
    if (!works(reading,
               lfsx_share_readdir(reading->share, inode, 0, entries, LFSX_READDIR_MAX, &count)))
        return;
    REQUIRE(count == expected_names(node, reading->state));
    for (size_t i = 0; i < count; i++) {
        char path[600];
        unsigned number;
        snprintf(path, sizeof path, "%s%s%s", node->path, node->path[0] == '\0' ? "" : "/",
                 entries[i].name);
        const struct node *named = find(path);
        if (sscanf(path, "more/file %u", &number) == 1)
            REQUIRE(number < FILES && entries[i].kind == LFSX_REGULAR);
        else
            REQUIRE(named != NULL && named->is_there[reading->state] &&
                    named->kind == entries[i].kind);
    }
}

static void read_attributes(struct reading *reading, uint64_t inode, const struct node *node) {
    struct lfsx_attributes found;
    if (!works(reading, lfsx_share_getattr(reading->share, inode, &found)))
        return;
    REQUIRE(found.kind == node->kind && found.links == node->links && found.size == node->length);
    REQUIRE(node->kind == LFSX_SYMLINK || found.mode == node->mode);
    REQUIRE(inode == LFSX_ROOT || (found.uid == 1000 && found.gid == 100));
}

static void read_xattr(struct reading *reading, uint64_t inode, const struct node *node) {
    unsigned char value[LFSX_BLOCK_SIZE];
    unsigned char found[LFSX_BLOCK_SIZE];
    size_t length;
    enum status status = lfsx_share_xattr_get(reading->share, inode, to_name("user.note"), found,
                                              sizeof found, &length);
    if (node->xattr_length == 0)
        REQUIRE(status != STATUS_OK);
    if (status == STATUS_NOT_FOUND && node->xattr_length == 0)
        return;
    if (!works(reading, status))
        return;
    fill("value", value, node->xattr_length);
    REQUIRE(length == node->xattr_length && memcmp(found, value, length) == 0);
}

static void read_node(struct reading *reading, const struct node *node) {
    uint64_t inode;
    enum status status = lfsx_share_resolve(reading->share, node->path, &inode);
    if (!node->is_there[reading->state]) {
        REQUIRE(status == STATUS_NOT_FOUND || !works(reading, status));
        return;
    }
    if (!works(reading, status))
        return;
    read_attributes(reading, inode, node);
    read_xattr(reading, inode, node);
    if (node->kind == LFSX_DIRECTORY)
        read_directory(reading, inode, node);
    else if (node->kind == LFSX_SYMLINK)
        read_target(reading, inode, node);
    else
        read_file(reading, inode, node);
}

uint64_t everything_share_read(struct lfsx_pool *pool) {
    static const char *const names[STATES] = {SNAPSHOT, NAME};
    struct reading reading = {0};
    for (unsigned state = 0; state < STATES; state++) {
        reading.state = (enum state)state;
        if (!works(&reading, lfsx_share_open(pool, names[state], &reading.share)))
            continue;
        for (size_t i = 0; i < ARRAY_LENGTH(nodes); i++)
            read_node(&reading, &nodes[i]);
        lfsx_share_close(reading.share);
    }
    return reading.errors;
}
