/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections as streams, over lwIP's callback interface.
 *
 * Reading hands the received frames themselves to the reading thread, which copies them into the
 * caller's buffer without the core lock. Writing copies into lwIP's segments and returns when all
 * is queued: writing by reference would have to wait for the peer's acknowledgement, one round trip
 * (and a delayed acknowledgement) for each reply of a service, to save a copy that costs little
 * beside the rest of a segment's way.
 *
 * Who owns what: a stream belongs to its user from accept to close, and to its connection (lwIP's
 * pcb) until lwIP frees that; it is freed when neither is left.
 *
 *     SYN      -> (no stream; the receive window is made small)
 *     accepted -> in listener->ready, user none, pcb set        connection_accepted()
 *     open     -> user set, pcb set                             tcp_listener_accept()
 *     broken   -> user set, pcb NULL: reset, abort, peer dead   connection_destroyed()
 *     closing  -> user none, pcb set: sends the rest, FIN,
 *                 waits for the peer's FIN, with deadlines      tcp_stream_close()
 *
 * Invariants, all under the core lock:
 * 1. pcb is NULL from the moment lwIP frees the pcb: lwIP's destroy callback is the only place that
 *    learns of it, whatever the cause. No error callback is used: lwIP calls it before or after.
 * 2. The receive queue is a list of single pbufs (linked by pbuf.next), each with one reference:
 *    what the reader took off it is the reader's alone.
 * 3. The window that the peer was given is what it may send; `window` of it are ours at most:
 *    small at first, it grows with what the user reads, as long as all windows together fit into a
 *    share of the memory. So a peer that nobody listens to yet binds little.
 * 4. A peer that is silent for DEAD_AFTER_NS is gone: keep-alive in the open states, the poll
 *    callback in all others.
 */
#include "net/net.h"
#include "net/net_internal.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/list.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#define ROOM "net"

#define SECOND_NS 1000000000u
#define FIRST_WINDOW 65535u /* what a window without scaling can hold */
#define WINDOW_GROWTH ((uint32_t)TCP_WND - FIRST_WINDOW)
#define WINDOW_MEMORY_SHARE 8    /* all windows together: this part of the memory */
#define WRITE_CHUNK (32u * 1024) /* bytes for one call of lwIP, whose lengths have 16 bits */
#define COLLECTOR_SIZE 4000u     /* what gathers small pieces: with its header a page */
#define SMALL 256u               /* bytes */
#define WAKE_SHARE 4             /* a writer sleeps until this part of the buffer is free */
#define BACKLOG 255              /* connections nobody accepted yet; lwIP's field has 8 bits */
#define POLL_INTERVAL 2          /* of lwIP's slow timer's half seconds */
#define KEEP_IDLE_MS 20000u      /* keep-alive: first probe after this silence, */
#define KEEP_INTERVAL_MS 10000u  /* then this often, */
#define KEEP_COUNT 3u            /* this many times: 50 s in all */
#define DEAD_AFTER_TICKS (50000u / TCP_SLOW_INTERVAL)
#define CLOSE_STALL_NS ((uint64_t)30 * SECOND_NS)  /* closing: without an acknowledgement */
#define CLOSE_FIN_NS ((uint64_t)10 * SECOND_NS)    /* closing: all acknowledged, no FIN */
#define CLOSE_LIMIT_NS ((uint64_t)300 * SECOND_NS) /* closing: in all */

struct tcp_listener {
    struct listener listener; /* first */
    /* Core lock: */
    struct tcp_pcb *pcb;
    struct list_node ready; /* accepted by lwIP, not yet by the user */
    struct os_condition acceptable;
    bool aborted;
};

struct tcp_stream {
    struct stream stream; /* first */
    /* Core lock: */
    struct tcp_pcb *pcb;
    struct list_node link; /* in its listener's ready list */
    bool owned;            /* by its user */
    bool closing;
    bool aborted;    /* by stream_abort() */
    bool peer_ended; /* the peer sent its last byte */
    struct os_condition readable;
    struct os_condition writable;
    bool reader_waits;
    bool writer_waits;
    uint32_t writer_needs; /* free bytes of the send buffer */
    uint64_t timeout_ns;   /* 0: none */
    uint64_t acknowledged; /* bytes, ever: a writer's progress */
    uint32_t window;       /* bytes beyond FIRST_WINDOW that the peer was allowed */
    uint64_t close_deadline;
    uint64_t close_limit;
    struct pbuf *first; /* the receive queue */
    struct pbuf *last;
    struct pbuf *collector; /* if it is still `last`: has room for COLLECTOR_SIZE bytes */
    uint16_t offset;        /* bytes of `first` that were read */
};

static uint8_t argument_id;   /* lwIP's place for our pointer in a pcb */
static uint64_t window_total; /* core lock: sum of all streams' window */
static uint64_t window_limit;

static struct tcp_stream *stream_of(struct stream *stream) {
    return (struct tcp_stream *)stream;
}

static struct tcp_listener *listener_of(struct listener *listener) {
    return (struct tcp_listener *)listener;
}

static void free_pbufs(struct pbuf *first) {
    while (first != NULL) {
        struct pbuf *next = first->next;
        first->next = NULL;
        first->tot_len = first->len;
        pbuf_free(first);
        first = next;
    }
}

/* Neither user nor connection is left. */
static void stream_free(struct tcp_stream *stream) {
    ASSERT(!stream->owned && stream->pcb == NULL);
    ASSERT(list_is_empty(&stream->link));
    ASSERT(window_total >= stream->window);
    window_total -= stream->window;
    free_pbufs(stream->first);
    os_condition_destroy(&stream->readable);
    os_condition_destroy(&stream->writable);
    os_free(stream);
}

static void wake_both(struct tcp_stream *stream) {
    os_condition_broadcast(&stream->readable);
    os_condition_broadcast(&stream->writable);
}

/* Lets the peer send `length` bytes more. */
static void open_window(struct tcp_pcb *pcb, uint32_t length) {
    while (length > 0) {
        uint16_t part = (uint16_t)MATH_MIN(length, 0xffffu);
        tcp_recved(pcb, part);
        length -= part;
    }
}

/* The user read `length` bytes. */
static void consumed(struct tcp_stream *stream, uint32_t length) {
    if (stream->pcb == NULL || length == 0)
        return;
    uint32_t growth = MATH_MIN(length, WINDOW_GROWTH - stream->window);
    if (!(stream->pcb->flags & TF_WND_SCALE) || window_total + growth > window_limit)
        growth = 0;
    stream->window += growth;
    window_total += growth;
    open_window(stream->pcb, length + growth);
}

/* lwIP frees the pcb. */
static void connection_destroyed(u8_t id, void *data) {
    struct tcp_stream *stream = data;
    (void)id;
    if (stream == NULL)
        return;
    stream->pcb = NULL;
    list_remove(&stream->link); /* reset before anybody accepted it */
    if (stream->owned)
        wake_both(stream);
    else
        stream_free(stream);
}

static const struct tcp_ext_arg_callbacks connection_callbacks = {
    .destroy = connection_destroyed,
};

/* The connection has left for TIME-WAIT, where lwIP calls nothing any more. */
static void forget_connection(struct tcp_stream *stream) {
    struct tcp_pcb *pcb = stream->pcb;
    tcp_ext_arg_set(pcb, argument_id, NULL);
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    connection_destroyed(argument_id, stream);
}

/* Copies data behind the queue's last byte, if that lies in a pbuf with room. */
static bool append_to_last(struct tcp_stream *stream, struct pbuf *data) {
    struct pbuf *last = stream->last;
    if (last == NULL || last != stream->collector || COLLECTOR_SIZE - last->len < data->tot_len)
        return false;
    pbuf_copy_partial(data, (char *)last->payload + last->len, data->tot_len, 0);
    last->len = (u16_t)(last->len + data->tot_len);
    last->tot_len = last->len;
    pbuf_free(data);
    return true;
}

/* Small pieces that are not read at once are gathered: each alone takes many times its length. */
static bool gather(struct tcp_stream *stream, struct pbuf *data) {
    if (data->tot_len > SMALL || stream->last == NULL || stream->last->len > SMALL)
        return append_to_last(stream, data);
    if (append_to_last(stream, data))
        return true;
    struct pbuf *collector = pbuf_alloc(PBUF_RAW, COLLECTOR_SIZE, PBUF_RAM);
    if (collector == NULL)
        return false;
    collector->len = 0;
    stream->last->next = collector;
    stream->last = collector;
    stream->collector = collector;
    return append_to_last(stream, data);
}

static void append(struct tcp_stream *stream, struct pbuf *chain) {
    if (gather(stream, chain))
        return;
    if (stream->last == NULL)
        stream->first = chain;
    else
        stream->last->next = chain;
    while (chain->next != NULL)
        chain = chain->next;
    stream->last = chain;
}

static err_t connection_received(void *argument, struct tcp_pcb *pcb, struct pbuf *data,
                                 err_t error) {
    struct tcp_stream *stream = argument;
    (void)error;
    if (data == NULL) {
        stream->peer_ended = true;
        if (stream->closing && pcb->state == TIME_WAIT)
            forget_connection(stream);
        else if (stream->reader_waits)
            os_condition_signal(&stream->readable);
        return ERR_OK;
    }
    if (stream->closing) { /* nobody reads, but the peer may have to send before it reads */
        open_window(pcb, data->tot_len);
        pbuf_free(data);
        return ERR_OK;
    }
    append(stream, data);
    if (stream->reader_waits)
        os_condition_signal(&stream->readable);
    return ERR_OK;
}

static err_t connection_sent(void *argument, struct tcp_pcb *pcb, u16_t length) {
    struct tcp_stream *stream = argument;
    stream->acknowledged += length;
    if (stream->closing)
        stream->close_deadline =
            os_now_ns() +
            (pcb->unsent == NULL && pcb->unacked == NULL ? CLOSE_FIN_NS : CLOSE_STALL_NS);
    if (stream->writer_waits && pcb->snd_buf >= stream->writer_needs)
        os_condition_signal(&stream->writable);
    return ERR_OK;
}

/* Once a second in all states but TIME-WAIT. */
static err_t connection_poll(void *argument, struct tcp_pcb *pcb) {
    struct tcp_stream *stream = argument;
    bool silent = (u32_t)(tcp_ticks - pcb->tmr) > DEAD_AFTER_TICKS;
    uint64_t now = stream->closing ? os_now_ns() : 0;
    if (silent ||
        (stream->closing && (now > stream->close_deadline || now > stream->close_limit))) {
        log_debug(ROOM, "%s: connection dropped: the peer does not answer", stream->stream.peer);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    return ERR_OK;
}

/* A deadline for no progress, from now. */
static uint64_t deadline_after(uint64_t timeout_ns) {
    return timeout_ns == 0 ? OS_FOREVER : os_now_ns() + timeout_ns;
}

/* Waits until there is data. OK also at the peer's end, then with an empty queue. Core lock. */
static enum status wait_readable(struct tcp_stream *stream) {
    uint64_t deadline = deadline_after(stream->timeout_ns);
    for (;;) {
        if (stream->aborted)
            return STATUS_CLOSED;
        if (stream->first != NULL || stream->peer_ended)
            return STATUS_OK;
        if (stream->pcb == NULL)
            return STATUS_CLOSED;
        uint64_t left = net_time_left(deadline);
        if (left == 0)
            return STATUS_TIMEOUT;
        stream->reader_waits = true;
        net_core_wait(&stream->readable, left);
        stream->reader_waits = false;
    }
}

/* What a read takes: whole pbufs, then a part of one that stays in the queue. */
struct taken {
    struct pbuf *whole; /* linked by next; the reader's now */
    uint16_t offset;    /* of the first byte in the first pbuf */
    const void *part;   /* in the queue's first pbuf, which only the reader takes off */
    uint16_t part_length;
    uint32_t length;
};

/* Core lock. Whole pbufs that together have at most `size` bytes leave the queue. */
static void take(struct tcp_stream *stream, size_t size, struct taken *taken) {
    struct pbuf *last = NULL;
    struct pbuf *at = stream->first;
    *taken = (struct taken){.offset = stream->offset};
    while (at != NULL && (size_t)(at->len - stream->offset) <= size - taken->length) {
        taken->length += (uint32_t)(at->len - stream->offset);
        stream->offset = 0;
        last = at;
        at = at->next;
    }
    if (last != NULL) {
        taken->whole = stream->first;
        last->next = NULL;
    }
    stream->first = at;
    if (at == NULL) {
        stream->last = NULL;
        stream->collector = NULL; /* its address may come again as another pbuf's */
        return;
    }
    taken->part = (const char *)at->payload + stream->offset;
    taken->part_length = (uint16_t)(size - taken->length);
    taken->length += taken->part_length;
    stream->offset = (uint16_t)(stream->offset + taken->part_length);
}

/* Without the core lock. Also gives the memory back. */
static void copy_out(char *buffer, const struct taken *taken) {
    uint16_t offset = taken->offset;
    for (const struct pbuf *at = taken->whole; at != NULL; at = at->next) {
        memcpy(buffer, (const char *)at->payload + offset, (size_t)(at->len - offset));
        buffer += at->len - offset;
        offset = 0;
    }
    if (taken->part_length > 0)
        memcpy(buffer, taken->part, taken->part_length);
    free_pbufs(taken->whole);
}

static enum status tcp_stream_read(struct stream *base, void *buffer, size_t size, size_t *got) {
    struct tcp_stream *stream = stream_of(base);
    struct taken taken = {0};
    *got = 0;
    if (size == 0)
        return STATUS_INVALID;
    net_core_lock();
    enum status status = wait_readable(stream);
    if (status == STATUS_OK) {
        take(stream, MATH_MIN(size, UINT32_MAX), &taken);
        consumed(stream, taken.length);
    }
    net_core_unlock();
    copy_out(buffer, &taken);
    *got = taken.length;
    return status;
}

static bool can_send(const struct tcp_stream *stream) {
    return !stream->aborted && stream->pcb != NULL &&
           (stream->pcb->state == ESTABLISHED || stream->pcb->state == CLOSE_WAIT);
}

/* Sends what is queued and waits until the peer has taken enough of it. Core lock. */
static enum status wait_writable(struct tcp_stream *stream, size_t wanted) {
    uint64_t deadline = deadline_after(stream->timeout_ns);
    uint64_t acknowledged = stream->acknowledged;
    stream->writer_needs = (uint32_t)MATH_MIN(wanted, (size_t)TCP_SND_BUF / WAKE_SHARE);
    tcp_output(stream->pcb);
    do {
        uint64_t left = net_time_left(deadline);
        if (left == 0 && stream->acknowledged == acknowledged)
            return STATUS_TIMEOUT;
        if (left == 0)
            return STATUS_OK;
        stream->writer_waits = true;
        net_core_wait(&stream->writable, left);
        stream->writer_waits = false;
        if (!can_send(stream))
            return STATUS_CLOSED;
    } while (stream->pcb->snd_buf < stream->writer_needs || stream->acknowledged == acknowledged);
    return STATUS_OK;
}

/* Queues at most a chunk of the span; *queued is what went in. Core lock. */
static enum status queue_some(struct tcp_stream *stream, const char *data, size_t length, bool more,
                              size_t *queued) {
    *queued = 0;
    if (!can_send(stream))
        return STATUS_CLOSED;
    size_t room = MATH_MIN((size_t)stream->pcb->snd_buf, WRITE_CHUNK);
    uint16_t part = (uint16_t)MATH_MIN(length, room);
    uint8_t flags = TCP_WRITE_FLAG_COPY | (more || part < length ? TCP_WRITE_FLAG_MORE : 0);
    if (part > 0 && tcp_write(stream->pcb, data, part, flags) == ERR_OK) {
        *queued = part;
        return STATUS_OK;
    }
    /* No room, no memory, or too many segments: what is under way gives some back. */
    if (tcp_sndqueuelen(stream->pcb) == 0)
        return STATUS_NO_MEMORY;
    return wait_writable(stream, length);
}

static enum status tcp_stream_write(struct stream *base, const struct span *spans, uint32_t count) {
    struct tcp_stream *stream = stream_of(base);
    enum status status = STATUS_OK;
    net_core_lock();
    if (!can_send(stream))
        status = STATUS_CLOSED;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const char *data = spans[i].base;
        size_t left = spans[i].length;
        while (left > 0 && status == STATUS_OK) {
            size_t queued;
            status = queue_some(stream, data, left, i + 1 < count, &queued);
            data += queued;
            left -= queued;
        }
    }
    if (status == STATUS_OK)
        tcp_output(stream->pcb);
    net_core_unlock();
    return status;
}

static void tcp_stream_set_timeout(struct stream *base, uint64_t nanoseconds) {
    net_core_lock();
    stream_of(base)->timeout_ns = nanoseconds;
    net_core_unlock();
}

static void tcp_stream_abort(struct stream *base) {
    struct tcp_stream *stream = stream_of(base);
    net_core_lock();
    stream->aborted = true;
    if (stream->pcb != NULL)
        tcp_abort(stream->pcb);
    wake_both(stream);
    net_core_unlock();
}

/* The connection goes on alone: sends what is queued, ends, and must finish in time. */
static void close_gracefully(struct tcp_stream *stream) {
    struct tcp_pcb *pcb = stream->pcb;
    uint32_t unread = 0;
    stream->closing = true;
    stream->close_deadline = os_now_ns() + CLOSE_STALL_NS;
    stream->close_limit = os_now_ns() + CLOSE_LIMIT_NS;
    for (const struct pbuf *at = stream->first; at != NULL; at = at->next)
        unread += at->len;
    open_window(pcb, unread - stream->offset);
    free_pbufs(stream->first);
    stream->first = NULL;
    stream->last = NULL;
    stream->collector = NULL;
    stream->offset = 0;
    tcp_shutdown(pcb, 0, 1); /* without memory for the FIN, lwIP tries again */
}

static void tcp_stream_close(struct stream *base) {
    struct tcp_stream *stream = stream_of(base);
    net_core_lock();
    ASSERT(stream->owned && !stream->reader_waits && !stream->writer_waits);
    stream->owned = false;
    if (stream->pcb == NULL)
        stream_free(stream);
    else
        close_gracefully(stream);
    net_core_unlock();
}

static const struct stream_operations stream_operations = {
    .read = tcp_stream_read,
    .write = tcp_stream_write,
    .set_timeout = tcp_stream_set_timeout,
    .abort = tcp_stream_abort,
    .close = tcp_stream_close,
};

static struct tcp_stream *stream_new(struct tcp_pcb *pcb) {
    struct tcp_stream *stream = os_alloc_zeroed(sizeof *stream);
    if (stream == NULL)
        return NULL;
    char address[NET_ADDRESS_TEXT_SIZE];
    net_address_text(address, ip_addr_get_ip4_u32(&pcb->remote_ip));
    format_text(stream->stream.peer, sizeof stream->stream.peer, "%s:%u", address,
                pcb->remote_port);
    stream->stream.operations = &stream_operations;
    stream->pcb = pcb;
    list_init(&stream->link);
    os_condition_init(&stream->readable);
    os_condition_init(&stream->writable);
    return stream;
}

static void configure(struct tcp_pcb *pcb, struct tcp_stream *stream) {
    tcp_arg(pcb, stream);
    tcp_ext_arg_set(pcb, argument_id, stream);
    tcp_ext_arg_set_callbacks(pcb, argument_id, &connection_callbacks);
    tcp_recv(pcb, connection_received);
    tcp_sent(pcb, connection_sent);
    tcp_poll(pcb, connection_poll, POLL_INTERVAL);
    tcp_nagle_disable(pcb);
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = KEEP_IDLE_MS;
    pcb->keep_intvl = KEEP_INTERVAL_MS;
    pcb->keep_cnt = KEEP_COUNT;
}

/* A SYN came: before it is answered, the window that the answer announces is made small. */
static err_t connection_opening(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *pcb) {
    (void)id;
    (void)listener;
    pcb->rcv_wnd = MATH_MIN(pcb->rcv_wnd, FIRST_WINDOW);
    pcb->rcv_ann_wnd = pcb->rcv_wnd;
    return ERR_OK;
}

static const struct tcp_ext_arg_callbacks listener_callbacks = {
    .passive_open = connection_opening,
};

/* The handshake is complete. An error makes lwIP reset the connection. */
static err_t connection_accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
    struct tcp_listener *listener = argument;
    if (error != ERR_OK || pcb == NULL) /* lwIP had no memory; the peer will try again */
        return ERR_MEM;
    if (listener->aborted)
        return ERR_CLSD;
    struct tcp_stream *stream = stream_new(pcb);
    if (stream == NULL)
        return ERR_MEM;
    configure(pcb, stream);
    tcp_backlog_delayed(pcb);
    list_push_back(&listener->ready, &stream->link);
    os_condition_signal(&listener->acceptable);
    return ERR_OK;
}

static enum status tcp_listener_accept(struct listener *base, struct stream **stream) {
    struct tcp_listener *listener = listener_of(base);
    enum status status = STATUS_CLOSED;
    net_core_lock();
    while (!listener->aborted && list_is_empty(&listener->ready))
        net_core_wait(&listener->acceptable, OS_FOREVER);
    if (!listener->aborted) {
        struct list_node *first = list_pop_front(&listener->ready);
        struct tcp_stream *accepted = LIST_CONTAINER(first, struct tcp_stream, link);
        accepted->owned = true;
        tcp_backlog_accepted(accepted->pcb);
        *stream = &accepted->stream;
        status = STATUS_OK;
    }
    net_core_unlock();
    return status;
}

static void tcp_listener_abort(struct listener *base) {
    struct tcp_listener *listener = listener_of(base);
    net_core_lock();
    listener->aborted = true;
    os_condition_broadcast(&listener->acceptable);
    net_core_unlock();
}

static void tcp_listener_close(struct listener *base) {
    struct tcp_listener *listener = listener_of(base);
    net_core_lock();
    while (!list_is_empty(&listener->ready)) {
        struct tcp_stream *stream = LIST_CONTAINER(listener->ready.next, struct tcp_stream, link);
        tcp_abort(stream->pcb); /* connection_destroyed() unlinks and frees it */
    }
    err_t error = tcp_close(listener->pcb);
    ASSERT(error == ERR_OK);
    net_core_unlock();
    os_condition_destroy(&listener->acceptable);
    os_free(listener);
}

static const struct listener_operations listener_operations = {
    .accept = tcp_listener_accept,
    .abort = tcp_listener_abort,
    .close = tcp_listener_close,
};

/* Core lock. */
static enum status listen_on(uint16_t port, struct tcp_listener *listener) {
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
    if (pcb == NULL)
        return STATUS_NO_MEMORY;
    ip_set_option(pcb, SOF_REUSEADDR); /* connections of an earlier listener are no obstacle */
    err_t error = tcp_bind(pcb, IP4_ADDR_ANY, port);
    struct tcp_pcb *listening = NULL;
    if (error == ERR_OK)
        listening = tcp_listen_with_backlog_and_err(pcb, BACKLOG, &error);
    if (listening == NULL) {
        tcp_close(pcb);
        return error == ERR_USE ? STATUS_BUSY : STATUS_NO_MEMORY;
    }
    tcp_ext_arg_set_callbacks(listening, argument_id, &listener_callbacks);
    tcp_arg(listening, listener);
    tcp_accept(listening, connection_accepted);
    listener->pcb = listening;
    return STATUS_OK;
}

enum status net_tcp_listen(uint16_t port, struct listener **listener) {
    struct tcp_listener *created = os_alloc_zeroed(sizeof *created);
    if (created == NULL)
        return STATUS_NO_MEMORY;
    created->listener.operations = &listener_operations;
    format_text(created->listener.address, sizeof created->listener.address, "0.0.0.0:%u", port);
    list_init(&created->ready);
    os_condition_init(&created->acceptable);
    net_core_lock();
    enum status status = listen_on(port, created);
    net_core_unlock();
    if (status != STATUS_OK) {
        os_condition_destroy(&created->acceptable);
        os_free(created);
        return status;
    }
    *listener = &created->listener;
    return STATUS_OK;
}

void net_tcp_start(void) {
    struct os_memory_info memory;
    os_memory_info(&memory);
    net_core_lock();
    argument_id = tcp_ext_arg_alloc_id();
    window_limit = memory.total_bytes / WINDOW_MEMORY_SHARE;
    net_core_unlock();
}
