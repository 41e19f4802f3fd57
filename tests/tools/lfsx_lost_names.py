#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: where a repair left a name in a snapshot whose file it could not bring back, lfsx ls shows
everything else, and which names lead to nothing."""
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
LFSX = f"{appliance.BUILD}/asan/bin/lfsx"
FILES = 120
SHARE = 16  # the owner of its tree's nodes
pool, damaged = path("pool.img"), path("damaged.img")


def list_snapshot(*options):
    result = subprocess.run([LFSX, "ls", damaged, "home@monday", *options], check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def zero(blocks):
    """Nothing is left of these blocks."""
    shutil.copy(pool, damaged)
    with open(damaged, "r+b") as file:
        for block in blocks:
            file.seek(block * BLOCK)
            file.write(bytes(BLOCK))


run(f"{appliance.BUILD}/asan/bin/mkfs.lfsx", "--size", "64M", pool)
run(LFSX, "share", pool, "home")
for number in range(FILES):
    run(LFSX, "put", pool, "home", f"file {number}", "/dev/null")
run(LFSX, "snapshot", pool, "monday", "home")

nodes = Pool(pool).nodes
leaves = [block for block, (owner, level) in nodes.items() if owner == SHARE and level == 0]
with open(pool, "rb") as image:
    content = image.read()
old = [block for block in range(len(content) // BLOCK)
       if content[block * BLOCK + 8:block * BLOCK + 12] == b"LFXN" and block not in nodes]
seen = 0
for leaf in leaves:
    zero([leaf, *old])
    run(FSCK, "-y", damaged, expect=1)
    code, text, complaint = list_snapshot()
    in_json, text_json, _ = list_snapshot("--json")
    entries = json.loads(text_json)
    lost = [entry for entry in entries if entry.get("lost")]
    check(code == in_json == (1 if lost else 0), f"{code}, {in_json}: {complaint}")
    check(len(text.splitlines()) == len(entries), f"{len(entries)} entries are not {text}")
    check(("not all of what was named" in complaint) == bool(lost), complaint)
    for entry in lost:
        line = next(one for one in text.splitlines() if one.endswith(f"  {entry['name']}"))
        check(" lost " in line, line)
    check(all("mode" in entry for entry in entries if not entry.get("lost")), text_json)
    seen += len(lost)
check(seen > 0, "no name led to nothing")
