/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests from the wire are judged here and nowhere else, before anything is allocated for them;
 * who executes them checks nothing again.
 */
#include "base/assert.h"
#include "base/math.h"
#include "services/nbd/nbd_internal.h"

struct command {
    const char *name; /* NULL: unknown */
    uint16_t flags;   /* besides FUA, which "Command flags" makes valid for all */
    bool has_range, has_data, writes;
};

static const struct command commands[] = {
    [NBD_CMD_READ] = {.name = "READ", .has_range = true, .has_data = true},
    [NBD_CMD_WRITE] = {.name = "WRITE", .has_range = true, .has_data = true, .writes = true},
    [NBD_CMD_FLUSH] = {.name = "FLUSH"},
    [NBD_CMD_TRIM] = {.name = "TRIM", .has_range = true, .writes = true},
    [NBD_CMD_WRITE_ZEROES] = {.name = "WRITE_ZEROES",
                              .flags = NBD_CMD_FLAG_NO_HOLE,
                              .has_range = true,
                              .writes = true},
};

static const struct command *find_command(uint16_t type) {
    if (type >= ARRAY_LENGTH(commands) || commands[type].name == NULL)
        return NULL;
    return &commands[type];
}

const char *nbd_command_name(uint16_t type) {
    const struct command *command = find_command(type);
    return command == NULL ? "unknown command" : command->name;
}

/* "Error values" asks for ENOSPC where a write, and for EINVAL where anything else, passes the end.
 */
static uint32_t beyond_end(uint16_t type) {
    return type == NBD_CMD_WRITE || type == NBD_CMD_WRITE_ZEROES ? NBD_ENOSPC : NBD_EINVAL;
}

static bool refuse(struct nbd_refusal *refusal, uint32_t error, const char *message) {
    refusal->error = error;
    refusal->message = message;
    return false;
}

bool nbd_validate(const struct nbd_export *export, const struct nbd_request *request,
                  struct nbd_refusal *refusal) {
    const struct command *command = find_command(request->type);
    if (command == NULL)
        return refuse(refusal, NBD_EINVAL, "the command was not negotiated");
    if ((request->flags & ~(command->flags | NBD_CMD_FLAG_FUA)) != 0)
        return refuse(refusal, NBD_EINVAL, "a flag does not belong to the command");
    if (command->writes && export->read_only)
        return refuse(refusal, NBD_EPERM, "the export is read-only");
    if (!command->has_range) {
        if (request->offset != 0 || request->length != 0)
            return refuse(refusal, NBD_EINVAL, "a range where there must be none");
        return true;
    }
    if (request->length == 0)
        return refuse(refusal, NBD_EINVAL, "the length is 0");
    if (command->has_data && request->length > LFSX_MAX_IO)
        return refuse(refusal, NBD_EINVAL, "longer than the advertised maximum");
    if (!math_range_inside(request->offset, request->length, export->size))
        return refuse(refusal, beyond_end(request->type), "the range passes the end");
    return true;
}

/*
 * READ_ONLY is EIO here: writes to an export that is read-only do not get this far, so the pool has
 * turned read-only because its device failed.
 */
uint32_t nbd_error(enum status status) {
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_NO_MEMORY:
        return NBD_ENOMEM;
    case STATUS_NO_SPACE:
        return NBD_ENOSPC;
    case STATUS_INVALID:
    case STATUS_OUT_OF_RANGE:
    case STATUS_UNALIGNED:
        return NBD_EINVAL;
    case STATUS_PERMISSION:
        return NBD_EPERM;
    case STATUS_UNSUPPORTED:
        return NBD_ENOTSUP;
    case STATUS_SHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}
