/* SPDX-License-Identifier: Apache-2.0 */
/* The linker puts the wrapping functions in place of os.h's (--wrap), so that an input always does
 * the same. */
#include "tests/fuzz/fuzz.h"

void __wrap_os_random(void *out, size_t length);
uint64_t __wrap_os_wall_clock_ns(void);

static struct random generator = {1};

void fuzz_random_restart(void) {
    generator.state = 1;
}

void __wrap_os_random(void *out, size_t length) {
    random_fill(&generator, out, length);
}

uint64_t __wrap_os_wall_clock_ns(void) {
    return 1700000000000000000ull;
}

struct ramdisk *fuzz_disk(const unsigned char *content, uint64_t bytes) {
    static struct ramdisk *disk;
    if (disk == NULL)
        disk = ramdisk_create(bytes);
    REQUIRE(disk->device.size == bytes && !disk->recording);
    memcpy(disk->content, content, bytes);
    disk->reads = disk->writes = disk->flushes = 0;
    disk->fail_write_after = 0;
    disk->failing = false;
    return disk;
}
