/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of net/. One lock, lwIP's core lock, guards lwIP and all of net/'s state but
 * where a structure says otherwise. It is taken before any lock of a device (netdev operations
 * `send` and `release` are called under it) and never from interrupt.
 */
#ifndef NET_NET_INTERNAL_H
#define NET_NET_INTERNAL_H

#include "base/os.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define NET_ADDRESS_TEXT_SIZE 16 /* "255.255.255.255" */

void net_core_lock(void);
void net_core_unlock(void);
/* Waits on a condition that is signalled under the core lock, which the caller holds. As
 * os_condition_wait(). */
bool net_core_wait(struct os_condition *condition, uint64_t timeout_ns);

/* What is left until a deadline in os_now_ns() time: 0 when it has passed, OS_FOREVER if the
 * deadline is OS_FOREVER. */
uint64_t net_time_left(uint64_t deadline);

/* Writes an IPv4 address in network byte order as text. */
void net_address_text(char text[NET_ADDRESS_TEXT_SIZE], uint32_t address);

/* Called by net_start(), once each, without the core lock. */
void net_sequence_start(void);
void net_interfaces_start(void);
void net_tcp_start(void);

/* The status of the timer thread's start. */
enum status net_thread_status(void);

#endif
