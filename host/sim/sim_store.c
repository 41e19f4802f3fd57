/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that outlive worlds. They are handed out from the start of one range of addresses and
 * given back only from its end, by marks.
 */
#include "base/assert.h"
#include "host/sim/sim_disk.h"

#include <string.h>
#include <sys/mman.h>

#define STORE_BYTES (16ull << 30) /* of addresses; memory is taken as it is used */

static unsigned char *store;
static uint64_t used;

unsigned char *sim_store_page(void) {
    if (store == NULL) {
        store = mmap(NULL, STORE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(store != MAP_FAILED);
    }
    ASSERT(used < STORE_BYTES);
    unsigned char *page = store + used;
    used += SIM_BLOCK_SIZE;
    return page;
}

uint64_t sim_store_mark(void) {
    return used;
}

void sim_store_release(uint64_t mark) {
    ASSERT(mark <= used);
    used = mark;
}

const unsigned char *sim_store_junk(void) {
    static unsigned char junk[SIM_BLOCK_SIZE];
    if (junk[0] == 0)
        memset(junk, 0xdd, sizeof junk);
    return junk;
}
