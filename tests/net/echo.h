/* SPDX-License-Identifier: Apache-2.0 */
/* An echo server over net/'s streams and a Linux client that compares, for the tests of net/. */
#ifndef TESTS_NET_ECHO_H
#define TESTS_NET_ECHO_H

#include "base/os.h"
#include "base/stream.h"
#include "tests/net/tap.h"

#include <pthread.h>

/* Random lengths: mostly what services use, sometimes one byte. */
static inline size_t echo_length(uint64_t *random, size_t limit) {
    uint64_t kind = tap_random(random) % 10;
    size_t length = kind == 0 ? 1 + tap_random(random) % 16 : 1 + tap_random(random) % limit;
    return length;
}

/* Sends everything back, in pieces of other lengths than they came in; closes the stream. */
static inline void echo_serve(void *argument) {
    struct stream *stream = argument;
    uint64_t random = 0x1234567 ^ (uintptr_t)stream;
    size_t size = 150000;
    char *buffer = malloc(size);
    for (;;) {
        size_t got = 0;
        if (stream_read(stream, buffer, echo_length(&random, size), &got) != STATUS_OK || got == 0)
            break;
        size_t cut = tap_random(&random) % (got + 1);
        struct span spans[2] = {{buffer, cut}, {buffer + cut, got - cut}};
        if (stream_write(stream, spans, 2) != STATUS_OK)
            break;
    }
    free(buffer);
    stream_close(stream);
}

/* Accepts until the listener is aborted; each connection gets a thread. */
static inline void echo_accept(void *argument) {
    struct listener *listener = argument;
    struct stream *stream;
    for (;;) {
        enum status status = listener_accept(listener, &stream);
        if (status == STATUS_CLOSED)
            return;
        if (status == STATUS_OK && os_thread_start(NULL, "echo", echo_serve, stream) != STATUS_OK)
            abort();
    }
}

struct echo_client {
    int fd;
    uint64_t total; /* bytes each way */
    uint64_t seed;
    uint64_t wrong; /* offset + 1 of the first difference */
};

/* The content of a stream of bytes: a function of seed and offset. */
static inline uint8_t echo_byte(uint64_t seed, uint64_t offset) {
    uint64_t word = (offset / 8 + seed) * 0x9e3779b97f4a7c15u;
    return (uint8_t)((word ^ word >> 29) >> 8 * (offset % 8));
}

static inline void *echo_client_sends(void *argument) {
    struct echo_client *client = argument;
    uint64_t random = client->seed | 1;
    static const size_t limit = 200000;
    uint8_t *buffer = malloc(limit);
    for (uint64_t sent = 0; sent < client->total;) {
        size_t length = echo_length(&random, limit);
        if (length > client->total - sent)
            length = client->total - sent;
        for (size_t i = 0; i < length; i++)
            buffer[i] = echo_byte(client->seed, sent + i);
        for (size_t done = 0; done < length;) {
            ssize_t written = send(client->fd, buffer + done, length - done, MSG_NOSIGNAL);
            if (written <= 0) {
                client->wrong = sent + done + 1;
                goto out;
            }
            done += (size_t)written;
        }
        sent += length;
    }
out:
    shutdown(client->fd, SHUT_WR);
    free(buffer);
    return NULL;
}

/* Sends `total` bytes and reads them back at the same time; the offset of the first byte that is
 * missing or wrong plus one, 0 if none. */
static inline uint64_t echo_compare(uint16_t port, uint64_t total, uint64_t seed) {
    struct echo_client client = {.fd = tap_connect(port), .total = total, .seed = seed};
    if (client.fd < 0)
        return 1;
    pthread_t sender;
    pthread_create(&sender, NULL, echo_client_sends, &client);
    static const size_t size = 100000;
    uint8_t *buffer = malloc(size);
    uint64_t received = 0;
    uint64_t wrong = 0;
    for (;;) {
        ssize_t got = recv(client.fd, buffer, size, 0);
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got && wrong == 0; i++, received++)
            if (buffer[i] != echo_byte(seed, received))
                wrong = received + 1;
    }
    if (wrong == 0 && received != total)
        wrong = received + 1;
    pthread_join(sender, NULL);
    close(client.fd);
    free(buffer);
    return wrong != 0 ? wrong : client.wrong;
}

#endif
