/* SPDX-License-Identifier: Apache-2.0 */
/* The GUID partition table on disk: UEFI Specification 2.10, chapter 5. All little-endian. */
#ifndef KERNEL_BLOCK_GPT_FORMAT_H
#define KERNEL_BLOCK_GPT_FORMAT_H

#include "base/endian.h"

#include <stddef.h>
#include <stdint.h>

/* 5.2.1, 5.2.3: the protective MBR in block 0 */
struct gpt_mbr_record {
    uint8_t boot;
    uint8_t first_chs[3];
    uint8_t type;
    uint8_t last_chs[3];
    le32 first_lba;
    le32 blocks;
};
_Static_assert(sizeof(struct gpt_mbr_record) == 16, "UEFI 5.2.1");

struct gpt_mbr {
    uint8_t boot_code[440];
    le32 disk_signature;
    le16 unknown;
    struct gpt_mbr_record records[4];
    le16 signature;
};
_Static_assert(sizeof(struct gpt_mbr) == 512, "UEFI 5.2.1");
_Static_assert(offsetof(struct gpt_mbr, records) == 446, "UEFI 5.2.1");
#define GPT_MBR_SIGNATURE 0xaa55u
#define GPT_MBR_PROTECTIVE 0xeeu

/* 5.3.2: the header, in block 1 and, as the backup, in the last block */
struct gpt_header {
    uint8_t signature[8];
    le32 revision;
    le32 header_size;
    le32 header_crc32; /* of header_size bytes with this field zero */
    le32 reserved;
    le64 my_lba;
    le64 alternate_lba;
    le64 first_usable_lba;
    le64 last_usable_lba;
    uint8_t disk_guid[16];
    le64 entries_lba;
    le32 entry_count;
    le32 entry_size;
    le32 entries_crc32;
};
_Static_assert(sizeof(struct gpt_header) == 92, "UEFI 5.3.2");
_Static_assert(offsetof(struct gpt_header, entries_lba) == 72, "UEFI 5.3.2");
#define GPT_SIGNATURE "EFI PART"
#define GPT_REVISION 0x00010000u
#define GPT_PRIMARY_LBA 1u

/* 5.3.3: an entry; all zero type: unused */
struct gpt_entry {
    uint8_t type_guid[16];
    uint8_t unique_guid[16];
    le64 first_lba;
    le64 last_lba; /* inclusive */
    le64 attributes;
    uint8_t name[72];
};
_Static_assert(sizeof(struct gpt_entry) == 128, "UEFI 5.3.3");
_Static_assert(offsetof(struct gpt_entry, first_lba) == 32, "UEFI 5.3.3");

#endif
