#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever is allocated and freed in any order, contents stay, nothing is lost, and a machine
without any memory left goes on (kernel/selftest/selftest_memory.c), with little memory and with
memory in two zones."""
import os
import random

from image import selftest

SEED = int(os.environ.get("SEED", random.randrange(1 << 31)))
print(f"SEED={SEED}", flush=True)
selftest("memory", f"seed={SEED}", memory="64M")
selftest("memory", f"seed={SEED}", memory="5G")
