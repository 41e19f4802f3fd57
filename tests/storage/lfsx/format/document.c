/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: docs/FORMAT.md says what lfsx_format.h and check_findings.h say: every field with its
 * offset and size, every finding with its number. Runs from the repository's root. */
#include "base/math.h"
#include "storage/journal/journal_format.h"
#include "storage/lfsx/check/check_findings.h"
#include "storage/lfsx/lfsx_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *document;

struct field {
    const char *structure, *name;
    size_t offset, size; /* size 0: up to the end */
};

#define FIELD(structure, name)                                                                     \
    { #structure, #name, offsetof(struct structure, name), sizeof(((struct structure *)0)->name) }
#define REST(structure, name)                                                                      \
    { #structure, #name, offsetof(struct structure, name), 0 }

static const struct field fields[] = {
    FIELD(disk_label, checksum),
    FIELD(disk_label, magic),
    FIELD(disk_label, version),
    FIELD(disk_label, checksum_kind),
    FIELD(disk_label, compat),
    FIELD(disk_label, ro_compat),
    FIELD(disk_label, incompat),
    FIELD(disk_label, pool_uuid),
    FIELD(disk_label, device_uuid),
    FIELD(disk_label, device_index),
    FIELD(disk_label, device_count),
    FIELD(disk_label, block),
    FIELD(disk_label, device_blocks),
    FIELD(disk_label, map_start),
    FIELD(disk_label, map_blocks),
    FIELD(disk_label, journal_start),
    FIELD(disk_label, journal_blocks),
    FIELD(disk_label, data_start),
    FIELD(disk_label, data_end),
    FIELD(disk_label, created_ns),
    FIELD(disk_label, label),
    FIELD(disk_label, reserved),
    FIELD(disk_pointer, block),
    FIELD(disk_pointer, birth),
    FIELD(disk_pointer, checksum),
    FIELD(disk_pointer, group),
    FIELD(disk_pointer, level),
    FIELD(disk_pointer, reserved),
    FIELD(disk_superblock, checksum),
    FIELD(disk_superblock, magic),
    FIELD(disk_superblock, pool_uuid),
    FIELD(disk_superblock, block),
    FIELD(disk_superblock, checkpoint),
    FIELD(disk_superblock, epoch),
    FIELD(disk_superblock, written_ns),
    FIELD(disk_superblock, catalog),
    FIELD(disk_superblock, catalog_nodes),
    FIELD(disk_superblock, next_dataset),
    FIELD(disk_superblock, used_blocks),
    FIELD(disk_superblock, map_root),
    FIELD(disk_superblock, journal_sequence),
    FIELD(disk_superblock, journal_block),
    FIELD(disk_superblock, journal_previous),
    FIELD(disk_superblock, device_blocks),
    FIELD(disk_superblock, reserved),
    FIELD(disk_map_entry, checksum),
    FIELD(disk_map_entry, free_blocks),
    FIELD(disk_map_entry, copy),
    FIELD(disk_map_entry, reserved),
    FIELD(disk_map_block, checksum),
    FIELD(disk_map_block, magic),
    FIELD(disk_map_block, block),
    FIELD(disk_map_block, checkpoint),
    FIELD(disk_map_block, index),
    FIELD(disk_map_block, level),
    FIELD(disk_map_block, reserved),
    FIELD(disk_map_block, bitmap),
    FIELD(disk_node, checksum),
    FIELD(disk_node, magic),
    FIELD(disk_node, level),
    FIELD(disk_node, reserved),
    FIELD(disk_node, item_count),
    FIELD(disk_node, block),
    FIELD(disk_node, owner),
    FIELD(disk_node, birth),
    FIELD(disk_node, checkpoint),
    FIELD(disk_node, reserved2),
    REST(disk_node, items),
    FIELD(disk_item, inode),
    FIELD(disk_item, offset),
    FIELD(disk_item, type),
    FIELD(disk_item, reserved),
    FIELD(disk_item, value_offset),
    FIELD(disk_item, value_length),
    FIELD(disk_item, reserved2),
    FIELD(disk_inode, mode),
    FIELD(disk_inode, links),
    FIELD(disk_inode, uid),
    FIELD(disk_inode, gid),
    FIELD(disk_inode, size),
    FIELD(disk_inode, data_blocks),
    FIELD(disk_inode, modified_ns),
    FIELD(disk_inode, changed_ns),
    FIELD(disk_inode, accessed_ns),
    FIELD(disk_inode, created_ns),
    FIELD(disk_inode, flags),
    FIELD(disk_inode, parent),
    FIELD(disk_inode, reserved),
    FIELD(disk_extent, block),
    FIELD(disk_extent, birth),
    FIELD(disk_extent, block_count),
    FIELD(disk_extent, stored_blocks),
    FIELD(disk_extent, group),
    FIELD(disk_extent, compression),
    FIELD(disk_extent, encryption),
    FIELD(disk_extent, reserved),
    REST(disk_extent, checksums),
    FIELD(disk_entry, target),
    FIELD(disk_entry, kind),
    FIELD(disk_entry, name_length),
    FIELD(disk_entry, reserved),
    REST(disk_entry, name),
    FIELD(disk_xattr, value_length),
    FIELD(disk_xattr, name_length),
    FIELD(disk_xattr, reserved),
    REST(disk_xattr, bytes),
    FIELD(disk_dataset, id),
    FIELD(disk_dataset, uuid),
    FIELD(disk_dataset, kind),
    FIELD(disk_dataset, state),
    FIELD(disk_dataset, name_length),
    FIELD(disk_dataset, reserved),
    FIELD(disk_dataset, root),
    FIELD(disk_dataset, node_blocks),
    FIELD(disk_dataset, data_blocks),
    FIELD(disk_dataset, created_ns),
    FIELD(disk_dataset, birth),
    FIELD(disk_dataset, dead),
    FIELD(disk_dataset, dead_nodes),
    FIELD(disk_dataset, origin),
    FIELD(disk_dataset, origin_epoch),
    FIELD(disk_dataset, shared_blocks),
    FIELD(disk_dataset, flags),
    FIELD(disk_dataset, keep_deleted_ns),
    FIELD(disk_dataset, deleted_ns),
    FIELD(disk_dataset, next_inode),
    FIELD(disk_dataset, quota_blocks),
    FIELD(disk_dataset, reserved_blocks),
    FIELD(disk_dataset, reserved2),
    REST(disk_dataset, name),
    FIELD(disk_snapshot, uuid),
    FIELD(disk_snapshot, root),
    FIELD(disk_snapshot, node_blocks),
    FIELD(disk_snapshot, data_blocks),
    FIELD(disk_snapshot, shared_blocks),
    FIELD(disk_snapshot, size),
    FIELD(disk_snapshot, created_ns),
    FIELD(disk_snapshot, state),
    FIELD(disk_snapshot, flags),
    FIELD(disk_snapshot, name_length),
    FIELD(disk_snapshot, reserved),
    REST(disk_snapshot, name),
    FIELD(disk_schedule_rule, interval_ns),
    FIELD(disk_schedule_rule, keep),
    FIELD(disk_dead, count),
    FIELD(disk_dead_sum, blocks),
    FIELD(disk_journal_entry, checksum),
    FIELD(disk_journal_entry, magic),
    FIELD(disk_journal_entry, pool_uuid),
    FIELD(disk_journal_entry, sequence),
    FIELD(disk_journal_entry, durable),
    FIELD(disk_journal_entry, previous),
    FIELD(disk_journal_entry, block),
    FIELD(disk_journal_entry, length),
    FIELD(disk_journal_entry, blocks),
    FIELD(disk_journal_entry, record_count),
    FIELD(disk_journal_entry, reserved),
    FIELD(disk_journal_entry, life),
    FIELD(disk_journal_entry, reserved2),
    REST(disk_journal_entry, records),
    FIELD(disk_journal_record, length),
    FIELD(disk_journal_record, type),
    REST(disk_journal_record, payload),
    FIELD(disk_record_write, dataset),
    FIELD(disk_record_write, inode),
    FIELD(disk_record_write, first),
    FIELD(disk_record_write, count),
    FIELD(disk_record_write, reserved),
    FIELD(disk_record_write, size),
    FIELD(disk_record_write, modified_ns),
    REST(disk_record_write, words),
    FIELD(disk_record_punch, dataset),
    FIELD(disk_record_punch, inode),
    FIELD(disk_record_punch, first),
    FIELD(disk_record_punch, count),
    FIELD(disk_record_punch, modified_ns),
    FIELD(disk_record_items, dataset),
    FIELD(disk_record_items, count),
    FIELD(disk_record_items, reserved),
    REST(disk_record_items, changes),
    FIELD(disk_record_change, inode),
    FIELD(disk_record_change, offset),
    FIELD(disk_record_change, type),
    FIELD(disk_record_change, kind),
    FIELD(disk_record_change, value_length),
    FIELD(disk_record_change, reserved),
};

/* The part of the document under the structure's heading, up to the next one. */
static char *section(const char *structure) {
    char heading[64];
    snprintf(heading, sizeof heading, "# %s\n", structure);
    const char *begin = strstr(document, heading);
    if (begin == NULL)
        fail_msg("no heading for %s", structure);
    begin += strlen(heading);
    const char *end = strstr(begin, "\n#");
    return strndup(begin, end == NULL ? strlen(begin) : (size_t)(end - begin));
}

static void every_field_stands_there(void **state) {
    (void)state;
    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        const struct field *field = &fields[i];
        char row[128];
        if (field->size == 0)
            snprintf(row, sizeof row, "\n| %zu | | `%s` |", field->offset, field->name);
        else
            snprintf(row, sizeof row, "\n| %zu | %zu | `%s` |", field->offset, field->size,
                     field->name);
        char *text = section(field->structure);
        if (strstr(text, row) == NULL)
            fail_msg("%s: no row \"%s\"", field->structure, row + 1);
        free(text);
    }
}

/* Fields follow each other without a gap, so none is missing in the list above. */
static void the_list_is_complete(void **state) {
    (void)state;
    for (unsigned i = 1; i < ARRAY_LENGTH(fields); i++) {
        bool same = strcmp(fields[i].structure, fields[i - 1].structure) == 0;
        size_t expected = same ? fields[i - 1].offset + fields[i - 1].size : 0;
        assert_int_equal(fields[i].offset, expected);
    }
}

static void every_finding_stands_there(void **state) {
    (void)state;
    static const struct {
        unsigned number;
        const char *name;
        bool fatal;
    } findings[] = {
#define X(identifier, number, name, fatal) {number, name, fatal},
        CHECK_FINDINGS(X)
#undef X
    };
    unsigned rows = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(findings); i++) {
        char row[128];
        snprintf(row, sizeof row, "\n| %u | %s | %s", findings[i].number, findings[i].name,
                 findings[i].fatal ? "yes |" : "|");
        if (strstr(document, row) == NULL)
            fail_msg("no row \"%s\"", row + 1);
        assert_true(i == 0 || findings[i].number > findings[i - 1].number);
    }
    const char *list = strstr(document, "## What the check finds");
    assert_non_null(list);
    for (const char *at = list; (at = strstr(at, "\n| ")) != NULL; at += 3)
        rows++;
    assert_int_equal(rows, ARRAY_LENGTH(findings) + 1);
}

static int read_document(void **state) {
    (void)state;
    FILE *file = fopen("docs/FORMAT.md", "r");
    if (file == NULL)
        return -1;
    document = calloc(1, 1 << 20);
    size_t length = fread(document, 1, (1 << 20) - 1, file);
    fclose(file);
    return length > 0 ? 0 : -1;
}

static int forget_document(void **state) {
    (void)state;
    free(document);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_stands_there),
        cmocka_unit_test(the_list_is_complete),
        cmocka_unit_test(every_finding_stands_there),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
