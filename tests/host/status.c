/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the one mapping of errno values tells apart what callers act on, and never says OK. */
#include "host/host.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What a caller of host.h is promised by name. */
static void errors_mean_what_the_header_says(void **state) {
    (void)state;
    static const struct {
        int error;
        enum status status;
    } cases[] = {{0, STATUS_OK},
                 {ENOENT, STATUS_NOT_FOUND},
                 {EACCES, STATUS_PERMISSION},
                 {EBUSY, STATUS_BUSY},
                 {EADDRINUSE, STATUS_BUSY},
                 {EINVAL, STATUS_INVALID},
                 {ENOMEM, STATUS_NO_MEMORY},
                 {EMFILE, STATUS_NO_MEMORY},
                 {ENOSPC, STATUS_NO_SPACE},
                 {EROFS, STATUS_READ_ONLY},
                 {EOPNOTSUPP, STATUS_UNSUPPORTED},
                 {ENODEV, STATUS_GONE},
                 {ETIMEDOUT, STATUS_TIMEOUT},
                 {ECONNRESET, STATUS_CLOSED},
                 {EPIPE, STATUS_CLOSED},
                 {EAGAIN, STATUS_AGAIN},
                 {EEXIST, STATUS_EXISTS},
                 {EIO, STATUS_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(host_status(cases[i].error), cases[i].status);
}

/* Whatever Linux may say, known or not, is an error. */
static void no_error_is_ok(void **state) {
    (void)state;
    for (int error = 1; error < 5000; error++) {
        enum status status = host_status(error);
        assert_true(status != STATUS_OK && status < STATUS_COUNT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_mean_what_the_header_says),
        cmocka_unit_test(no_error_is_ok),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
