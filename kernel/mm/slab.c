/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 *  1. every page of a slab is PAGE_SLAB with its class; in_use and free_objects are the first
 *     page's, and the slab is aligned to its size;
 *  2. a slab is on its class's partial list exactly if it has free objects;
 *  3. a free object, in a slab or in a magazine, holds next (in a slab) in its first word and its
 *     cookie in the second; an object given out does not hold its cookie. That costs one store each
 *     way, and finds every double free whose memory was not written since.
 */
#include "kernel/mm/slab.h"

#include "base/math.h"
#include "kernel/cpu/panic.h"
#include "kernel/cpu/spinlock.h"
#include "kernel/mm/cpu_cache.h"

#define UNIT 16u
#define BATCH (CPU_CACHE_OBJECTS / 2)
#define KEEP_EMPTY 2u /* whole free slabs that a class keeps */

struct free_object {
    struct free_object *next;
    uint64_t cookie;
};

struct size_class {
    uint32_t size;
    uint32_t order;
    uint32_t per_slab;

    struct spinlock lock; /* taken before a zone's; guards all below and the slabs' descriptors */
    struct list_node partial;
    uint64_t slabs;
    uint64_t empty; /* slabs on the list without a used object */
};

static const uint16_t sizes[CPU_CACHE_CLASSES] = {16,  32,  48,  64,  96,  128,  160,  192,  256,
                                                  320, 384, 512, 640, 768, 1024, 1280, 1536, 2048};
static struct size_class classes[CPU_CACHE_CLASSES];
static uint8_t class_of_units[SLAB_SIZE_MAX / UNIT + 1]; /* by size in units, rounded up */
static uint64_t secret;

static uint64_t cookie_of(const void *object) {
    return (uint64_t)object ^ secret;
}

static uint32_t order_for(uint32_t size) {
    uint32_t order = 0;
    while ((MEMORY_PAGE_SIZE << order) / size < 8)
        order++;
    return order;
}

void slab_initialize(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    secret = ((uint64_t)high << 32 | low) * 0x9e3779b97f4a7c15ull | 1;
    unsigned unit = 0;
    for (unsigned i = 0; i < CPU_CACHE_CLASSES; i++) {
        struct size_class *class = &classes[i];
        class->size = sizes[i];
        class->order = order_for(sizes[i]);
        class->per_slab = (MEMORY_PAGE_SIZE << class->order) / sizes[i];
        list_init(&class->partial);
        for (; unit * UNIT <= sizes[i]; unit++)
            class_of_units[unit] = (uint8_t)i;
    }
}

static struct page *slab_of(const struct size_class *class, const struct page *page) {
    return page_at(math_round_down(page_number(page), 1ull << class->order));
}

/* ---- slabs; the class's lock is held ---- */

static struct page *slab_create(struct size_class *class) {
    char *memory = page_alloc(class->order);
    if (memory == NULL)
        return NULL;
    struct page *slab = page_of(memory);
    for (uint32_t i = 0; i < 1u << class->order; i++) {
        slab[i].kind = PAGE_SLAB;
        slab[i].size_class = (uint16_t)(class - classes);
    }
    slab->in_use = 0;
    slab->free_objects = NULL;
    for (uint32_t i = class->per_slab; i-- > 0;) {
        struct free_object *object = (void *)(memory + (size_t)i * class->size);
        object->next = slab->free_objects;
        object->cookie = cookie_of(object);
        slab->free_objects = object;
    }
    list_push_front(&class->partial, &slab->link);
    class->slabs++;
    class->empty++;
    return slab;
}

static void slab_destroy(struct size_class *class, struct page *slab) {
    ASSERT(slab->in_use == 0);
    list_remove(&slab->link);
    class->slabs--;
    class->empty--;
    for (uint32_t i = 0; i < 1u << class->order; i++)
        slab[i].kind = PAGE_TAIL;
    slab->kind = PAGE_ALLOCATED;
    slab->order = (uint8_t) class->order;
    page_free(page_address(slab), class->order);
}

static struct free_object *take_object(struct size_class *class) {
    struct page *slab = NULL;
    if (!list_is_empty(&class->partial))
        slab = LIST_CONTAINER(class->partial.next, struct page, link);
    else
        slab = slab_create(class);
    if (slab == NULL)
        return NULL;
    struct free_object *object = slab->free_objects;
    ASSERT(object != NULL);
    if (object->cookie != cookie_of(object))
        panic("kmalloc: the free object %p of %u bytes was written after kfree", (void *)object,
              class->size);
    slab->free_objects = object->next;
    if (slab->in_use++ == 0)
        class->empty--;
    if (slab->free_objects == NULL)
        list_remove(&slab->link);
    return object;
}

static void return_object(struct size_class *class, struct free_object *object) {
    struct page *slab = slab_of(class, page_of(object));
    ASSERT(slab->in_use > 0);
    if (slab->free_objects == NULL)
        list_push_front(&class->partial, &slab->link);
    object->next = slab->free_objects;
    slab->free_objects = object;
    if (--slab->in_use > 0)
        return;
    class->empty++;
    if (class->empty > KEEP_EMPTY)
        slab_destroy(class, slab);
}

/* ---- magazines; interrupts are off ---- */

static bool refill(struct size_class *class, struct cpu_cache_magazine *magazine) {
    uint64_t flags = spinlock_lock(&class->lock);
    while (magazine->count < BATCH) {
        struct free_object *object = take_object(class);
        if (object == NULL)
            break;
        magazine->objects[magazine->count++] = object;
    }
    spinlock_unlock(&class->lock, flags);
    return magazine->count > 0;
}

static void drain(struct size_class *class, struct cpu_cache_magazine *magazine, uint32_t keep) {
    uint64_t flags = spinlock_lock(&class->lock);
    while (magazine->count > keep)
        return_object(class, magazine->objects[--magazine->count]);
    spinlock_unlock(&class->lock, flags);
}

void *slab_alloc(size_t size) {
    unsigned index = class_of_units[(size + UNIT - 1) / UNIT];
    uint64_t flags = cpu_interrupts_disable();
    struct cpu_cache_magazine *magazine = &cpu_cache()->magazines[index];
    struct free_object *object = NULL;
    if (magazine->count > 0 || refill(&classes[index], magazine))
        object = magazine->objects[--magazine->count];
    cpu_interrupts_restore(flags);
    if (object == NULL)
        return NULL;
    if (object->cookie != cookie_of(object))
        panic("kmalloc: the free object %p of %u bytes was written after kfree", (void *)object,
              sizes[index]);
    object->cookie = 0;
    return object;
}

void slab_free(struct page *page, void *memory) {
    unsigned index = page->size_class;
    struct size_class *class = &classes[index];
    uint32_t offset = (uint32_t)((char *)memory - (char *)page_address(slab_of(class, page)));
    if (offset % class->size != 0)
        panic("kfree(%p): inside of an object of %u bytes", memory, class->size);
    struct free_object *object = memory;
    if (object->cookie == cookie_of(object))
        panic("kfree(%p): double free of an object of %u bytes", memory, class->size);
    object->cookie = cookie_of(object);
    uint64_t flags = cpu_interrupts_disable();
    struct cpu_cache_magazine *magazine = &cpu_cache()->magazines[index];
    if (magazine->count == CPU_CACHE_OBJECTS)
        drain(class, magazine, BATCH);
    magazine->objects[magazine->count++] = object;
    cpu_interrupts_restore(flags);
}

/* ---- giving back ---- */

static uint64_t release_empty(struct size_class *class) {
    uint64_t bytes = 0;
    uint64_t flags = spinlock_lock(&class->lock);
    LIST_FOR_EACH_SAFE(node, &class->partial) {
        struct page *slab = LIST_CONTAINER(node, struct page, link);
        if (slab->in_use > 0)
            continue;
        slab_destroy(class, slab);
        bytes += (uint64_t)MEMORY_PAGE_SIZE << class->order;
    }
    spinlock_unlock(&class->lock, flags);
    return bytes;
}

uint64_t slab_reclaim(void) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CPU_CACHE_CLASSES; i++) {
        uint64_t flags = cpu_interrupts_disable();
        drain(&classes[i], &cpu_cache()->magazines[i], 0);
        cpu_interrupts_restore(flags);
        bytes += release_empty(&classes[i]);
    }
    return bytes;
}

uint64_t slab_bytes(void) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CPU_CACHE_CLASSES; i++)
        bytes += __atomic_load_n(&classes[i].slabs, __ATOMIC_RELAXED) * MEMORY_PAGE_SIZE
                 << classes[i].order;
    return bytes;
}
