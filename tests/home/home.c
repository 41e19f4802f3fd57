/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/home/home.h"
#include "base/assert.h"
#include "base/os.h"
#include "kernel/cpu/percpu.h"
#include "kernel/device.h"
#include "kernel/mm/memory.h"
#include "kernel/sched/event.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define VECTORS 256
#define ENTRIES 64
#define DEVICES 64

uint32_t home_cpus = 2;
uint32_t home_hurry = 1;
struct home_function home_function;

static pthread_mutex_t event_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t event_changed = PTHREAD_COND_INITIALIZER;

/* A handler does not run while it is being unregistered. */
static pthread_mutex_t irq_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    irq_handler *handler;
    void *context;
} handlers[VECTORS];
static uint8_t entries[ENTRIES];

static struct blockdev *published[DEVICES];
static uint32_t published_count;

uint32_t cpu_index(void) {
    static uint32_t threads;
    static _Thread_local uint32_t number;
    if (number == 0)
        number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
    return number % home_cpus;
}

uint32_t cpu_count(void) {
    return home_cpus;
}

uint64_t memory_physical(const void *address) {
    return (uintptr_t)address;
}

void event_init(struct event *event) {
    event->signalled = false;
}

void event_signal(struct event *event) {
    pthread_mutex_lock(&event_mutex);
    event->signalled = true;
    pthread_cond_broadcast(&event_changed);
    pthread_mutex_unlock(&event_mutex);
}

bool event_wait(struct event *event, uint64_t timeout_ns) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    if (timeout_ns != OS_FOREVER) {
        uint64_t ns = timeout_ns / home_hurry + (uint64_t)end.tv_nsec;
        end.tv_sec += (time_t)(ns / 1000000000);
        end.tv_nsec = (long)(ns % 1000000000);
    }
    pthread_mutex_lock(&event_mutex);
    int error = 0;
    while (!event->signalled && error != ETIMEDOUT) {
        if (timeout_ns == OS_FOREVER)
            pthread_cond_wait(&event_changed, &event_mutex);
        else
            error = pthread_cond_timedwait(&event_changed, &event_mutex, &end);
    }
    bool signalled = event->signalled;
    event->signalled = false;
    pthread_mutex_unlock(&event_mutex);
    return signalled;
}

enum status irq_vector_register(const char *name, irq_handler *handler, void *context,
                                uint8_t *vector) {
    (void)name;
    pthread_mutex_lock(&irq_mutex);
    uint32_t free = 1;
    while (free < VECTORS && handlers[free].handler != NULL)
        free++;
    ASSERT(free < VECTORS);
    handlers[free].handler = handler;
    handlers[free].context = context;
    pthread_mutex_unlock(&irq_mutex);
    *vector = (uint8_t)free;
    return STATUS_OK;
}

void irq_vector_unregister(uint8_t vector) {
    pthread_mutex_lock(&irq_mutex);
    handlers[vector].handler = NULL;
    pthread_mutex_unlock(&irq_mutex);
}

void home_interrupt(uint16_t entry) {
    pthread_mutex_lock(&irq_mutex);
    uint8_t vector = entries[entry];
    if (vector != 0 && handlers[vector].handler != NULL)
        handlers[vector].handler(handlers[vector].context);
    pthread_mutex_unlock(&irq_mutex);
}

uint16_t pci_msix_vectors(const struct pci_device *device) {
    (void)device;
    return home_function.msix_vectors;
}

enum status pci_msix_enable(struct pci_device *device) {
    (void)device;
    return STATUS_OK;
}

void pci_msix_set(struct pci_device *device, uint16_t entry, uint8_t vector, uint32_t cpu) {
    (void)device;
    ASSERT(entry < home_function.msix_vectors && cpu < home_cpus);
    pthread_mutex_lock(&irq_mutex);
    entries[entry] = vector;
    pthread_mutex_unlock(&irq_mutex);
}

/* The pin, and MSI, are entry 0. */
enum status pci_interrupt_register(struct pci_device *device, const char *name,
                                   irq_handler *handler, void *context) {
    (void)device;
    uint8_t vector;
    enum status status = irq_vector_register(name, handler, context, &vector);
    entries[0] = vector;
    return status;
}

void pci_enable(struct pci_device *device) {
    (void)device;
    home_function.command |= 6;
}

enum status pci_bar_map(const struct pci_device *device, unsigned bar, volatile void **registers,
                        size_t *length) {
    (void)device;
    ASSERT(bar == 0);
    *registers = home_function.registers;
    *length = home_function.registers_length;
    return STATUS_OK;
}

uint16_t pci_config_read16(const struct pci_device *device, uint16_t offset) {
    (void)device;
    ASSERT(offset == 4);
    return __atomic_load_n(&home_function.command, __ATOMIC_SEQ_CST);
}

void pci_config_write16(const struct pci_device *device, uint16_t offset, uint16_t value) {
    (void)device;
    ASSERT(offset == 4);
    __atomic_store_n(&home_function.command, value, __ATOMIC_SEQ_CST);
}

enum status device_publish_block(struct blockdev *device) {
    ASSERT(published_count < DEVICES);
    published[published_count++] = device;
    return STATUS_OK;
}

struct blockdev *device_block(uint32_t index) {
    return index < published_count ? published[index] : NULL;
}

void home_reset(void) {
    published_count = 0;
    pthread_mutex_lock(&irq_mutex);
    for (uint32_t i = 0; i < VECTORS; i++)
        handlers[i].handler = NULL;
    for (uint32_t i = 0; i < ENTRIES; i++)
        entries[i] = 0;
    pthread_mutex_unlock(&irq_mutex);
}
