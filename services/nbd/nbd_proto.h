/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format of NBD, as far as this server speaks it: the NBD protocol specification,
 * doc/proto.md of the NetworkBlockDevice project. Section names in comments are the
 * specification's. All integers are big-endian.
 */
#ifndef SERVICES_NBD_NBD_PROTO_H
#define SERVICES_NBD_NBD_PROTO_H

#include "base/endian.h"

#include <stdint.h>

/* ---- "Newstyle negotiation", "Fixed newstyle negotiation" ---- */

#define NBD_MAGIC 0x4e42444d41474943ull        /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC 0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_OPTION_REPLY_MAGIC 0x0003e889045565a9ull

/* "Flag fields", handshake and client flags: the same two bits both ways. */
#define NBD_FLAG_FIXED_NEWSTYLE 1u
#define NBD_FLAG_NO_ZEROES 2u

struct nbd_greeting {
    be64 magic;
    be64 option_magic;
    be16 handshake_flags;
};
_Static_assert(sizeof(struct nbd_greeting) == 18, "the server's greeting");

struct nbd_client_flags {
    be32 flags;
};
_Static_assert(sizeof(struct nbd_client_flags) == 4, "the client's answer to the greeting");

struct nbd_option {
    be64 magic;
    be32 option;
    be32 length; /* of the payload that follows */
};
_Static_assert(sizeof(struct nbd_option) == 16, "an option's header");

struct nbd_option_reply {
    be64 magic;
    be32 option;
    be32 type;
    be32 length; /* of the payload that follows */
};
_Static_assert(sizeof(struct nbd_option_reply) == 20, "an option reply's header");

/* "Option types" */
#define NBD_OPT_EXPORT_NAME 1u
#define NBD_OPT_ABORT 2u
#define NBD_OPT_LIST 3u
#define NBD_OPT_STARTTLS 5u
#define NBD_OPT_INFO 6u
#define NBD_OPT_GO 7u
#define NBD_OPT_STRUCTURED_REPLY 8u
#define NBD_OPT_LIST_META_CONTEXT 9u
#define NBD_OPT_SET_META_CONTEXT 10u

/* "Option reply types" */
#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_ERR_UNSUP 0x80000001u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_SHUTDOWN 0x80000007u
#define NBD_REP_ERR_TOO_BIG 0x80000009u

/* NBD_REP_INFO's information types */
#define NBD_INFO_EXPORT 0u
#define NBD_INFO_NAME 1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE 3u

struct nbd_info_export {
    be16 type;
    be64 size;
    be16 transmission_flags;
};
_Static_assert(sizeof(struct nbd_info_export) == 12, "NBD_INFO_EXPORT");

struct nbd_info_block_size {
    be16 type;
    be32 minimum;
    be32 preferred;
    be32 maximum;
};
_Static_assert(sizeof(struct nbd_info_block_size) == 14, "NBD_INFO_BLOCK_SIZE");

/* NBD_OPT_INFO's and NBD_OPT_GO's payload: a length, the name, a count, that many types. */
struct nbd_name_length {
    be32 length;
};
_Static_assert(sizeof(struct nbd_name_length) == 4, "what stands before a name");

struct nbd_info_count {
    be16 count;
};
_Static_assert(sizeof(struct nbd_info_count) == 2, "what stands before information types");

/* What answers NBD_OPT_EXPORT_NAME; without `zeroes` if both sides said NO_ZEROES. */
struct nbd_export_name_reply {
    be64 size;
    be16 transmission_flags;
    uint8_t zeroes[124];
};
_Static_assert(sizeof(struct nbd_export_name_reply) == 134, "NBD_OPT_EXPORT_NAME's answer");

/* "Values", the longest string that either side need accept */
#define NBD_STRING_MAX 4096u

/* "Flag fields", transmission flags */
#define NBD_FLAG_HAS_FLAGS 0x0001u
#define NBD_FLAG_READ_ONLY 0x0002u
#define NBD_FLAG_SEND_FLUSH 0x0004u
#define NBD_FLAG_SEND_FUA 0x0008u
#define NBD_FLAG_SEND_TRIM 0x0020u
#define NBD_FLAG_SEND_WRITE_ZEROES 0x0040u
#define NBD_FLAG_CAN_MULTI_CONN 0x0100u

/* ---- "Transmission phase" ---- */

#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u

/* "Request message" */
struct nbd_wire_request {
    be32 magic;
    be16 flags;
    be16 type;
    be64 cookie;
    be64 offset;
    be32 length;
};
_Static_assert(sizeof(struct nbd_wire_request) == 28, "a request");

/* "Simple reply message" */
struct nbd_simple_reply {
    be32 magic;
    be32 error;
    be64 cookie;
};
_Static_assert(sizeof(struct nbd_simple_reply) == 16, "a simple reply");

/* "Request types" */
#define NBD_CMD_READ 0u
#define NBD_CMD_WRITE 1u
#define NBD_CMD_DISC 2u
#define NBD_CMD_FLUSH 3u
#define NBD_CMD_TRIM 4u
#define NBD_CMD_WRITE_ZEROES 6u

/* "Command flags" */
#define NBD_CMD_FLAG_FUA 1u
#define NBD_CMD_FLAG_NO_HOLE 2u

/* "Error values" */
#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_ENOMEM 12u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u
#define NBD_ENOTSUP 95u
#define NBD_ESHUTDOWN 108u

#endif
