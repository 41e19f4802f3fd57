#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: fsck.lfsx --memory checks a pool whose metadata is many times as large, finds what it finds
without a limit, and the process takes no more than that beyond what it takes for an empty pool.
What is beyond goes to a file that nobody sees; without room for that it says what to do."""
import json
import os
import subprocess
import sys
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "e2e")]
import appliance
from appliance import check, path, run

FSCK = f"{appliance.BUILD}/bin/fsck.lfsx"
SANITIZED = f"{appliance.BUILD}/asan/bin/fsck.lfsx"
MIB, BLOCK, NODE_MAGIC = 1 << 20, 4096, b"LFXN"
SLACK = 6 * MIB  # pages come from regions of 4 MiB, threads have stacks

empty, pool, scratch = path("empty.img"), path("pool.img"), path("scratch")
os.mkdir(scratch)


def report(image, *options, expect=0, program=FSCK):
    """The JSON report, and the most that the process had of memory as far as was seen."""
    printed = open(path("report.json"), "w+", encoding="utf-8")
    process = subprocess.Popen([program, "--json", *options, image], stdout=printed)
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                peak = max([peak] + [int(line.split()[1]) * 1024 for line in status
                                     if line.startswith("VmHWM")])
        except (OSError, ValueError):
            pass
        time.sleep(0.002)
    with printed:
        printed.seek(0)
        text = printed.read()
    check(process.returncode == expect, f"{options}: exit status {process.returncode}:\n{text}")
    return json.loads(text), peak


def nodes(file):
    """Where in the image nodes are, old versions too."""
    end = 0
    while True:
        try:
            place = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), place, os.SEEK_HOLE)
        for block in range(place, end, BLOCK):
            if os.pread(file.fileno(), 4, block + 8) == NODE_MAGIC:
                yield block


def within(mebibytes):
    return "--memory", str(mebibytes), "--scratch", scratch


for image in (empty, pool):
    run(f"{appliance.BUILD}/bin/mkfs.lfsx", "--size", "1T", image)
run(f"{appliance.BUILD}/host/tests/tools/scatter", pool, "18000")

# Without a limit it takes more than the limits that follow.
unlimited, _ = report(pool)
check(unlimited["memory"]["limit_bytes"] is None and unlimited["memory"]["scratch_bytes"] == 0
      and unlimited["memory"]["peak_bytes"] > 16 * MIB, f"without a limit: {unlimited}")
check(unlimited["summary"]["nodes"] * BLOCK > 64 * MIB, f"too few nodes: {unlimited}")

for mebibytes in (8, 1):
    _, little = report(empty, *within(mebibytes))
    limited, much = report(pool, *within(mebibytes))
    memory = limited["memory"]
    check(memory["limit_bytes"] == mebibytes * MIB >= memory["peak_bytes"] > 0
          and memory["scratch_bytes"] > 8 * MIB, f"within {mebibytes} MiB: {memory}")
    check(0 < much <= little + mebibytes * MIB + SLACK,
          f"within {mebibytes} MiB: the process had {much}, {little} with an empty pool")
    check(limited["summary"] == unlimited["summary"], f"another summary: {limited}")
check(os.listdir(scratch) == [], "the scratch file has a name")
check("of scratch space" in run(SANITIZED, *within(1), pool), "it does not say what it took")

# No room, no place: 8, and what to do.
text = run("bash", "-c", f"ulimit -f 1024; exec {SANITIZED} --memory 1 --scratch {scratch} {pool}",
           expect=8)
check("is full" in text and "--scratch" in text and "--memory" in text, f"no room:\n{text}")
text = run(SANITIZED, "--memory", "1", "--scratch", path("absent"), pool, expect=8)
check("absent" in text, f"no directory:\n{text}")
text = run("env", f"TMPDIR={path('absent')}", SANITIZED, "--memory", "1", pool, expect=8)
check("going on" in text and "--scratch" in text, f"no default directory:\n{text}")
run("env", f"TMPDIR={path('absent')}", SANITIZED, "--memory", "1", empty)
run("env", f"TMPDIR={scratch}", SANITIZED, "--memory", "1", pool)
text = run(SANITIZED, "--scratch", scratch, pool, expect=16)
check("--memory" in text, f"--scratch alone:\n{text}")

# The same findings.
with open(pool, "r+b") as file:
    for place in list(nodes(file))[5::997]:
        file.seek(place + 1000)
        file.write(b"?!?!?!")
damaged, _ = report(pool, expect=4)
check(len(damaged["findings"]) > 10, f"few findings: {damaged}")
for mebibytes in (8, 1):
    limited, _ = report(pool, *within(mebibytes), expect=4)
    check(limited["findings"] == damaged["findings"], f"within {mebibytes} MiB: other findings")
