/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: a ring is written as the input says, then damaged as it says, with the checksums of
 * the chain made right again; whoever reads it gets along with what there is.
 *
 * Input: start (1), number of commits (1), for each: records (1) and for each of those its length
 * (2); flags (1); then edits of 13 bytes: offset in the ring (4), width (1), value (8).
 * Without edits everything that was committed comes back.
 */
#include "base/checksum.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_format.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"

#define RING_START 3u
#define RING_BLOCKS 256u
#define RING_BYTES ((uint64_t)RING_BLOCKS * JOURNAL_BLOCK_SIZE)
#define COMMITS_MAX 24u
#define KEEP_CHECKSUMS 1u
#define DATA_IS_LOST 2u /* of every third record */

struct ring {
    struct ramdisk *disk;
    struct journal_area area;
    struct journal_position start;
    uint64_t marks;    /* records ever added */
    uint64_t added;    /* records since the start */
    uint64_t bytes;    /* of their payload */
    uint64_t asked;    /* records that journal_find_end() asked about */
    uint64_t replayed; /* records */
    uint64_t replayed_bytes;
    uint8_t flags;
};

static void add_record(struct ring *ring, struct journal *journal, uint64_t length) {
    static unsigned char payload[JOURNAL_RECORD_MAX];
    if (length > 0xfff0) /* the largest ones */
        length = JOURNAL_RECORD_MAX - (0xffff - length);
    REQUIRE(journal_reserve(journal, length) == STATUS_OK);
    struct span spans[2] = {{payload, length / 3}, {payload + length / 3, length - length / 3}};
    REQUIRE(journal_add(journal, (uint32_t)ring->added, spans, 2) == ++ring->marks);
    ring->added++;
    ring->bytes += length;
}

static void write_ring(struct ring *ring, struct input *input) {
    struct journal *journal;
    REQUIRE(journal_open(&ring->area, &ring->start, &journal) == STATUS_OK);
    uint64_t commits = input_take(input, 1) % COMMITS_MAX;
    for (uint64_t i = 0; i < commits; i++) {
        for (uint64_t records = input_take(input, 1) % 8; records > 0; records--)
            add_record(ring, journal, input_take(input, 2));
        enum status status = journal_commit(journal, journal_newest(journal));
        REQUIRE(status == STATUS_OK || status == STATUS_NO_SPACE);
        if (status == STATUS_NO_SPACE) { /* a checkpoint that takes over all there is */
            uint64_t mark;
            journal_cut(journal, &ring->start, &mark);
            journal_forget(journal, &ring->start, mark);
            ring->added = ring->bytes = 0;
        }
    }
    journal_close(journal);
}

static bool damage(struct ring *ring, struct input *input) {
    bool any = input->left > 0;
    while (input->left > 0) {
        uint64_t at = input_take(input, 4);
        /* Mostly the first bytes of some block behind the start. */
        if (at & 0x80000000u)
            at = (ring->start.block + (at >> 8 & 63)) * JOURNAL_BLOCK_SIZE + (at & 255);
        at %= RING_BYTES;
        unsigned width = 1u << input_take(input, 1) % 4;
        uint64_t value = input_take(input, 8);
        for (unsigned i = 0; i < width; i++)
            ring->disk->content[(RING_START * JOURNAL_BLOCK_SIZE) + (at + i) % RING_BYTES] =
                (unsigned char)(value >> 8 * i);
    }
    if (any && (ring->flags & KEEP_CHECKSUMS) == 0)
        reseal_journal(ring->disk->content + RING_START * JOURNAL_BLOCK_SIZE, RING_BLOCKS,
                       ring->start.block, ring->start.previous);
    return any;
}

/* Reads all of the payload, so that the sanitizer sees where it ends. */
static uint64_t touch(const void *payload, uint32_t length) {
    return checksum_xxh64(payload, length, 0);
}

static enum status intact(void *context, uint32_t type, const void *payload, uint32_t length,
                          bool *is) {
    struct ring *ring = context;
    (void)type;
    ring->asked += touch(payload, length) != 0;
    *is = (ring->flags & DATA_IS_LOST) == 0 || ring->asked % 3 != 0;
    return STATUS_OK;
}

static enum status record(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct ring *ring = context;
    (void)type;
    (void)touch(payload, length);
    ring->replayed++;
    ring->replayed_bytes += length;
    return STATUS_OK;
}

static void read_ring(struct ring *ring, bool damaged) {
    struct journal_found found;
    enum status status = journal_find_end(&ring->area, &ring->start, intact, ring, &found);
    REQUIRE(status == STATUS_OK || (damaged && status == STATUS_CORRUPT));
    if (status != STATUS_OK)
        return;
    REQUIRE(found.end.block < RING_BLOCKS);
    REQUIRE(found.end.sequence == ring->start.sequence + found.entries);
    REQUIRE(journal_replay(&ring->area, &ring->start, &found.end, record, ring) == STATUS_OK);
    if (!damaged && (ring->flags & DATA_IS_LOST) == 0)
        REQUIRE(ring->replayed == ring->added && ring->replayed_bytes == ring->bytes);
    struct journal *journal;
    REQUIRE(journal_open(&ring->area, &found.end, &journal) == STATUS_OK);
    ring->marks = 0;
    add_record(ring, journal, 100);
    REQUIRE(journal_commit(journal, 1) == STATUS_OK);
    journal_close(journal);
    ring->replayed = 0;
    ring->flags = 0;
    status = journal_find_end(&ring->area, &found.end, intact, ring, &found);
    REQUIRE(status == STATUS_OK || (damaged && status == STATUS_CORRUPT));
    REQUIRE(damaged || found.entries == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const unsigned char zeros[(RING_START + RING_BLOCKS) * JOURNAL_BLOCK_SIZE];
    struct input input = {data, size};
    struct ring ring = {.disk = fuzz_disk(zeros, sizeof zeros)};
    ring.area = (struct journal_area){
        .device = &ring.disk->device, .start = RING_START, .blocks = RING_BLOCKS};
    memset(ring.area.pool_uuid, 7, sizeof ring.area.pool_uuid);
    ring.start = (struct journal_position){.sequence = 1, .block = input_take(&input, 1)};
    write_ring(&ring, &input);
    ring.flags = (uint8_t)input_take(&input, 1);
    read_ring(&ring, damage(&ring, &input));
    return 0;
}
