/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h's objects, what memory there is, and the caches that give some back.
 *
 * Linux promises memory that it does not have, so that malloc() hardly ever fails before the kernel
 * kills somebody. os_memory_info() therefore looks at what is really free, the control group's
 * limit included: caches size themselves by it.
 *
 * Invariants:
 * 1. The list of shrinkers is read and changed only under shrinkers_lock, which is also held while
 *    they run: after os_shrinker_unregister() none of the cache's code runs here any more.
 * 2. A shrinker does not allocate, so shrinkers_lock is never taken twice by one thread.
 */
#include "base/assert.h"
#include "base/math.h"
#include "base/os.h"
#include "host/host.h"
#include "host/host_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

static pthread_mutex_t shrinkers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct os_shrinker *shrinkers;

/* host_memory_fail(): allocations still to succeed; below zero: no fault is planned. */
static _Atomic int64_t fail_countdown = -1;
static _Atomic bool fail_forever;

void host_memory_fail(uint64_t after, bool forever) {
    fail_forever = forever;
    fail_countdown = after == HOST_MEMORY_FAIL_NEVER ? -1 : (int64_t)after;
}

bool host_memory_should_fail(void) {
    if (__builtin_expect(fail_countdown < 0, true))
        return false;
    int64_t left = fail_countdown;
    for (;;) {
        if (left < 0)
            return false;
        int64_t next = left == 0 ? (fail_forever ? 0 : -1) : left - 1;
        if (atomic_compare_exchange_strong(&fail_countdown, &left, next))
            return left == 0;
    }
}

uint64_t host_memory_shrink(uint64_t bytes) {
    uint64_t freed = 0;
    pthread_mutex_lock(&shrinkers_lock);
    for (struct os_shrinker *one = shrinkers; one != NULL && freed < bytes; one = one->next)
        freed += one->shrink(one->context, bytes - freed);
    pthread_mutex_unlock(&shrinkers_lock);
    return freed;
}

void os_shrinker_register(struct os_shrinker *shrinker) {
    pthread_mutex_lock(&shrinkers_lock);
    shrinker->next = shrinkers;
    shrinkers = shrinker;
    pthread_mutex_unlock(&shrinkers_lock);
}

void os_shrinker_unregister(struct os_shrinker *shrinker) {
    pthread_mutex_lock(&shrinkers_lock);
    struct os_shrinker **link = &shrinkers;
    while (*link != shrinker) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = shrinker->next;
    pthread_mutex_unlock(&shrinkers_lock);
}

static void *allocate(size_t size, bool zeroed) {
    size = MATH_MAX(size, (size_t)1);
    if (host_memory_should_fail())
        return NULL;
    void *memory = zeroed ? calloc(1, size) : malloc(size);
    if (memory == NULL && host_memory_shrink(size) > 0)
        memory = zeroed ? calloc(1, size) : malloc(size);
    ASSERT((uintptr_t)memory % 16 == 0);
    return memory;
}

void *os_alloc(size_t size) {
    return allocate(size, false);
}

void *os_alloc_zeroed(size_t size) {
    return allocate(size, true);
}

void os_free(void *memory) {
    free(memory);
}

/* A file that holds one number; `missing` if it is not there or says "max". */
static uint64_t read_number(const char *path, uint64_t missing) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return missing;
    unsigned long long number;
    bool found = fscanf(file, "%llu", &number) == 1;
    fclose(file);
    return found ? number : missing;
}

/* MemAvailable of /proc/meminfo: what can be had without swapping. */
static uint64_t available_bytes(uint64_t otherwise) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL)
        return otherwise;
    char line[128];
    unsigned long long kib;
    uint64_t bytes = otherwise;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) {
            bytes = kib * 1024;
            break;
        }
    }
    fclose(file);
    return bytes;
}

/* Narrows what the machine has to what the process's control group (version 2) may use. */
static void apply_control_group(struct os_memory_info *info) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return;
    char line[512];
    char path[640];
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::", 3) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + 3);
        uint64_t limit = read_number(path, UINT64_MAX);
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", line + 3);
        uint64_t used = read_number(path, 0);
        info->total_bytes = MATH_MIN(info->total_bytes, limit);
        if (limit != UINT64_MAX)
            info->free_bytes = MATH_MIN(info->free_bytes, limit > used ? limit - used : 0);
    }
    fclose(file);
}

void os_memory_info(struct os_memory_info *info) {
    struct sysinfo system;
    int error = sysinfo(&system);
    ASSERT(error == 0);
    info->total_bytes = (uint64_t)system.totalram * system.mem_unit;
    info->free_bytes = available_bytes((uint64_t)system.freeram * system.mem_unit);
    apply_control_group(info);
}
