/* SPDX-License-Identifier: Apache-2.0 */
/* The self-test of network devices: see selftest_net.c. */
#ifndef KERNEL_SELFTEST_SELFTEST_NET_H
#define KERNEL_SELFTEST_SELFTEST_NET_H

#include "base/status.h"

/* Serves the first network device to a test at the other end of the wire until that says that it is
 * done. Thread context, before net/ takes the device. NOT_FOUND: there is no device. */
enum status selftest_net(void);

#endif
