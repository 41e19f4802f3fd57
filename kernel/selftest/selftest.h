/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel can test of itself only from within. Asked for with `selftest=NAME` on the
 * command line; the tests in tests/kernel do. A test is a group of cases, or one that must end in a
 * panic.
 */
#ifndef KERNEL_SELFTEST_SELFTEST_H
#define KERNEL_SELFTEST_SELFTEST_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>

/* What the machine is left with (kernel/cpu/panic.h): QEMU's exit code is twice that plus 1. */
#define SELFTEST_EXIT_PASSED 0x20
#define SELFTEST_EXIT_FAILED 0x21

/* Runs the test that the command line names, if any: writes "selftest NAME: passed" or "failed" and
 * leaves the machine. Returns if none of that name is known here. Boot thread, everything of the
 * kernel and its devices started. */
void selftest_run(void);

/* ---- for the files that hold tests ---- */

struct selftest_case {
    const char *name;
    bool (*run)(void); /* whether it passed */
};

/* Ends a case, or a function of one, that returns bool. */
#define SELFTEST_CHECK(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            log_error("selftest", "%s:%d: %s does not hold", __FILE__, __LINE__, #condition);      \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* Runs all cases in order and says how each ended; true if all passed. */
bool selftest_cases(const char *group, const struct selftest_case *cases, size_t count);

/* The groups. */
bool selftest_memory(void);
bool selftest_leaks(void);
bool selftest_library(void);
bool selftest_command_line(void);
bool selftest_sched(void);
bool selftest_locks(void);
bool selftest_os(void);
bool selftest_irq(void);
bool selftest_reset(void); /* resets the machine */

#endif
