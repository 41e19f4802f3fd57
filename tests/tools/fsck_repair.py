#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: fsck.lfsx -p repairs what is safe and -y the rest, with the exit statuses of fsck(8) and a
report of what is lost; afterwards the pool is clean."""
import json
import os
import shutil
import subprocess
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "e2e"), os.path.join(TESTS, "decoder")]
import appliance
from appliance import check, path, run
from lfsx import BLOCK, Pool

FSCK = f"{appliance.BUILD}/asan/bin/fsck.lfsx"
LABEL = 1


def flip(name, block):
    with open(name, "r+b") as file:
        file.seek(block * BLOCK + 100)
        byte = file.read(1)[0]
        file.seek(block * BLOCK + 100)
        file.write(bytes([byte ^ 1]))


pool, damaged = path("pool.img"), path("damaged.img")
appliance.mkfs(pool, "128M", {"one": "64M", "two": "1G"})

# A label's copy is safe to repair: -p does, 1; then the pool is clean.
shutil.copy(pool, damaged)
flip(damaged, LABEL)
run(FSCK, "-n", damaged, expect=4)
check("repaired" in run(FSCK, "-p", damaged, expect=1), "it does not say what it did")
run(FSCK, damaged)

# Nodes are not: -p leaves them, 4; -y builds the trees anew, 1. Each node in turn.
for node in Pool(pool).nodes:
    shutil.copy(pool, damaged)
    flip(damaged, node)
    check("nothing was repaired" in run(FSCK, "-p", damaged, expect=4), "-p gave something up")
    result = subprocess.run([FSCK, "-y", "--json", damaged], stdout=subprocess.PIPE, check=False)
    report = json.loads(result.stdout)
    check(result.returncode == 1 and report["exit_status"] == 1, f"exit status: {report}")
    check(report["repaired"] > 0 and report["remaining"] == 0, f"not repaired: {report}")
    check(all(loss["length"] > 0 and loss["volume"] for loss in report["losses"]), f"{report}")
    run(FSCK, damaged)

# Memory: too little is said, and nothing is changed; nonsense is wrong usage.
appliance.mkfs(pool, "4G", {"one": "1T"})
flip(pool, max(Pool(pool).nodes))
run(FSCK, "-y", "--memory", "many", pool, expect=16)
run(FSCK, "-y", "--memory", "0", pool, expect=16)
run(FSCK, "-y", "--memory", "64", pool, expect=1)
run(FSCK, pool)
