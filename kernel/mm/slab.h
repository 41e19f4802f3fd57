/* SPDX-License-Identifier: Apache-2.0 */
/* Private to kernel/mm: objects of fixed size classes in slabs, with a magazine per CPU and class.
 */
#ifndef KERNEL_MM_SLAB_H
#define KERNEL_MM_SLAB_H

#include "kernel/mm/page.h"

#include <stddef.h>
#include <stdint.h>

#define SLAB_SIZE_MAX 2048u

void slab_initialize(void);

/* An object of at least size bytes (at most SLAB_SIZE_MAX); NULL if there is none. */
void *slab_alloc(size_t size);
/* `page` is the object's. A free object or an address inside of one stops the kernel. */
void slab_free(struct page *page, void *object);

/* Empties this CPU's magazines and gives whole free slabs back; returns their bytes. */
uint64_t slab_reclaim(void);

uint64_t slab_bytes(void);

#endif
