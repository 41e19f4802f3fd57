#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: whenever the machine is killed under load, the next boot finds a state that the commands
made, with everything flushed in it (crash_load.py says it exactly)."""
import appliance
import crash_load

pool = appliance.path("pool.img")
appliance.mkfs(pool, "256M", {"load": "32M"})
crash_load.rounds(lambda name: appliance.Machine([pool], name), pool, "load", 4, 3.0)
