/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where drivers publish what they found and main.c looks for it. Published devices stay; a removed
 * one answers GONE.
 */
#ifndef KERNEL_DEVICE_H
#define KERNEL_DEVICE_H

#include "base/blockdev.h"
#include "base/netdev.h"

#include <stdint.h>

/* Thread context. NO_MEMORY. */
enum status device_publish_block(struct blockdev *device);
enum status device_publish_net(struct netdev *device);

/* The index-th published device, NULL beyond the last. Any thread. */
struct blockdev *device_block(uint32_t index);
struct netdev *device_net(uint32_t index);

#endif
