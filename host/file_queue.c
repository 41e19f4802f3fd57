/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O threads of a file block device: they take requests from one queue, oldest first.
 *
 * Invariants:
 * 1. A request is on the list from push until a thread takes it; then it is that thread's.
 * 2. Once `stopping` is set nothing is pushed any more, and a thread ends when the list is empty.
 */
#include "base/assert.h"
#include "base/blockdev.h"
#include "base/os.h"
#include "host/host_internal.h"

struct host_queue {
    void (*run)(void *context, struct block_request *request);
    void *context;
    struct os_mutex mutex; /* guards what follows up to the threads */
    struct os_condition wake;
    struct list_node requests;
    bool stopping;
    unsigned thread_count; /* this and the array: constant after the start */
    struct os_thread *threads[];
};

static void serve(void *argument) {
    struct host_queue *queue = argument;
    os_mutex_lock(&queue->mutex);
    for (;;) {
        struct list_node *node = list_pop_front(&queue->requests);
        if (node == NULL && queue->stopping)
            break;
        if (node == NULL) {
            os_condition_wait(&queue->wake, &queue->mutex, OS_FOREVER);
            continue;
        }
        os_mutex_unlock(&queue->mutex);
        queue->run(queue->context, LIST_CONTAINER(node, struct block_request, link));
        os_mutex_lock(&queue->mutex);
    }
    os_mutex_unlock(&queue->mutex);
}

enum status host_queue_start(void (*run)(void *context, struct block_request *request),
                             void *context, unsigned threads, struct host_queue **queue) {
    struct host_queue *new = os_alloc_zeroed(sizeof *new + threads * sizeof(void *));
    if (new == NULL)
        return STATUS_NO_MEMORY;
    new->run = run;
    new->context = context;
    os_mutex_init(&new->mutex);
    os_condition_init(&new->wake);
    list_init(&new->requests);
    while (new->thread_count < threads) {
        struct os_thread **thread = &new->threads[new->thread_count];
        if (os_thread_start(thread, "block-io", serve, new) != STATUS_OK) {
            host_queue_stop(new);
            return STATUS_NO_MEMORY;
        }
        new->thread_count++;
    }
    *queue = new;
    return STATUS_OK;
}

void host_queue_push(struct host_queue *queue, struct block_request *request) {
    os_mutex_lock(&queue->mutex);
    ASSERT(!queue->stopping);
    list_push_back(&queue->requests, &request->link);
    os_mutex_unlock(&queue->mutex);
    os_condition_signal(&queue->wake);
}

void host_queue_stop(struct host_queue *queue) {
    os_mutex_lock(&queue->mutex);
    queue->stopping = true;
    os_mutex_unlock(&queue->mutex);
    os_condition_broadcast(&queue->wake);
    for (unsigned i = 0; i < queue->thread_count; i++)
        os_thread_join(queue->threads[i]);
    ASSERT(list_is_empty(&queue->requests));
    os_condition_destroy(&queue->wake);
    os_mutex_destroy(&queue->mutex);
    os_free(queue);
}
