/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the volume that a client named, and says what it may do with it. */
#include "base/mem.h"
#include "services/nbd/nbd_internal.h"

struct only_volume {
    char name[LFSX_NAME_MAX + 1];
    unsigned count;
};

static bool note_volume(void *context, const struct lfsx_volume_info *info) {
    struct only_volume *only = context;
    only->count++;
    memcpy(only->name, info->name, sizeof only->name);
    return only->count < 2;
}

/* NOT_FOUND unless there is exactly one volume. */
static enum status find_only_volume(struct lfsx_pool *pool, char *name) {
    struct only_volume only = {.count = 0};
    enum status status = lfsx_volume_list(pool, note_volume, &only);
    if (status != STATUS_OK)
        return status;
    if (only.count != 1)
        return STATUS_NOT_FOUND;
    memcpy(name, only.name, sizeof only.name);
    return STATUS_OK;
}

static uint16_t transmission_flags(bool read_only) {
    uint16_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA;
    /* lfsx_pool_commit() covers what was acknowledged on any connection. */
    flags |= NBD_FLAG_CAN_MULTI_CONN;
    if (read_only)
        return flags | NBD_FLAG_READ_ONLY;
    return flags | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES;
}

static void describe(struct nbd_server *server, struct nbd_export *export) {
    struct lfsx_volume_info volume;
    struct lfsx_pool_info pool;
    lfsx_volume_info(export->volume, &volume);
    lfsx_pool_info(server->pool, &pool);
    memcpy(export->name, volume.name, sizeof export->name);
    export->size = volume.size;
    export->read_only = server->read_only || volume.read_only || pool.read_only;
    export->transmission_flags = transmission_flags(export->read_only);
}

enum status nbd_export_open(struct nbd_server *server, const char *name, size_t length,
                            struct nbd_export *export) {
    char copy[LFSX_OPEN_NAME_MAX + 1];
    if (length == 0) {
        enum status status = find_only_volume(server->pool, copy);
        if (status != STATUS_OK)
            return status;
    } else {
        if (length > LFSX_OPEN_NAME_MAX)
            return STATUS_NOT_FOUND;
        memcpy(copy, name, length);
        copy[length] = '\0';
        if (strlen(copy) != length)
            return STATUS_NOT_FOUND;
    }
    enum status status = lfsx_volume_open(server->pool, copy, &export->volume);
    if (status == STATUS_OK)
        describe(server, export);
    return status;
}

void nbd_export_close(struct nbd_export *export) {
    if (export->volume != NULL)
        lfsx_volume_close(export->volume);
    export->volume = NULL;
}
