/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions state what this program has made true. They are never compiled out, and never stand on
 * anything that came from a disk, a wire or a device: such input is validated and answered with a
 * status.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Provided by each home (kernel: panic with a backtrace; host: message and abort). Any context. */
_Noreturn void assert_failed(const char *file, int line, const char *expression);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(__FILE__, __LINE__, #expression))

/* Marks a place that cannot be reached. */
#define ASSERT_UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

#endif
