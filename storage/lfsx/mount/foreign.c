/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What else a device may hold, so that mkfs does not overwrite it unasked. Signatures as the
 * formats' own documents give them; whatever is not zero and not known counts too.
 */
#include "base/math.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/lfsx/format/super.h"

#define WINDOW_BYTES (1u << 20)

struct signature {
    uint32_t offset;
    uint8_t length;
    const char *bytes;
    const char *name;
};

/* All inside of the first 128 KiB. */
static const struct signature signatures[] = {
    {512, 8, "EFI PART", "a GPT partition table"},
    {4096, 8, "EFI PART", "a GPT partition table"},
    {1080, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
    {0, 4, "XFSB", "an XFS file system"},
    {65600, 8, "_BHRfS_M", "a btrfs file system"},
    {512, 8, "LABELONE", "an LVM physical volume"},
    {4096, 4, "\xfc\x4e\x2b\xa9", "a member of a Linux RAID"},
    {0, 4, "\xfc\x4e\x2b\xa9", "a member of a Linux RAID"},
    {0, 6, "LUKS\xba\xbe", "a LUKS encrypted volume"},
    {3, 8, "NTFS    ", "an NTFS file system"},
    {3, 8, "EXFAT   ", "an exFAT file system"},
    {82, 8, "FAT32   ", "a FAT file system"},
    {54, 5, "FAT16", "a FAT file system"},
    {4086, 10, "SWAPSPACE2", "Linux swap space"},
    {32769, 5, "CD001", "an ISO 9660 image"},
    {0, 4, "QFI\xfb", "a QCOW image"},
    {0, 4, "hsqs", "a squashfs image"},
    {0, 6, "070701", "a cpio archive"},
    {257, 5, "ustar", "a tar archive"},
    {0, 2, "\x1f\x8b", "a gzip file"},
    {510, 2, "\x55\xaa", "a partition table or boot sector"},
};

static const char *known(const uint8_t *window, uint64_t length) {
    for (size_t i = 0; i < ARRAY_LENGTH(signatures); i++) {
        const struct signature *s = &signatures[i];
        if (math_range_inside(s->offset, s->length, length) &&
            memcmp(window + s->offset, s->bytes, s->length) == 0)
            return s->name;
    }
    return NULL;
}

enum status lfsx_foreign(struct blockdev *device, const char **what) {
    struct label label;
    enum status status = label_read(device, &label);
    if (status == STATUS_OK)
        return STATUS_NOT_FOUND;
    if (status == STATUS_VERSION || status == STATUS_CORRUPT || status == STATUS_TOO_SMALL) {
        *what = "an LFSX pool that this program cannot read";
        return STATUS_OK;
    }
    uint64_t unit = MATH_MAX(device->limits.block_size, 1u);
    uint64_t length = math_round_down(MATH_MIN(device->size, WINDOW_BYTES), unit);
    if (length == 0)
        return STATUS_NOT_FOUND;
    uint8_t *window = os_page_alloc(WINDOW_BYTES);
    if (window == NULL)
        return STATUS_NO_MEMORY;
    *what = NULL;
    status = blockdev_read(device, 0, window, length);
    if (status == STATUS_OK) {
        *what = known(window, length);
        if (*what == NULL && !mem_is_zero(window, length))
            *what = "data of an unknown kind";
    }
    if (status == STATUS_OK && *what == NULL) {
        status = blockdev_read(device, device->size - length, window, length);
        if (status == STATUS_OK && !mem_is_zero(window, length))
            *what = "data of an unknown kind at its end";
    }
    os_page_free(window, WINDOW_BYTES);
    if (status != STATUS_OK)
        return status;
    return *what == NULL ? STATUS_NOT_FOUND : STATUS_OK;
}
