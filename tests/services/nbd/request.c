/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: no request passes nbd_validate() that the storage could not take as it is. */
#include "base/os.h"
#include "services/nbd/nbd_proto.h"
#include "services/nbd/nbd_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE (1ull << 30)

static struct nbd_export writable(void) {
    return (struct nbd_export){.size = SIZE};
}

/* The error that a request gets; 0: it may pass. */
static uint32_t judge(struct nbd_export export, uint16_t type, uint16_t flags, uint64_t offset,
                      uint32_t length) {
    struct nbd_request request = {.type = type, .flags = flags, .offset = offset, .length = length};
    struct nbd_refusal refusal = {0, NULL};
    if (nbd_validate(&export, &request, &refusal))
        return 0;
    assert_non_null(refusal.message);
    assert_int_not_equal(refusal.error, 0);
    return refusal.error;
}

/* Ranges inside of the export pass up to its last byte, and not one further, for every command. */
static void ranges_end_with_the_export(void **state) {
    (void)state;
    static const struct {
        uint16_t type;
        uint32_t beyond;
    } cases[] = {{NBD_CMD_READ, NBD_EINVAL},
                 {NBD_CMD_WRITE, NBD_ENOSPC},
                 {NBD_CMD_TRIM, NBD_EINVAL},
                 {NBD_CMD_WRITE_ZEROES, NBD_ENOSPC}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t type = cases[i].type;
        assert_int_equal(judge(writable(), type, 0, 0, 1), 0);
        assert_int_equal(judge(writable(), type, 0, SIZE - 1, 1), 0);
        assert_int_equal(judge(writable(), type, 0, SIZE - 1, 2), cases[i].beyond);
        assert_int_equal(judge(writable(), type, 0, SIZE, 1), cases[i].beyond);
        assert_int_equal(judge(writable(), type, 0, UINT64_MAX, 1), cases[i].beyond);
        assert_int_equal(judge(writable(), type, 0, UINT64_MAX - 4095, 4096), cases[i].beyond);
        assert_int_equal(judge(writable(), type, 0, 0, 0), NBD_EINVAL);
    }
}

/* Regression class: a length of 0xffffffff, which plus 1 is 0, must not get through. */
static void huge_lengths_are_refused(void **state) {
    (void)state;
    assert_int_equal(judge(writable(), NBD_CMD_READ, 0, 0, UINT32_MAX), NBD_EINVAL);
    assert_int_equal(judge(writable(), NBD_CMD_WRITE, 0, 0, UINT32_MAX), NBD_EINVAL);
    assert_int_equal(judge(writable(), NBD_CMD_READ, 0, 0, LFSX_MAX_IO), 0);
    assert_int_equal(judge(writable(), NBD_CMD_READ, 0, 0, LFSX_MAX_IO + 1), NBD_EINVAL);
    struct nbd_export large = {.size = 1ull << 40};
    assert_int_equal(judge(large, NBD_CMD_TRIM, 0, 0, UINT32_MAX), 0);
    assert_int_equal(judge(large, NBD_CMD_WRITE_ZEROES, 0, 0, UINT32_MAX), 0);
}

/* FUA is good with every command, NO_HOLE with WRITE_ZEROES, nothing else with anything. */
static void flags_belong_to_commands(void **state) {
    (void)state;
    static const uint16_t types[] = {NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM,
                                     NBD_CMD_WRITE_ZEROES};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (unsigned bit = 0; bit < 16; bit++) {
            bool good = 1u << bit == NBD_CMD_FLAG_FUA ||
                        (1u << bit == NBD_CMD_FLAG_NO_HOLE && types[i] == NBD_CMD_WRITE_ZEROES);
            assert_int_equal(judge(writable(), types[i], (uint16_t)(1u << bit), 0, 512),
                             good ? 0 : NBD_EINVAL);
        }
    }
    assert_int_equal(judge(writable(), NBD_CMD_FLUSH, NBD_CMD_FLAG_FUA, 0, 0), 0);
    assert_int_equal(judge(writable(), NBD_CMD_FLUSH, NBD_CMD_FLAG_NO_HOLE, 0, 0), NBD_EINVAL);
    assert_int_equal(judge(writable(), NBD_CMD_FLUSH, 0, 4096, 0), NBD_EINVAL);
    assert_int_equal(judge(writable(), NBD_CMD_FLUSH, 0, 0, 1), NBD_EINVAL);
}

/* What writes is EPERM on a read-only export; the rest works. */
static void read_only_refuses_writes(void **state) {
    (void)state;
    struct nbd_export export = {.size = SIZE, .read_only = true};
    assert_int_equal(judge(export, NBD_CMD_READ, 0, 0, 512), 0);
    assert_int_equal(judge(export, NBD_CMD_FLUSH, 0, 0, 0), 0);
    assert_int_equal(judge(export, NBD_CMD_WRITE, 0, 0, 512), NBD_EPERM);
    assert_int_equal(judge(export, NBD_CMD_TRIM, 0, 0, 512), NBD_EPERM);
    assert_int_equal(judge(export, NBD_CMD_WRITE_ZEROES, 0, 0, 512), NBD_EPERM);
}

/* Of all 65,536 types only the five that have an effect pass. */
static void unknown_commands_are_refused(void **state) {
    (void)state;
    unsigned passed = 0;
    for (unsigned type = 0; type <= UINT16_MAX; type++) {
        uint32_t length = type == NBD_CMD_FLUSH ? 0 : 512;
        uint32_t error = judge(writable(), (uint16_t)type, 0, 0, length);
        if (error == 0)
            passed++;
        else
            assert_int_equal(error, NBD_EINVAL);
    }
    assert_int_equal(passed, 5);
}

/* Whatever random numbers say, what passes lies inside of the export. */
static void random_requests_stay_inside(void **state) {
    (void)state;
    unsigned seed = (unsigned)os_now_ns();
    print_message("seed %u\n", seed);
    srand(seed);
    unsigned passed = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t size = ((uint64_t)rand() << 20 | (uint64_t)rand()) >> rand() % 50;
        uint64_t offset = ((uint64_t)rand() << 33 ^ (uint64_t)rand() << 11) >> rand() % 64;
        uint32_t length = ((uint32_t)rand() << 1) >> rand() % 32;
        struct nbd_export export = {.size = size};
        if (judge(export, (uint16_t)(rand() % 7), 0, offset, length) != 0)
            continue;
        passed++;
        __extension__ unsigned __int128 end = (unsigned __int128)offset + length;
        assert_true(end <= size);
    }
    assert_true(passed > 1000);
}

/* Every status has an error, only OK is 0, and each error is one that the protocol knows. */
static void every_status_has_an_error(void **state) {
    (void)state;
    for (unsigned status = 1; status < STATUS_COUNT; status++) {
        uint32_t error = nbd_error((enum status)status);
        assert_true(error == NBD_EPERM || error == NBD_EIO || error == NBD_ENOMEM ||
                    error == NBD_EINVAL || error == NBD_ENOSPC || error == NBD_ENOTSUP ||
                    error == NBD_ESHUTDOWN);
    }
    assert_int_equal(nbd_error(STATUS_OK), 0);
    assert_int_equal(nbd_error(STATUS_CHECKSUM), NBD_EIO);
    assert_int_equal(nbd_error(STATUS_READ_ONLY), NBD_EIO);
    assert_int_equal(nbd_error(STATUS_NO_SPACE), NBD_ENOSPC);
    assert_int_equal(nbd_error(STATUS_NO_MEMORY), NBD_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_end_with_the_export),
        cmocka_unit_test(huge_lengths_are_refused),
        cmocka_unit_test(flags_belong_to_commands),
        cmocka_unit_test(read_only_refuses_writes),
        cmocka_unit_test(unknown_commands_are_refused),
        cmocka_unit_test(random_requests_stay_inside),
        cmocka_unit_test(every_status_has_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
