/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The negotiation ("Fixed newstyle negotiation"): greeting, client flags, options until one of them
 * starts the transmission phase or ends the connection.
 *
 * Invariants:
 * 1. When an option has been answered, its whole payload has been read: the stream stands at the
 *    next option.
 * 2. No volume stays open before the option that ends the negotiation.
 * 3. Everything together ends by `deadline`, however the client spaces its bytes, and takes
 *    sizeof(struct handshake) of memory, however long the lengths are that it announces.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "services/nbd/nbd_internal.h"

/* Room for a name of NBD_STRING_MAX and 2,000 information requests. */
#define PAYLOAD_MAX 8192u
/* A longer payload is not even read away. */
#define PAYLOAD_DRAIN_MAX (1u << 20)
/* No client needs more options; one that sends more is playing. */
#define OPTIONS_MAX 128u
#define BLOCK_SIZE_MINIMUM 1u

enum step {
    STEP_NEXT,     /* another option */
    STEP_TRANSMIT, /* the transmission phase begins */
    STEP_END,      /* the connection is to be closed */
};

struct handshake {
    struct nbd_connection *connection;
    uint64_t deadline;
    bool no_zeroes;
    uint32_t option;
    uint32_t length; /* of the payload */
    uint8_t payload[PAYLOAD_MAX];
};

/* ---- bytes, within the deadline ---- */

static enum status arm_timeout(struct handshake *handshake) {
    uint64_t now = os_now_ns();
    if (now >= handshake->deadline)
        return STATUS_TIMEOUT;
    stream_set_timeout(handshake->connection->stream, handshake->deadline - now);
    return STATUS_OK;
}

static enum status receive(struct handshake *handshake, void *buffer, size_t size) {
    char *at = buffer;
    while (size > 0) {
        enum status status = arm_timeout(handshake);
        size_t got = 0;
        if (status == STATUS_OK)
            status = stream_read(handshake->connection->stream, at, size, &got);
        if (status != STATUS_OK)
            return status;
        if (got == 0)
            return STATUS_CLOSED;
        at += got;
        size -= got;
    }
    return STATUS_OK;
}

static enum status drain(struct handshake *handshake, uint32_t length) {
    enum status status = STATUS_OK;
    while (length > 0 && status == STATUS_OK) {
        uint32_t piece = MATH_MIN(length, PAYLOAD_MAX);
        status = receive(handshake, handshake->payload, piece);
        length -= piece;
    }
    return status;
}

static enum status send(struct handshake *handshake, const void *data, size_t length) {
    enum status status = arm_timeout(handshake);
    struct span span = {(void *)data, length};
    return status == STATUS_OK ? stream_write(handshake->connection->stream, &span, 1) : status;
}

/* ---- option replies ("Option reply types"); the payload is head and tail together ---- */

static enum status reply_data(struct handshake *handshake, uint32_t type, const void *head,
                              size_t head_length, const void *tail, size_t tail_length) {
    struct nbd_option_reply reply = {.magic = be64_make(NBD_OPTION_REPLY_MAGIC),
                                     .option = be32_make(handshake->option),
                                     .type = be32_make(type),
                                     .length = be32_make((uint32_t)(head_length + tail_length))};
    struct span spans[3] = {{&reply, sizeof reply}};
    uint32_t count = 1;
    if (head_length > 0)
        spans[count++] = (struct span){(void *)head, head_length};
    if (tail_length > 0)
        spans[count++] = (struct span){(void *)tail, tail_length};
    enum status status = arm_timeout(handshake);
    if (status != STATUS_OK)
        return status;
    return stream_write(handshake->connection->stream, spans, count);
}

static enum step step_after(enum status status) {
    return status == STATUS_OK ? STEP_NEXT : STEP_END;
}

static enum step reply_ack(struct handshake *handshake) {
    return step_after(reply_data(handshake, NBD_REP_ACK, NULL, 0, NULL, 0));
}

/* The text is ours, never the client's: no name, however long, gets into a reply. */
static enum step reply_error(struct handshake *handshake, uint32_t type, const char *text) {
    log_debug("nbd", "%s: option %u refused: %s", handshake->connection->stream->peer,
              handshake->option, text);
    return step_after(reply_data(handshake, type, text, strlen(text), NULL, 0));
}

/* ---- NBD_OPT_LIST ---- */

struct listing {
    struct handshake *handshake;
    enum status status;
};

static bool list_volume(void *context, const struct lfsx_volume_info *info) {
    struct listing *listing = context;
    size_t length = strnlen(info->name, sizeof info->name);
    struct nbd_name_length name_length = {be32_make((uint32_t)length)};
    listing->status = reply_data(listing->handshake, NBD_REP_SERVER, &name_length,
                                 sizeof name_length, info->name, length);
    return listing->status == STATUS_OK;
}

static enum step answer_list(struct handshake *handshake) {
    if (handshake->length != 0)
        return reply_error(handshake, NBD_REP_ERR_INVALID, "LIST has no payload");
    struct listing listing = {.handshake = handshake, .status = STATUS_OK};
    enum status status =
        lfsx_volume_list(handshake->connection->server->pool, list_volume, &listing);
    if (listing.status != STATUS_OK)
        return STEP_END;
    if (status != STATUS_OK)
        return reply_error(handshake, NBD_REP_ERR_SHUTDOWN, "the volumes cannot be listed now");
    return reply_ack(handshake);
}

/* ---- NBD_OPT_INFO and NBD_OPT_GO ---- */

struct info_request {
    const char *name;
    uint32_t name_length;
    const be16 *types;
    uint16_t type_count;
};

/* False if the lengths inside do not add up to the payload's. */
static bool parse_info(const struct handshake *handshake, struct info_request *out) {
    const uint8_t *at = handshake->payload;
    uint32_t left = handshake->length;
    struct nbd_name_length name;
    struct nbd_info_count types;
    if (left < sizeof name + sizeof types)
        return false;
    memcpy(&name, at, sizeof name);
    at += sizeof name;
    left -= (uint32_t)(sizeof name + sizeof types);
    out->name_length = be32_get(name.length);
    if (out->name_length > left)
        return false;
    out->name = (const char *)at;
    at += out->name_length;
    left -= out->name_length;
    memcpy(&types, at, sizeof types);
    out->type_count = be16_get(types.count);
    out->types = (const be16 *)(at + sizeof types);
    return left == out->type_count * sizeof(be16);
}

static bool wants(const struct info_request *request, uint16_t type) {
    for (uint16_t i = 0; i < request->type_count; i++)
        if (be16_get(request->types[i]) == type)
            return true;
    return false;
}

static enum status send_infos(struct handshake *handshake, const struct info_request *request,
                              const struct nbd_export *export) {
    struct nbd_info_export information = {.type = be16_make(NBD_INFO_EXPORT),
                                          .size = be64_make(export->size),
                                          .transmission_flags =
                                              be16_make(export->transmission_flags)};
    enum status status =
        reply_data(handshake, NBD_REP_INFO, &information, sizeof information, NULL, 0);
    if (status == STATUS_OK && wants(request, NBD_INFO_NAME)) {
        be16 type = be16_make(NBD_INFO_NAME);
        status = reply_data(handshake, NBD_REP_INFO, &type, sizeof type, export->name,
                            strlen(export->name));
    }
    if (status == STATUS_OK && wants(request, NBD_INFO_BLOCK_SIZE)) {
        struct nbd_info_block_size sizes = {.type = be16_make(NBD_INFO_BLOCK_SIZE),
                                            .minimum = be32_make(BLOCK_SIZE_MINIMUM),
                                            .preferred = be32_make(LFSX_BLOCK_SIZE),
                                            .maximum = be32_make(LFSX_MAX_IO)};
        status = reply_data(handshake, NBD_REP_INFO, &sizes, sizeof sizes, NULL, 0);
    }
    return status;
}

static enum step refuse_export(struct handshake *handshake, enum status status) {
    switch (status) {
    case STATUS_NOT_FOUND:
        return reply_error(handshake, NBD_REP_ERR_UNKNOWN, "there is no volume of that name");
    case STATUS_SHUTDOWN:
        return reply_error(handshake, NBD_REP_ERR_SHUTDOWN, status_text(status));
    case STATUS_CORRUPT:
        return reply_error(handshake, NBD_REP_ERR_UNKNOWN,
                           "the volume is damaged; fsck.lfsx repairs it");
    default:
        log_warning("nbd", "%s: a volume could not be opened: %s",
                    handshake->connection->stream->peer, status_text(status));
        return reply_error(handshake, NBD_REP_ERR_UNKNOWN, "the volume cannot be opened now");
    }
}

static enum step answer_info(struct handshake *handshake) {
    struct info_request request;
    if (!parse_info(handshake, &request))
        return reply_error(handshake, NBD_REP_ERR_INVALID, "the payload's lengths do not fit");
    if (request.name_length > NBD_STRING_MAX)
        return reply_error(handshake, NBD_REP_ERR_TOO_BIG, "the name is longer than 4096 bytes");
    struct nbd_connection *connection = handshake->connection;
    struct nbd_export export = {.volume = NULL};
    enum status status =
        nbd_export_open(connection->server, request.name, request.name_length, &export);
    if (status != STATUS_OK)
        return refuse_export(handshake, status);
    status = send_infos(handshake, &request, &export);
    enum step step = status == STATUS_OK ? reply_ack(handshake) : STEP_END;
    if (handshake->option == NBD_OPT_GO && step == STEP_NEXT) {
        connection->export = export;
        return STEP_TRANSMIT;
    }
    nbd_export_close(&export);
    return step;
}

/* ---- NBD_OPT_EXPORT_NAME: there is no way to say no but to hang up ---- */

static enum step answer_export_name(struct handshake *handshake) {
    struct nbd_connection *connection = handshake->connection;
    enum status status = nbd_export_open(connection->server, (const char *)handshake->payload,
                                         handshake->length, &connection->export);
    if (status != STATUS_OK)
        return STEP_END;
    struct nbd_export_name_reply reply = {.size = be64_make(connection->export.size),
                                          .transmission_flags =
                                              be16_make(connection->export.transmission_flags)};
    size_t length = sizeof reply;
    if (handshake->no_zeroes)
        length = offsetof(struct nbd_export_name_reply, zeroes);
    status = send(handshake, &reply, length);
    return status == STATUS_OK ? STEP_TRANSMIT : STEP_END;
}

/* ---- options ---- */

static enum step answer_option(struct handshake *handshake) {
    switch (handshake->option) {
    case NBD_OPT_EXPORT_NAME:
        return answer_export_name(handshake);
    case NBD_OPT_ABORT:
        reply_ack(handshake);
        return STEP_END;
    case NBD_OPT_LIST:
        return answer_list(handshake);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return answer_info(handshake);
    default:
        return reply_error(handshake, NBD_REP_ERR_UNSUP, "the option is not supported");
    }
}

/* A payload that the buffer does not hold: stepped over, then refused. */
static enum step refuse_long_option(struct handshake *handshake) {
    const char *peer = handshake->connection->stream->peer;
    if (handshake->option == NBD_OPT_EXPORT_NAME || handshake->length > PAYLOAD_DRAIN_MAX) {
        log_info("nbd", "%s: ended: option %u announces a payload of %u bytes", peer,
                 handshake->option, handshake->length);
        return STEP_END;
    }
    if (drain(handshake, handshake->length) != STATUS_OK)
        return STEP_END;
    return reply_error(handshake, NBD_REP_ERR_TOO_BIG, "the option's payload is too long");
}

static enum step next_option(struct handshake *handshake) {
    struct nbd_option header;
    if (receive(handshake, &header, sizeof header) != STATUS_OK)
        return STEP_END;
    if (be64_get(header.magic) != NBD_OPTION_MAGIC) {
        log_info("nbd", "%s: ended: no NBD option where one must be",
                 handshake->connection->stream->peer);
        return STEP_END;
    }
    handshake->option = be32_get(header.option);
    handshake->length = be32_get(header.length);
    if (handshake->length > PAYLOAD_MAX)
        return refuse_long_option(handshake);
    if (receive(handshake, handshake->payload, handshake->length) != STATUS_OK)
        return STEP_END;
    return answer_option(handshake);
}

static enum status greet(struct handshake *handshake) {
    struct nbd_greeting greeting = {.magic = be64_make(NBD_MAGIC),
                                    .option_magic = be64_make(NBD_OPTION_MAGIC),
                                    .handshake_flags =
                                        be16_make(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)};
    struct nbd_client_flags answer;
    enum status status = send(handshake, &greeting, sizeof greeting);
    if (status == STATUS_OK)
        status = receive(handshake, &answer, sizeof answer);
    if (status != STATUS_OK)
        return status;
    uint32_t flags = be32_get(answer.flags);
    if ((flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) != 0) {
        log_info("nbd", "%s: ended: unknown client flags 0x%x: not an NBD client?",
                 handshake->connection->stream->peer, flags);
        return STATUS_PROTOCOL;
    }
    handshake->no_zeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
    return STATUS_OK;
}

static enum status negotiate(struct handshake *handshake) {
    enum status status = greet(handshake);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < OPTIONS_MAX; i++) {
        enum step step = next_option(handshake);
        if (step == STEP_TRANSMIT)
            return STATUS_OK;
        if (step == STEP_END)
            return STATUS_CLOSED;
    }
    return STATUS_PROTOCOL;
}

enum status nbd_handshake(struct nbd_connection *connection) {
    struct handshake *handshake = os_alloc_zeroed(sizeof *handshake);
    if (handshake == NULL)
        return STATUS_NO_MEMORY;
    handshake->connection = connection;
    handshake->deadline = os_now_ns() + connection->server->handshake_timeout_ns;
    enum status status = negotiate(handshake);
    os_free(handshake);
    return status;
}
