/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends pieces to the driver: straight from the submitting thread while the device has room, else
 * through the disk's dispatcher thread, which merges neighbours that wait (the plug that a busy
 * device makes by itself), sends failed reads again, and reports pieces that the driver has had for
 * too long.
 */
#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "kernel/block/block_internal.h"

#define PARTS_MIN 64u
#define MERGE_LOOK_AHEAD 16u /* pending parts that are looked at for each one to append */
#define TICK_NS 1000000000ull

static void piece_done(struct block_request *piece);

bool block_may_log(struct block_disk *disk) {
    uint32_t left = __atomic_load_n(&disk->log_budget, __ATOMIC_RELAXED);
    if (left == 0)
        return false;
    __atomic_store_n(&disk->log_budget, left - 1, __ATOMIC_RELAXED);
    return true;
}

/* The lock is held. */
static struct block_part *pop_free(struct block_disk *disk) {
    struct list_node *node = list_pop_front(&disk->free);
    if (node == NULL)
        return NULL;
    struct block_part *part = LIST_CONTAINER(node, struct block_part, link);
    part->parent = NULL;
    part->attempts = 0;
    part->alone = false;
    part->reported = false;
    return part;
}

struct block_part *block_part_take(struct block_disk *disk) {
    uint64_t flags = spinlock_lock(&disk->lock);
    struct block_part *part;
    while ((part = pop_free(disk)) == NULL) {
        disk->waiters++;
        spinlock_unlock(&disk->lock, flags);
        event_wait(&disk->room, OS_FOREVER);
        flags = spinlock_lock(&disk->lock);
        disk->waiters--;
    }
    /* One signal may stand for several free parts: pass it on. */
    bool more = disk->waiters > 0 && !list_is_empty(&disk->free);
    spinlock_unlock(&disk->lock, flags);
    if (more)
        event_signal(&disk->room);
    return part;
}

static void give_back(struct block_part *part) {
    struct block_disk *disk = part->disk;
    uint64_t flags = spinlock_lock(&disk->lock);
    list_push_front(&disk->free, &part->link);
    bool wake = disk->waiters > 0;
    spinlock_unlock(&disk->lock, flags);
    if (wake)
        event_signal(&disk->room);
}

static void send(struct block_part *part) {
    struct block_disk *disk = part->disk;
    struct block_request *piece = &part->request;
    piece->done = piece_done;
    piece->context = part;
    block_count(&disk->pieces, 1);
    piece->status = block_fault_match(disk, piece);
    if (piece->status != STATUS_OK)
        piece_done(piece);
    else
        blockdev_submit(disk->driver, piece);
}

void block_part_start(struct block_part *part) {
    struct block_disk *disk = part->disk;
    uint64_t flags = spinlock_lock(&disk->lock);
    bool now = list_is_empty(&disk->pending) && disk->in_flight < disk->depth;
    if (now) {
        disk->in_flight++;
        part->with_driver = true;
    } else {
        list_push_back(&disk->pending, &part->link);
    }
    spinlock_unlock(&disk->lock, flags);
    /* A queued part needs no signal: the device is full, or the dispatcher has work already; each
     * completion wakes it while something is pending. */
    if (now)
        send(part);
}

static void requeue(struct block_part *part) {
    struct block_disk *disk = part->disk;
    block_count(&disk->retries, 1);
    uint64_t flags = spinlock_lock(&disk->lock);
    list_push_back(&disk->pending, &part->link);
    spinlock_unlock(&disk->lock, flags);
    event_signal(&disk->work);
}

/* One submitter's piece has an answer, on its own or as a member of a carrier. */
static void part_ended(struct block_part *part, enum status status) {
    struct block_disk *disk = part->disk;
    const struct block_request *piece = &part->request;
    bool read = piece->operation == BLOCK_READ;
    if (status == STATUS_IO && read && ++part->attempts < BLOCK_READ_ATTEMPTS) {
        requeue(part);
        return;
    }
    if (status == STATUS_OK && part->attempts > 0)
        block_count(&disk->recovered, 1);
    if ((status != STATUS_OK || part->attempts > 0) && block_may_log(disk))
        log_write(status == STATUS_OK ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, BLOCK_ROOM,
                  "%s: %s of %llu bytes at %llu: %s%s", disk->driver->name,
                  block_operation_name(piece->operation), (unsigned long long)piece->length,
                  (unsigned long long)piece->offset, status_text(status),
                  status == STATUS_OK  ? " when tried again; the device may be failing"
                  : part->attempts > 1 ? ", also when tried again"
                                       : "");
    struct block_request *parent = part->parent;
    give_back(part);
    block_piece_ended(parent, status);
}

static void carrier_ended(struct block_part *carrier, enum status status) {
    struct list_node *node;
    while ((node = list_pop_front(&carrier->members)) != NULL) {
        struct block_part *member = LIST_CONTAINER(node, struct block_part, link);
        member->alone = true;
        /* Which of them it was nobody knows: each is read alone, and none has failed yet. */
        if (status == STATUS_IO && member->request.operation == BLOCK_READ)
            requeue(member);
        else
            part_ended(member, status);
    }
    give_back(carrier);
}

/* Any context. */
static void piece_done(struct block_request *piece) {
    struct block_part *part = piece->context;
    struct block_disk *disk = part->disk;
    uint64_t flags = spinlock_lock(&disk->lock);
    disk->in_flight--;
    part->with_driver = false;
    bool more = !list_is_empty(&disk->pending);
    spinlock_unlock(&disk->lock, flags);
    if (more)
        event_signal(&disk->work);
    if (part->parent == NULL)
        carrier_ended(part, piece->status);
    else
        part_ended(part, piece->status);
}

/* ---- merging; the lock is held ---- */

static bool can_merge(const struct block_part *part) {
    return !part->alone &&
           (part->request.operation == BLOCK_READ || part->request.operation == BLOCK_WRITE) &&
           part->request.span_count <= BLOCK_PART_SPANS;
}

/* The part may follow a carrier's request that ends at `end` and has room for so many spans. */
static bool follows(const struct block_request *carrier, const struct block_part *part,
                    uint64_t end, uint32_t max_transfer) {
    const struct block_request *piece = &part->request;
    return can_merge(part) && piece->operation == carrier->operation &&
           piece->flags == carrier->flags && piece->offset == end &&
           carrier->length % OS_PAGE_SIZE == 0 && carrier->length + piece->length <= max_transfer &&
           carrier->span_count + piece->span_count <= BLOCK_PART_SPANS;
}

static struct block_part *find_follower(struct block_disk *disk,
                                        const struct block_request *carrier) {
    uint32_t looked = 0;
    LIST_FOR_EACH(node, &disk->pending) {
        struct block_part *part = LIST_CONTAINER(node, struct block_part, link);
        if (follows(carrier, part, carrier->offset + carrier->length,
                    disk->driver->limits.max_transfer))
            return part;
        if (++looked == MERGE_LOOK_AHEAD)
            break;
    }
    return NULL;
}

static void append(struct block_part *carrier, struct block_part *part) {
    struct block_request *request = &carrier->request;
    for (uint32_t i = 0; i < part->request.span_count; i++)
        carrier->spans[request->span_count++] = part->request.spans[i];
    request->length += part->request.length;
    carrier->started_ns = MATH_MIN(carrier->started_ns, part->started_ns);
    list_remove(&part->link);
    list_push_back(&carrier->members, &part->link);
}

/* Gives a carrier with `first` and what follows it; `first` itself if nothing does. */
static struct block_part *merge(struct block_disk *disk, struct block_part *first) {
    if (!can_merge(first))
        return first;
    struct block_part *next = find_follower(disk, &first->request);
    struct block_part *carrier = next != NULL ? pop_free(disk) : NULL;
    if (carrier == NULL)
        return first;
    carrier->request.operation = first->request.operation;
    carrier->request.flags = first->request.flags;
    carrier->request.offset = first->request.offset;
    carrier->request.length = 0;
    carrier->request.spans = carrier->spans;
    carrier->request.span_count = 0;
    carrier->started_ns = first->started_ns;
    append(carrier, first);
    for (; next != NULL; next = find_follower(disk, &carrier->request)) {
        append(carrier, next);
        block_count(&disk->merged, 1);
    }
    return carrier;
}

static struct block_part *next_to_send(struct block_disk *disk) {
    uint64_t flags = spinlock_lock(&disk->lock);
    struct block_part *part = NULL;
    if (disk->in_flight < disk->depth && !list_is_empty(&disk->pending)) {
        part = LIST_CONTAINER(list_pop_front(&disk->pending), struct block_part, link);
        part = merge(disk, part);
        part->with_driver = true;
        disk->in_flight++;
    }
    spinlock_unlock(&disk->lock, flags);
    return part;
}

/* ---- the dispatcher thread ---- */

static void report_stuck(struct block_disk *disk) {
    uint64_t now = os_now_ns();
    uint32_t stuck = 0;
    uint64_t oldest = 0;
    uint64_t flags = spinlock_lock(&disk->lock);
    for (uint32_t i = 0; disk->in_flight > 0 && i < disk->part_count; i++) {
        struct block_part *part = &disk->parts[i];
        if (!part->with_driver || part->reported || now < part->started_ns + BLOCK_STUCK_NS)
            continue;
        part->reported = true;
        stuck++;
        oldest = MATH_MAX(oldest, now - part->started_ns);
    }
    spinlock_unlock(&disk->lock, flags);
    if (stuck > 0)
        log_warning(BLOCK_ROOM,
                    "%s: %u more requests have had no answer for %llu s; the driver will retry "
                    "them or give the device up",
                    disk->driver->name, stuck, (unsigned long long)(oldest / 1000000000));
}

static void dispatch(void *context) {
    struct block_disk *disk = context;
    uint64_t next_tick = os_now_ns() + TICK_NS;
    for (;;) {
        event_wait(&disk->work, TICK_NS);
        struct block_part *part;
        while ((part = next_to_send(disk)) != NULL)
            send(part);
        if (os_now_ns() < next_tick)
            continue;
        next_tick = os_now_ns() + TICK_NS;
        __atomic_store_n(&disk->log_budget, BLOCK_LOG_LINES_PER_SECOND, __ATOMIC_RELAXED);
        report_stuck(disk);
    }
}

enum status block_dispatch_create(struct block_disk *disk) {
    disk->depth = MATH_MAX(disk->driver->limits.queue_depth, 1u);
    disk->part_count = MATH_MAX(disk->depth * 2, PARTS_MIN);
    disk->log_budget = BLOCK_LOG_LINES_PER_SECOND;
    list_init(&disk->free);
    list_init(&disk->pending);
    list_init(&disk->faults);
    event_init(&disk->work);
    event_init(&disk->room);
    disk->parts = os_alloc_zeroed(disk->part_count * sizeof *disk->parts);
    if (disk->parts == NULL)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < disk->part_count; i++) {
        struct block_part *part = &disk->parts[i];
        part->disk = disk;
        list_init(&part->members);
        list_push_back(&disk->free, &part->link);
    }
    char name[32];
    format_text(name, sizeof name, "block-%s", disk->driver->name);
    enum status status = os_thread_start(&disk->thread, name, dispatch, disk);
    if (status != STATUS_OK)
        os_free(disk->parts);
    return status;
}
