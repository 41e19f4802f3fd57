/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what was committed to the journal comes back, in order and once, from any position that a
 * superblock may hold; what was not acknowledged ends the log without a word; what was acknowledged
 * and is damaged refuses with CORRUPT.
 */
#include "storage/journal/journal.h"
#include "storage/journal/journal_format.h"
#include "tests/storage/lfsx/ramdisk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define AREA_START 16u
#define AREA_BLOCKS 256u
#define TYPE 7u

struct ring {
    struct ramdisk *disk;
    struct journal_area area;
    struct journal_position start; /* what a superblock would hold */
    struct journal *journal;
    uint64_t next; /* number of the next record */
};

static struct ring ring_make(void) {
    struct ring ring = {.disk = ramdisk_create((AREA_START + AREA_BLOCKS + 16) * 4096ull),
                        .start = {.sequence = 1}};
    ring.area = (struct journal_area){
        .device = &ring.disk->device, .start = AREA_START, .blocks = AREA_BLOCKS};
    memset(ring.area.pool_uuid, 0x5a, sizeof ring.area.pool_uuid);
    assert_int_equal(journal_open(&ring.area, &ring.start, &ring.journal), STATUS_OK);
    return ring;
}

static void ring_end(struct ring *ring) {
    if (ring->journal != NULL)
        journal_close(ring->journal);
    ramdisk_destroy(ring->disk);
}

/* Adds a record: its number, then as many bytes that follow from it. */
static uint64_t add(struct ring *ring, uint32_t length) {
    unsigned char *bytes = malloc(length + 1);
    memset(bytes, (int)ring->next, length);
    uint64_t number = ring->next++;
    struct span spans[] = {{&number, sizeof number}, {bytes, length}};
    assert_int_equal(journal_reserve(ring->journal, sizeof number + length), STATUS_OK);
    uint64_t mark = journal_add(ring->journal, TYPE, spans, 2);
    free(bytes);
    return mark;
}

static void commit(struct ring *ring) {
    assert_int_equal(journal_commit(ring->journal, journal_newest(ring->journal)), STATUS_OK);
}

static uint64_t add_and_commit(struct ring *ring, uint32_t length) {
    uint64_t mark = add(ring, length);
    commit(ring);
    return mark;
}

struct reading {
    uint64_t first, count; /* numbers of the records that came */
    uint64_t asked;        /* times that intact was called */
    uint64_t reject;       /* the record that is not intact; UINT64_MAX: all are */
};

static uint64_t number_of(const void *payload, uint32_t length) {
    uint64_t number;
    assert_true(length >= sizeof number);
    memcpy(&number, payload, sizeof number);
    const unsigned char *bytes = (const unsigned char *)payload + sizeof number;
    for (uint32_t i = 0; i < length - sizeof number; i++)
        assert_int_equal(bytes[i], (unsigned char)number);
    return number;
}

static enum status intact(void *context, uint32_t type, const void *payload, uint32_t length,
                          bool *is) {
    struct reading *reading = context;
    assert_int_equal(type, TYPE);
    reading->asked++;
    *is = number_of(payload, length) != reading->reject;
    return STATUS_OK;
}

static enum status record(void *context, uint32_t type, const void *payload, uint32_t length) {
    struct reading *reading = context;
    assert_int_equal(type, TYPE);
    uint64_t number = number_of(payload, length);
    if (reading->count == 0)
        reading->first = number;
    assert_int_equal(number, reading->first + reading->count);
    reading->count++;
    return STATUS_OK;
}

static struct journal_found find(struct ring *ring, struct reading *reading) {
    struct journal_found found;
    assert_int_equal(journal_find_end(&ring->area, &ring->start, intact, reading, &found),
                     STATUS_OK);
    return found;
}

/* Reads twice: what a first reading did must not change the second. Expects these records. */
static struct journal_found expect(struct ring *ring, uint64_t first, uint64_t count) {
    struct journal_found found = {0};
    for (unsigned pass = 0; pass < 2; pass++) {
        struct reading reading = {.reject = UINT64_MAX};
        found = find(ring, &reading);
        assert_int_equal(journal_replay(&ring->area, &ring->start, &found.end, record, &reading),
                         STATUS_OK);
        assert_int_equal(reading.count, count);
        if (count > 0)
            assert_int_equal(reading.first, first);
    }
    return found;
}

static void checkpoint(struct ring *ring) {
    uint64_t mark;
    struct journal_position position;
    journal_cut(ring->journal, &position, &mark);
    journal_forget(ring->journal, &position, mark);
    ring->start = position;
}

static unsigned char *ring_block(struct ring *ring, uint64_t block) {
    return ring->disk->content + (AREA_START + block % AREA_BLOCKS) * 4096ull;
}

static void committed_records_come_back(void **state) {
    (void)state;
    struct ring ring = ring_make();
    expect(&ring, 0, 0);
    add_and_commit(&ring, 0);
    add(&ring, 100);
    add(&ring, 9000);
    commit(&ring);
    add(&ring, 5); /* never committed */
    expect(&ring, 0, 3);
    struct journal_statistics statistics;
    journal_statistics(ring.journal, &statistics);
    assert_int_equal(statistics.flushes, 2); /* one for each commit, however many records */
    assert_int_equal(statistics.entries, 2);
    ring_end(&ring);
}

static void ring_goes_round(void **state) {
    (void)state;
    struct random random = random_start("journal_ring");
    struct ring ring = ring_make();
    uint64_t first = 0;
    for (unsigned round = 0; round < random_scale(400); round++) {
        for (uint64_t i = random_below(&random, 4); i > 0; i--)
            add(&ring, (uint32_t)random_below(&random, random_one_in(&random, 8) ? 200000 : 3000));
        enum status status = journal_commit(ring.journal, journal_newest(ring.journal));
        if (status == STATUS_NO_SPACE || random_one_in(&random, 10)) {
            checkpoint(&ring);
            first = ring.next;
            assert_int_equal(journal_used_blocks(ring.journal), 0);
        } else {
            assert_int_equal(status, STATUS_OK);
        }
        if (round % 4 == 0)
            expect(&ring, first, ring.next - first);
        if (random_one_in(&random, 20)) { /* a restart */
            struct journal_found found = expect(&ring, first, ring.next - first);
            journal_close(ring.journal);
            assert_int_equal(journal_open(&ring.area, &found.end, &ring.journal), STATUS_OK);
            ring.start = found.end;
            first = ring.next;
        }
    }
    ring_end(&ring);
}

static void full_ring_waits_for_a_checkpoint(void **state) {
    (void)state;
    struct ring ring = ring_make();
    enum status status = STATUS_OK;
    uint64_t durable = 0;
    while (status == STATUS_OK) {
        durable = ring.next;
        add(&ring, 30000);
        status = journal_commit(ring.journal, journal_newest(ring.journal));
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    expect(&ring, 0, durable);
    checkpoint(&ring); /* covers the last one too */
    commit(&ring);
    add_and_commit(&ring, 30000);
    expect(&ring, durable + 1, 1);
    ring_end(&ring);
}

/* Regression: what follows a cut must not be in the ring without what came before the cut, until
 * the checkpoint is durable. */
static void nothing_overtakes_a_cut(void **state) {
    (void)state;
    struct ring ring = ring_make();
    add_and_commit(&ring, 10);
    uint64_t before = add(&ring, 20);
    struct journal_position position;
    uint64_t mark;
    journal_cut(ring.journal, &position, &mark);
    assert_int_equal(mark, before);
    add_and_commit(&ring, 30);
    expect(&ring, 0, 3); /* from the old position: the checkpoint is not durable */
    ring.start = position;
    expect(&ring, 2, 1);
    journal_forget(ring.journal, &position, mark);
    add_and_commit(&ring, 40);
    expect(&ring, 2, 2);
    ring_end(&ring);
}

static void records_that_a_checkpoint_covers_are_not_written(void **state) {
    (void)state;
    struct ring ring = ring_make();
    uint64_t mark = add(&ring, 20);
    uint64_t writes = ring.disk->writes;
    checkpoint(&ring);
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_OK);
    assert_int_equal(ring.disk->writes, writes);
    add_and_commit(&ring, 30);
    expect(&ring, 1, 1);
    ring_end(&ring);
}

static void torn_tail_is_dropped(void **state) {
    (void)state;
    for (unsigned sector = 0; sector < 16; sector++) {
        struct ring ring = ring_make();
        add_and_commit(&ring, 100);
        struct journal_found whole = expect(&ring, 0, 1);
        add_and_commit(&ring, 8000);
        memset(ring_block(&ring, whole.end.block) + 512 * sector, 0xa5, 512);
        struct journal_found found = expect(&ring, 0, 1);
        assert_int_equal(found.end.block, whole.end.block);
        ring_end(&ring);
    }
}

static void acknowledged_damage_is_refused(void **state) {
    (void)state;
    for (unsigned later = 1; later < 5; later++) {
        struct ring ring = ring_make();
        add_and_commit(&ring, 100);
        struct journal_found before = expect(&ring, 0, 1);
        add_and_commit(&ring, 60000); /* the one to be damaged */
        for (unsigned i = 0; i < later; i++)
            add_and_commit(&ring, 100);
        ring_block(&ring, before.end.block)[2000] ^= 1;
        struct reading reading = {.reject = UINT64_MAX};
        struct journal_found found;
        assert_int_equal(journal_find_end(&ring.area, &ring.start, intact, &reading, &found),
                         STATUS_CORRUPT);
        assert_int_equal(found.end.block, before.end.block);
        ring_end(&ring);
    }
}

static void data_that_is_not_there_ends_the_log(void **state) {
    (void)state;
    struct ring ring = ring_make();
    for (unsigned i = 0; i < 5; i++)
        add_and_commit(&ring, 50);
    /* Entry 5 calls entries 1 to 4 durable: only the record in it is in question. */
    struct reading reading = {.reject = 4};
    struct journal_found found = find(&ring, &reading);
    assert_int_equal(reading.asked, 1);
    assert_int_equal(found.dropped, 1);
    assert_int_equal(found.entries, 4);
    reading = (struct reading){.reject = 2}; /* acknowledged: nobody asks */
    found = find(&ring, &reading);
    assert_int_equal(found.entries, 5);
    ring_end(&ring);
}

/* After a tail was dropped, writing goes on over it; what is left of it never counts again, even if
 * it stands where the next entry would. */
static void stale_entries_do_not_follow(void **state) {
    (void)state;
    struct ring ring = ring_make();
    add_and_commit(&ring, 10);
    struct journal_found end = expect(&ring, 0, 1);
    for (unsigned i = 0; i < 3; i++)
        add(&ring, 140000); /* one entry each */
    commit(&ring);          /* as if the power had been cut in it: */
    ring_block(&ring, end.end.block)[700] ^= 1;
    expect(&ring, 0, 1);
    journal_close(ring.journal);
    assert_int_equal(journal_open(&ring.area, &end.end, &ring.journal), STATUS_OK);
    ring.next = 1;
    add_and_commit(&ring, 140000); /* the same in the place of the first that was dropped */
    struct reading reading = {.reject = UINT64_MAX};
    assert_int_equal(find(&ring, &reading).entries, 2);
    expect(&ring, 0, 2);
    ring_end(&ring);
}

static void another_pools_entries_do_not_count(void **state) {
    (void)state;
    struct ring ring = ring_make();
    add_and_commit(&ring, 10);
    ring.area.pool_uuid[3] ^= 1;
    expect(&ring, 0, 0);
    ring_end(&ring);
}

static void failures_stay(void **state) {
    (void)state;
    struct ring ring = ring_make();
    add_and_commit(&ring, 10);
    ring.disk->fail_write_after = 1;
    uint64_t mark = add(&ring, 10);
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_IO);
    ring.disk->failing = false;
    ring.disk->fail_write_after = 0;
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_IO);
    mark = add(&ring, 10);
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_IO);
    ring_end(&ring);
}

struct data {
    const struct ring *ring;
    unsigned begun, ended;
    uint64_t flushes; /* of the disk when `end` was called last */
    enum status status;
};

static void begin_data(void *context) {
    struct data *data = context;
    assert_int_equal(data->begun, data->ended);
    data->begun++;
}

static enum status end_data(void *context) {
    struct data *data = context;
    data->ended++;
    assert_int_equal(data->begun, data->ended);
    data->flushes = data->ring->disk->flushes;
    return data->status;
}

/* The user's data is asked for once in each commit, before its flush; without it there is none. */
static void data_comes_before_the_flush(void **state) {
    (void)state;
    static const struct journal_data writer = {.begin = begin_data, .end = end_data};
    struct ring ring = ring_make();
    struct data data = {.ring = &ring};
    journal_set_data(ring.journal, &writer, &data);
    for (unsigned i = 1; i <= 5; i++) {
        add_and_commit(&ring, 100);
        assert_int_equal(data.ended, i);
        assert_int_equal(ring.disk->flushes, data.flushes + 1);
    }
    commit(&ring); /* with nothing to write, nothing is asked for */
    assert_int_equal(data.ended, 5);
    data.status = STATUS_IO;
    uint64_t mark = add(&ring, 100);
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_IO);
    assert_int_equal(ring.disk->flushes, data.flushes);
    data.status = STATUS_OK; /* and never again */
    mark = add(&ring, 100);
    assert_int_equal(journal_commit(ring.journal, mark), STATUS_IO);
    ring_end(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_records_come_back),
        cmocka_unit_test(ring_goes_round),
        cmocka_unit_test(full_ring_waits_for_a_checkpoint),
        cmocka_unit_test(nothing_overtakes_a_cut),
        cmocka_unit_test(records_that_a_checkpoint_covers_are_not_written),
        cmocka_unit_test(torn_tail_is_dropped),
        cmocka_unit_test(acknowledged_damage_is_refused),
        cmocka_unit_test(data_that_is_not_there_ends_the_log),
        cmocka_unit_test(stale_entries_do_not_follow),
        cmocka_unit_test(another_pools_entries_do_not_count),
        cmocka_unit_test(failures_stay),
        cmocka_unit_test(data_comes_before_the_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
