/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world's memory. Two areas, one for objects and one for pages, are handed out from their start;
 * what is freed waits on a list for its size. Dropping a world resets two offsets and the lists, so
 * that a power cut costs nothing. Under AddressSanitizer each piece is an allocation of its own
 * instead, on one of two lists, so that overruns and uses after free are seen.
 *
 * Invariants:
 * 1. live counts what was allocated and not freed in this world.
 * 2. A size class holds pieces of exactly 2^class bytes (objects, header included) or pages.
 */
#include "base/assert.h"
#include "base/math.h"
#include "host/sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WORLD_BYTES (1ull << 30) /* of addresses for each area; memory is taken as it is used */

static uint64_t live;
static struct sim_shortage shortage;
static uint64_t counted; /* allocations since the shortage was ordered */
static bool failed, failed_too;
static struct os_shrinker *shrinkers;

void sim_fail_allocations(const struct sim_shortage *order) {
    shortage = *order;
    counted = 0;
    failed = failed_too = false;
}

bool sim_allocation_failed(void) {
    return failed;
}

bool sim_allocation_failed_too(void) {
    return failed_too;
}

bool sim_memory_should_fail(void) {
    uint64_t number = counted++;
    bool fails = number == shortage.at || (shortage.forever && number > shortage.at);
    failed |= fails;
    failed_too |= number == shortage.too;
    return fails || number == shortage.too;
}

uint64_t sim_memory_live(void) {
    return live;
}

#ifdef __SANITIZE_ADDRESS__

/* Stands before each piece, in a page of its own before pages. */
struct header {
    struct list_node link;
};
_Static_assert(sizeof(struct header) == 16, "keeps objects aligned");

static struct list_node objects = {&objects, &objects};
static struct list_node pages = {&pages, &pages};

static void *take_object(size_t bytes) {
    struct header *header = malloc(sizeof *header + bytes);
    ASSERT(header != NULL);
    list_push_back(&objects, &header->link);
    return header + 1;
}

static void give_object(void *memory) {
    struct header *header = (struct header *)memory - 1;
    list_remove(&header->link);
    free(header);
}

static void *take_pages(size_t bytes) {
    char *memory = aligned_alloc(OS_PAGE_SIZE, OS_PAGE_SIZE + bytes);
    ASSERT(memory != NULL);
    struct header *header = (struct header *)(memory + OS_PAGE_SIZE) - 1;
    list_push_back(&pages, &header->link);
    return header + 1;
}

static void give_pages(void *memory, size_t bytes) {
    (void)bytes;
    list_remove(&((struct header *)memory - 1)->link);
    free((char *)memory - OS_PAGE_SIZE);
}

static void drop_all(void) {
    while (!list_is_empty(&objects))
        give_object(LIST_CONTAINER(objects.next, struct header, link) + 1);
    while (!list_is_empty(&pages))
        give_pages(LIST_CONTAINER(pages.next, struct header, link) + 1, 0);
}

#else

#define CLASSES 48u

struct area {
    char *start;
    uint64_t used;
    void *free[CLASSES]; /* by size class; linked through their first word */
};

static struct area objects, pages;

static void *area_take(struct area *area, unsigned class, uint64_t bytes) {
    void *memory = area->free[class];
    if (memory != NULL) {
        memcpy(&area->free[class], memory, sizeof memory);
        return memory;
    }
    if (area->start == NULL) {
        area->start = mmap(NULL, WORLD_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(area->start != MAP_FAILED);
    }
    if (bytes > WORLD_BYTES - area->used)
        return NULL;
    memory = area->start + area->used;
    area->used += bytes;
    return memory;
}

static void area_give(struct area *area, unsigned class, void *memory) {
    memcpy(memory, &area->free[class], sizeof memory);
    area->free[class] = memory;
}

static unsigned class_of(uint64_t count) {
    return count <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(count - 1);
}

static void *take_object(size_t bytes) {
    unsigned class = MATH_MAX(class_of(bytes + 16), 5u);
    char *memory = area_take(&objects, class, 1ull << class);
    if (memory == NULL)
        return NULL;
    *(uint64_t *)memory = class;
    return memory + 16;
}

static void give_object(void *memory) {
    char *start = (char *)memory - 16;
    area_give(&objects, (unsigned)*(uint64_t *)start, start);
}

static void *take_pages(size_t bytes) {
    unsigned class = class_of(bytes / OS_PAGE_SIZE);
    return area_take(&pages, class, (uint64_t)OS_PAGE_SIZE << class);
}

static void give_pages(void *memory, size_t bytes) {
    area_give(&pages, class_of(bytes / OS_PAGE_SIZE), memory);
}

static void drop_all(void) {
    objects.used = 0;
    pages.used = 0;
    memset(objects.free, 0, sizeof objects.free);
    memset(pages.free, 0, sizeof pages.free);
}

#endif

void sim_memory_reset(void) {
    drop_all();
    live = 0;
    shrinkers = NULL;
    shortage = (struct sim_shortage){.at = SIM_NEVER, .too = SIM_NEVER};
}

/* A failure that was asked for comes also when caches could shrink: they have tried in vain. */
static bool out_of_memory(uint64_t bytes) {
    if (!sim_memory_should_fail())
        return false;
    for (struct os_shrinker *one = shrinkers; one != NULL; one = one->next)
        one->shrink(one->context, bytes);
    return true;
}

void *os_alloc(size_t size) {
    void *memory = out_of_memory(size) ? NULL : take_object(size);
    live += memory != NULL;
    return memory;
}

void *os_alloc_zeroed(size_t size) {
    void *memory = os_alloc(size);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void os_free(void *memory) {
    if (memory == NULL)
        return;
    ASSERT(live > 0);
    live--;
    give_object(memory);
}

void *os_page_alloc(size_t bytes) {
    ASSERT(bytes > 0 && bytes % OS_PAGE_SIZE == 0);
    void *memory = out_of_memory(bytes) ? NULL : take_pages(bytes);
    live += memory != NULL;
    return memory;
}

void os_page_free(void *memory, size_t bytes) {
    if (memory == NULL)
        return;
    ASSERT(live > 0);
    live--;
    give_pages(memory, bytes);
}

void os_memory_info(struct os_memory_info *info) {
    *info = (struct os_memory_info){.total_bytes = 64u << 20, .free_bytes = 32u << 20};
}

void os_shrinker_register(struct os_shrinker *shrinker) {
    shrinker->next = shrinkers;
    shrinkers = shrinker;
}

void os_shrinker_unregister(struct os_shrinker *shrinker) {
    struct os_shrinker **link = &shrinkers;
    while (*link != shrinker) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = shrinker->next;
}
