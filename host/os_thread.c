/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h's threads over pthreads.
 *
 * Invariant: a joinable os_thread is freed by its joiner, a detached one by itself before it ends.
 */
#include "base/assert.h"
#include "base/os.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE 32 /* os.h: cut at 31 bytes */
#define LINUX_NAME_SIZE 16

struct os_thread {
    pthread_t handle;
    void (*entry)(void *argument);
    void *argument;
    bool detached;
    char name[NAME_SIZE];
};

static void set_name(const char *name) {
    char cut[LINUX_NAME_SIZE];
    snprintf(cut, sizeof cut, "%.15s", name);
    (void)pthread_setname_np(pthread_self(), cut); /* for people; nothing depends on it */
}

static void *thread_main(void *argument) {
    struct os_thread *thread = argument;
    void (*entry)(void *) = thread->entry;
    void *entry_argument = thread->argument;
    set_name(thread->name);
    if (thread->detached)
        os_free(thread);
    entry(entry_argument);
    return NULL;
}

static int create(struct os_thread *thread) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    if (thread->detached)
        error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ASSERT(error == 0);
    /* A detached thread frees the structure that holds its handle, perhaps before we return. */
    pthread_t handle;
    bool detached = thread->detached;
    error = pthread_create(&handle, &attributes, thread_main, thread);
    if (error == 0 && !detached)
        thread->handle = handle;
    pthread_attr_destroy(&attributes);
    return error;
}

enum status os_thread_start(struct os_thread **thread, const char *name,
                            void (*entry)(void *argument), void *argument) {
    struct os_thread *new = os_alloc_zeroed(sizeof *new);
    if (new == NULL)
        return STATUS_NO_MEMORY;
    new->entry = entry;
    new->argument = argument;
    new->detached = thread == NULL;
    snprintf(new->name, sizeof new->name, "%s", name);
    if (create(new) != 0) {
        os_free(new);
        return STATUS_NO_MEMORY;
    }
    if (thread != NULL)
        *thread = new;
    return STATUS_OK;
}

void os_thread_join(struct os_thread *thread) {
    ASSERT(!thread->detached);
    int error = pthread_join(thread->handle, NULL);
    ASSERT(error == 0);
    os_free(thread);
}
