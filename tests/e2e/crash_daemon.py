#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: whenever holdfastd, under AddressSanitizer, is killed under load, its next start finds a
state that the commands made, with everything flushed in it (crash_load.py says it exactly). The
pool is small, so that space is freed and used again all the time."""
import appliance
import crash_load

pool = appliance.path("pool.img")
appliance.mkfs(pool, "128M", {"load": "32M"})
crash_load.rounds(lambda name: appliance.Daemon(pool, name), pool, "load", 15, 1.5)
