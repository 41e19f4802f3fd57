/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: what they are, the one judge of them, the one mapping of errors. */
#ifndef SERVICES_NBD_NBD_REQUEST_H
#define SERVICES_NBD_NBD_REQUEST_H

#include "base/list.h"
#include "base/status.h"
#include "storage/lfsx/lfsx.h"

#include <stdbool.h>
#include <stdint.h>

/* A volume as a client sees it. */
struct nbd_export {
    struct lfsx_volume *volume; /* NULL: none */
    char name[LFSX_OPEN_NAME_MAX + 1];
    uint64_t size;
    bool read_only;
    uint16_t transmission_flags;
};

/* One command, from its header on the wire to its reply. */
struct nbd_request {
    struct list_node link; /* connection.queue or connection.spare */
    uint16_t type;
    uint16_t flags;
    uint64_t cookie;
    uint64_t offset;
    uint32_t length;
    struct lfsx_buffer *buffer; /* of reads and writes */
    uint64_t charged;           /* bytes taken from the account */
};

struct nbd_refusal {
    uint32_t error;      /* NBD_E... */
    const char *message; /* for the log */
};

/* True if the request may be executed on the export: its type is known, its flags fit the type, its
 * range is inside. Nothing was allocated for it yet. */
bool nbd_validate(const struct nbd_export *export, const struct nbd_request *request,
                  struct nbd_refusal *refusal);
/* The NBD error that a status means. */
uint32_t nbd_error(enum status status);
/* "READ" and so on; for the log. */
const char *nbd_command_name(uint16_t type);

#endif
