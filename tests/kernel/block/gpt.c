/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the partition tables that sgdisk and sfdisk write are read as they wrote them; a damaged
 * copy gives way to the sound one, and no bytes on the disk make the reader do harm.
 */
#include "kernel/block/gpt.h"
#include "base/os.h"
#include "host/host.h"
#include "kernel/block/gpt_format.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define IMAGE_MIB 64

static char path[64];

static void shell(const char *format, const char *argument) {
    char command[512];
    snprintf(command, sizeof command, format, path, argument);
    assert_int_equal(system(command), 0);
}

static void make_image(const char *format, const char *argument) {
    unlink(path);
    shell("truncate -s 64M %s", "");
    shell(format, argument);
}

static struct blockdev *open_image(void) {
    struct blockdev *device;
    assert_int_equal(host_blockdev_open(path, 0, &device), STATUS_OK);
    return device;
}

static enum status read_image(struct gpt_table *table) {
    struct blockdev *device = open_image();
    enum status status = gpt_read(device, table);
    blockdev_close(device);
    return status;
}

static void poke(uint64_t offset, const void *bytes, size_t length) {
    int file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, length, (off_t)offset), length);
    close(file);
}

#define SGDISK                                                                                     \
    "PATH=$PATH:/sbin:/usr/sbin sgdisk -n 3:2048:4095 -n 1:8192:+8M -n 2:40960:0 %s >/dev/null"

static void expect_three(const struct gpt_table *table) {
    assert_int_equal(table->count, 3);
    static const struct {
        uint32_t number;
        uint64_t first, blocks;
    } expected[] = {{3, 2048, 2048}, {1, 8192, 16384}, {2, 40960, 131072 - 34 - 40960 + 1}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(table->partitions[i].number, expected[i].number);
        assert_int_equal(table->partitions[i].offset, expected[i].first * 512);
    }
    assert_int_equal(table->partitions[0].size, 2048 * 512);
    assert_int_equal(table->partitions[1].size, 8 * MIB);
}

static void a_table_of_sgdisk_is_read(void **state) {
    (void)state;
    struct gpt_table table;
    make_image(SGDISK, "");
    assert_int_equal(read_image(&table), STATUS_OK);
    assert_false(table.from_backup);
    expect_three(&table);
    gpt_free(&table);
}

static void a_table_of_sfdisk_is_read(void **state) {
    (void)state;
    struct gpt_table table;
    make_image("printf 'label: gpt\\nsize=4M\\nsize=8M, type=U\\n' | "
               "PATH=$PATH:/sbin:/usr/sbin sfdisk -q %s",
               "");
    assert_int_equal(read_image(&table), STATUS_OK);
    assert_int_equal(table.count, 2);
    assert_int_equal(table.partitions[0].offset, MIB);
    assert_int_equal(table.partitions[0].size, 4 * MIB);
    assert_int_equal(table.partitions[1].offset, 5 * MIB);
    /* C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on disk: an EFI system partition */
    static const uint8_t esp[] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                  0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
    assert_memory_equal(table.partitions[1].type_guid, esp, sizeof esp);
    gpt_free(&table);
}

static void an_empty_table_has_no_partitions(void **state) {
    (void)state;
    struct gpt_table table;
    make_image("PATH=$PATH:/sbin:/usr/sbin sgdisk -o %s >/dev/null", "");
    assert_int_equal(read_image(&table), STATUS_OK);
    assert_int_equal(table.count, 0);
    gpt_free(&table);
}

static void disks_without_a_table_have_none(void **state) {
    (void)state;
    struct gpt_table table;
    make_image("true %s", "");
    assert_int_equal(read_image(&table), STATUS_NOT_FOUND);
    make_image("printf 'label: dos\\nsize=4M\\n' | PATH=$PATH:/sbin:/usr/sbin sfdisk -q %s", "");
    assert_int_equal(read_image(&table), STATUS_NOT_FOUND);
    unlink(path);
    shell("truncate -s 1024 %s", "");
    assert_int_equal(read_image(&table), STATUS_NOT_FOUND);
}

/* Every byte of the first header and a few of its entries, each damaged alone. */
static void any_damage_of_the_first_copy_leads_to_the_backup(void **state) {
    (void)state;
    struct gpt_table table;
    make_image(SGDISK, "");
    int file = open(path, O_RDWR);
    for (uint64_t at = 512; at < 1024 + 3 * 128; at++) {
        if (at >= 512 + sizeof(struct gpt_header) && at < 1024)
            continue; /* reserved, outside of the checksum */
        uint8_t byte;
        assert_int_equal(pread(file, &byte, 1, (off_t)at), 1);
        byte ^= 0x10;
        poke(at, &byte, 1);
        assert_int_equal(read_image(&table), STATUS_OK);
        assert_true(table.from_backup);
        expect_three(&table);
        gpt_free(&table);
        byte ^= 0x10;
        poke(at, &byte, 1);
    }
    close(file);
    assert_int_equal(read_image(&table), STATUS_OK);
    assert_false(table.from_backup);
    gpt_free(&table);
}

static void two_damaged_copies_are_an_error(void **state) {
    (void)state;
    struct gpt_table table;
    make_image(SGDISK, "");
    poke(512 + 20, "x", 1);
    poke(IMAGE_MIB * MIB - 512 + 20, "x", 1);
    assert_int_equal(read_image(&table), STATUS_CORRUPT);
}

/* The backup lies where the first header says when the disk has grown since. */
static void a_grown_disk_keeps_its_backup(void **state) {
    (void)state;
    struct gpt_table table;
    make_image(SGDISK, "");
    shell("truncate -s 128M %s", "");
    poke(1024 + 5, "x", 1);
    assert_int_equal(read_image(&table), STATUS_OK);
    assert_true(table.from_backup);
    expect_three(&table);
    gpt_free(&table);
}

static uint32_t crc32(const void *data, size_t length) {
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    while (length-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* Block 0 to the end of the first copy of what SGDISK makes; made once. */
static const uint8_t *sound_copy(void) {
    static uint8_t blocks[34 * 512];
    if (blocks[510] == 0) {
        make_image(SGDISK, "");
        int file = open(path, O_RDONLY);
        assert_int_equal(pread(file, blocks, sizeof blocks, 0), sizeof blocks);
        close(file);
    }
    return blocks;
}

/* Applies a change to the first header, with right checksums, and takes the backup away. */
static enum status read_forged(void (*forge)(struct gpt_header *header,
                                             struct gpt_entry *entries)) {
    struct gpt_header header;
    struct gpt_entry entries[128];
    memcpy(&header, sound_copy() + 512, sizeof header);
    memcpy(entries, sound_copy() + 1024, sizeof entries);
    poke(0, sound_copy(), 34 * 512);
    header.entries_crc32 = le32_make(crc32(entries, sizeof entries));
    forge(&header, entries);
    if (le32_get(header.entries_crc32) != 0)
        header.entries_crc32 = le32_make(crc32(entries, sizeof entries));
    header.header_crc32 = le32_make(0);
    header.header_crc32 = le32_make(crc32(&header, sizeof header));
    poke(512, &header, sizeof header);
    poke(1024, entries, sizeof entries);
    poke(IMAGE_MIB * MIB - 512, "x", 1);
    struct gpt_table table;
    enum status status = read_image(&table);
    if (status == STATUS_OK)
        gpt_free(&table);
    return status;
}

static void forge_nothing(struct gpt_header *header, struct gpt_entry *entries) {
    (void)header;
    (void)entries;
}
static void forge_overlap(struct gpt_header *header, struct gpt_entry *entries) {
    (void)header;
    entries[0].first_lba = le64_make(4095);
}
static void forge_beyond_disk(struct gpt_header *header, struct gpt_entry *entries) {
    (void)header;
    entries[1].last_lba = le64_make(1ull << 40);
}
static void forge_backwards(struct gpt_header *header, struct gpt_entry *entries) {
    (void)header;
    entries[0].last_lba = le64_make(8191);
}
static void forge_over_header(struct gpt_header *header, struct gpt_entry *entries) {
    (void)header;
    entries[0].first_lba = le64_make(1);
}
static void forge_entry_size(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entry_size = le32_make(129);
}
static void forge_tiny_entries(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entry_size = le32_make(64);
}
static void forge_no_entry_size(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entry_size = le32_make(0);
}
static void forge_huge_table(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entry_count = le32_make(UINT32_MAX);
    header->entry_size = le32_make(1u << 31);
}
static void forge_table_elsewhere(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entries_lba = le64_make(UINT64_MAX - 1);
}
static void forge_table_in_partition(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->entries_lba = le64_make(4096);
}
static void forge_usable(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->last_usable_lba = le64_make(UINT64_MAX);
}
static void forge_lba(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->my_lba = le64_make(2);
}
static void forge_header_size(struct gpt_header *header, struct gpt_entry *entries) {
    (void)entries;
    header->header_size = le32_make(UINT32_MAX);
}

static void right_checksums_do_not_excuse_nonsense(void **state) {
    (void)state;
    assert_int_equal(read_forged(forge_nothing), STATUS_OK);
    void (*const forgeries[])(struct gpt_header *, struct gpt_entry *) = {
        forge_overlap,         forge_beyond_disk,        forge_backwards,     forge_over_header,
        forge_entry_size,      forge_tiny_entries,       forge_no_entry_size, forge_huge_table,
        forge_table_elsewhere, forge_table_in_partition, forge_usable,        forge_lba,
        forge_header_size};
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++)
        assert_int_equal(read_forged(forgeries[i]), STATUS_CORRUPT);
}

/* Random headers with right checksums: any answer will do, as long as there is one. */
static void forge_randomly(struct gpt_header *header, struct gpt_entry *entries) {
    for (int i = 0; i < 3; i++) {
        size_t at = 24 + (size_t)rand() % (sizeof *header - 24);
        ((uint8_t *)header)[at] = (uint8_t)(rand() % 3 == 0 ? 0xff : rand());
        at = (size_t)rand() % (4 * sizeof *entries);
        ((uint8_t *)entries)[at] = (uint8_t)rand();
    }
}

static void random_tables_do_no_harm(void **state) {
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 100; i++) {
        enum status status = read_forged(forge_randomly);
        assert_true(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_NO_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_sgdisk_is_read),
        cmocka_unit_test(a_table_of_sfdisk_is_read),
        cmocka_unit_test(an_empty_table_has_no_partitions),
        cmocka_unit_test(disks_without_a_table_have_none),
        cmocka_unit_test(any_damage_of_the_first_copy_leads_to_the_backup),
        cmocka_unit_test(two_damaged_copies_are_an_error),
        cmocka_unit_test(a_grown_disk_keeps_its_backup),
        cmocka_unit_test(right_checksums_do_not_excuse_nonsense),
        cmocka_unit_test(random_tables_do_no_harm),
    };
    host_start("gpt");
    const char *directory = getenv("TEST_DIR");
    snprintf(path, sizeof path, "%s/gpt-%d.img",
             directory != NULL && strlen(directory) < 32 ? directory : "/tmp", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
