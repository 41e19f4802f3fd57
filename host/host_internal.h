/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of host/ share with each other. */
#ifndef HOST_HOST_INTERNAL_H
#define HOST_HOST_INTERNAL_H

#include "base/status.h"
#include "base/stream.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- os_clock.c: deadlines, in nanoseconds of os_now_ns() ---- */

/* OS_FOREVER stays OS_FOREVER; a deadline beyond the clock's end becomes it. */
uint64_t host_deadline_after(uint64_t timeout_ns);

/* pthread_cond_wait until a deadline of os_now_ns(); returns 0 or ETIMEDOUT. */
int host_condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t deadline);

/* ---- os_memory.c ---- */

/* Asks every registered cache for memory; returns what they freed, in bytes. */
uint64_t host_memory_shrink(uint64_t bytes);

/* True if this allocation is one that host_memory_fail() wants to see fail. */
bool host_memory_should_fail(void);

/* ---- socket_stream.c ---- */

/* Wraps a connected, non-blocking socket, which is the stream's from now on, also on failure. */
enum status host_socket_stream(int fd, struct stream **stream);

/* ---- socket_address.c: "HOST:PORT", "[V6]:PORT", "unix:PATH" ---- */

struct host_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* INVALID, NOT_FOUND (no such host), NO_MEMORY. */
enum status host_address_parse(const char *text, struct host_address *out);

/* Room for any name that host_address_print() makes. */
#define HOST_ADDRESS_SIZE 128

/* The address in the form that host_listen() takes; "unix" for an unnamed unix socket. */
void host_address_print(const struct sockaddr *address, unsigned length, char *out, size_t size);

/* ---- file_queue.c: the I/O threads of a file block device ---- */

struct host_queue;
struct block_request;

/* `run` executes one request to its end, done() included, in one of the threads. NO_MEMORY. */
enum status host_queue_start(void (*run)(void *context, struct block_request *request),
                             void *context, unsigned threads, struct host_queue **queue);
void host_queue_push(struct host_queue *queue, struct block_request *request);
/* Runs what is queued, then ends the threads. */
void host_queue_stop(struct host_queue *queue);

#endif
