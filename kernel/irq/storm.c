/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: the clock is read once per STORM_BLOCK interrupts, not for each. The mask function is
 * called under the storm's lock, so that it and forgetting it cannot cross. `unmask` is pending
 * only while `masked`.
 */
#include "kernel/irq/storm.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/time/clock.h"

#include <stddef.h>

#define STORM_BLOCK 4096u
#define STORM_UNHANDLED_PER_S 20000ull
#define STORM_HANDLED_PER_S 1000000ull
#define NS_PER_S 1000000000ull
#define MASK_NS NS_PER_S
#define MASK_DOUBLINGS_MAX 8u

static void unmask(struct timer *timer) {
    struct irq_storm *storm = timer->context;
    uint64_t flags = spinlock_lock(&storm->lock);
    if (storm->masked && storm->mask != NULL) {
        storm->masked = false;
        storm->mask(storm->context, false);
    }
    spinlock_unlock(&storm->lock, flags);
}

void irq_storm_set_mask(struct irq_storm *storm, void (*mask)(void *context, bool masked),
                        void *context) {
    uint64_t flags = spinlock_lock(&storm->lock);
    storm->mask = mask;
    storm->context = context;
    storm->masked = false;
    timer_init(&storm->unmask, unmask, storm);
    spinlock_unlock(&storm->lock, flags);
}

void irq_storm_forget(struct irq_storm *storm) {
    uint64_t flags = spinlock_lock(&storm->lock);
    storm->mask = NULL;
    storm->masked = false;
    storm->storms = 0;
    spinlock_unlock(&storm->lock, flags);
    timer_cancel(&storm->unmask);
}

static void hold_back(struct irq_storm *storm, uint8_t vector, const char *name, uint64_t now) {
    if (storm->mask == NULL || storm->masked)
        return;
    unsigned doublings = (unsigned)MATH_MIN(storm->storms, MASK_DOUBLINGS_MAX);
    storm->storms++;
    storm->masked = true;
    storm->mask(storm->context, true);
    timer_start(&storm->unmask, now + (MASK_NS << doublings));
    log_error("irq",
              "storm on vector %u (%s): %u of %u interrupts unhandled; masked for %u s. Look for a "
              "device without a driver on the same pin",
              vector, name, storm->block_unhandled, storm->block_count, 1u << doublings);
}

static void judge(struct irq_storm *storm, uint8_t vector, const char *name) {
    uint64_t now = clock_now_ns();
    uint64_t passed = MATH_MAX(now - storm->block_start, 1);
    uint64_t rate = storm->block_count * NS_PER_S / passed;
    if (storm->block_start != 0 && storm->block_unhandled > storm->block_count / 2 &&
        rate > STORM_UNHANDLED_PER_S)
        hold_back(storm, vector, name, now);
    else if (rate > STORM_HANDLED_PER_S && !storm->flood_told) {
        storm->flood_told = true;
        log_warning("irq", "vector %u (%s): %llu interrupts per second; its device may be faulty",
                    vector, name, (unsigned long long)rate);
    }
    storm->block_start = now;
    storm->block_count = storm->block_unhandled = 0;
}

void irq_storm_count(struct irq_storm *storm, uint8_t vector, const char *name, bool handled) {
    uint64_t flags = spinlock_lock(&storm->lock);
    storm->block_unhandled += !handled;
    if (++storm->block_count >= STORM_BLOCK)
        judge(storm, vector, name);
    spinlock_unlock(&storm->lock, flags);
}
