#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: fsck.lfsx keeps fsck(8)'s exit statuses and writes only if it is told to; its JSON can
be parsed."""
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "e2e"), os.path.join(TESTS, "decoder")]
import appliance
from appliance import check, path, run
from lfsx import BLOCK, Pool

FSCK = f"{appliance.BUILD}/asan/bin/fsck.lfsx"


def digest(name):
    with open(name, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def on_a_terminal(*command):
    """What the program prints when standard error is a terminal; None where there are none."""
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        print(f"the progress bar is not tested: {error}")
        return None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 4096):
            text += piece
    except OSError:
        pass
    process.wait()
    return text.decode()


# 16: wrong usage.
run(FSCK, expect=16)
run(FSCK, "--nonsense", "x", expect=16)
run(FSCK, "-n", "-y", "x", expect=16)
run(FSCK, "one", "two", expect=16)
help_text = run(FSCK, "--help")
check("what is lost" in help_text, "--help does not say that a repair may give something up")

# 8: the check could not be done.
run(FSCK, path("absent.img"), expect=8)
with open(path("zeros.img"), "wb") as file:
    file.truncate(64 << 20)
check("no LFSX pool" in run(FSCK, path("zeros.img"), expect=8), "it does not say what is wrong")
report = json.loads(subprocess.run([FSCK, "--json", path("zeros.img")], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, check=False).stdout)
check(report["checked"] is False and report["exit_status"] == 8, f"JSON: {report}")

# 0: clean.
pool = path("pool.img")
appliance.mkfs(pool, "128M", {"one": "64M", "two": "1G"})
before = digest(pool)
for options in ([], ["-n"], ["-p"], ["-a"], ["-y"], ["-f", "-y"], ["--metadata-only"]):
    check("clean" in run(FSCK, *options, pool), f"{options}: it does not say clean")
report = json.loads(run(FSCK, "--json", pool))
check(report["findings"] == [] and report["exit_status"] == 0 and report["checked"] is True
      and report["summary"]["datasets"] == 2, f"JSON: {report}")

# On a terminal there is a progress bar; else there is none.
on_terminal = on_a_terminal(FSCK, pool)
check(on_terminal is None or "[####" in on_terminal, "no progress bar on a terminal")
check("####" not in run(FSCK, pool), "a progress bar although it is no terminal")

# 4: damage, with number, name and place; nothing is repaired that is not asked for.
node = max(Pool(pool).nodes)
with open(pool, "r+b") as file:
    file.seek(node * BLOCK + 100)
    byte = file.read(1)[0]
    file.seek(node * BLOCK + 100)
    file.write(bytes([byte ^ 1]))
damaged = digest(pool)
text = run(FSCK, pool, expect=4)
check(f"block {node}" in text and "finding" in text, f"the finding is not explained:\n{text}")
for option in ("-p", "-a"):
    check("nothing was repaired" in run(FSCK, option, pool, expect=4),
          f"{option} does not say that nothing was repaired")
report = appliance.fsck(pool, expect=4)
check(any(finding["block"] == node and finding["number"] > 0 and finding["name"]
          for finding in report["findings"]), f"JSON: {report}")
check(digest(pool) == damaged and damaged != before, "fsck.lfsx changed the image")

# A pool that is being served is left alone: 8.
appliance.mkfs(pool, "128M", {"one": "64M"})
with appliance.Daemon(pool) as daemon:
    check("in use" in run(FSCK, pool, expect=8), "it does not say that the pool is in use")
    daemon.power_off()
run(FSCK, pool)

# --grow: after the device became larger, not with -n, and not while there is damage.
grown = path("grown.img")
appliance.mkfs(grown, "16M", {"one": "64M"})
before = digest(grown)
run(FSCK, "-n", "--grow", grown, expect=16)
check("no room" in run(FSCK, "--grow", grown), "it does not say that there is nothing to gain")
os.truncate(grown, 300 << 20)
check("from 16 MiB to 300 MiB" in run(FSCK, "--grow", grown), "it does not say how it grew")
decoded = Pool(grown, verify_data=True)
check(not decoded.problems and decoded.geometry["device_blocks"] == (300 << 20) // BLOCK,
      f"the decoder reads {decoded.report()}")
check("clean" in run(FSCK, grown), "it is not clean after it has grown")
with open(grown, "r+b") as file:
    file.seek(max(decoded.nodes) * BLOCK + 100)
    file.write(b"?!?!?!")
os.truncate(grown, 400 << 20)
damaged = digest(grown)
run(FSCK, "--grow", grown, expect=4)
check(digest(grown) == damaged, "a damaged pool was made to grow")

# The same while the pool is served: SIGHUP.
appliance.mkfs(path("served.img"), "16M", {"one": "64M"})
with appliance.Daemon(path("served.img"), "grower") as daemon:
    os.truncate(path("served.img"), 200 << 20)
    daemon.process.send_signal(signal.SIGHUP)
    for _ in range(300):
        if "the pool has" in daemon.output():
            break
        time.sleep(0.1)
    daemon.power_off()
check(Pool(path("served.img"), verify_data=True).geometry["device_blocks"] == (200 << 20) // BLOCK,
      "SIGHUP did not let the pool grow")
run(FSCK, path("served.img"))
