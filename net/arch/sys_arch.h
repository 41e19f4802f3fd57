/* SPDX-License-Identifier: Apache-2.0 */
/* lwIP's idea of an operating system, over base/os.h. */
#ifndef NET_ARCH_SYS_ARCH_H
#define NET_ARCH_SYS_ARCH_H

#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

/* Messages that fit into a mailbox; posting more waits. lwIP has one mailbox, for its timer
 * thread, and net/ posts nothing to it. */
#define NET_MAILBOX_SIZE 16

typedef struct {
    struct os_mutex mutex;
    bool valid;
} sys_mutex_t;

typedef struct {
    struct os_mutex mutex; /* guards count */
    struct os_condition positive;
    uint32_t count;
    bool valid;
} sys_sem_t;

typedef struct {
    struct os_mutex mutex; /* guards what follows */
    struct os_condition not_empty;
    struct os_condition not_full;
    void *messages[NET_MAILBOX_SIZE]; /* a ring */
    uint32_t first;
    uint32_t count;
    bool valid;
} sys_mbox_t;

typedef struct os_thread *sys_thread_t;

#endif
