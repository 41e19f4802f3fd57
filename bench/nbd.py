#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a client sees over NBD: `make bench`. Holdfast in QEMU, holdfastd on Linux, and, to
compare, qemu-nbd on a plain file (no checksums, no snapshots, no atomic writes). Prints a table in
Markdown; docs/PERFORMANCE.md says how to read it and how such numbers lie.

    bench/nbd.py [--seconds N] [--target machine|daemon|plain]..."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "e2e"))
os.environ.setdefault("TEST_DIR", os.path.join(os.environ.get("BUILD", "build"), "bench"))
import appliance  # noqa: E402

SIZE = "256M"
PROFILES = {
    "write 1 MiB, depth 8": ["--rw=write", "--bs=1M", "--iodepth=8"],
    "read 1 MiB, depth 8": ["--rw=read", "--bs=1M", "--iodepth=8"],
    "random write 4 KiB, depth 32": ["--rw=randwrite", "--bs=4k", "--iodepth=32"],
    "random read 4 KiB, depth 32": ["--rw=randread", "--bs=4k", "--iodepth=32"],
    "random write 4 KiB, flushed, depth 1": ["--rw=randwrite", "--bs=4k", "--iodepth=1",
                                             "--fsync=1"],
}


def measure(uri, arguments, seconds):
    """Operations and bytes per second of one profile."""
    command = ["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--size={SIZE}",
               f"--runtime={seconds}", "--time_based", "--output-format=json", *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, timeout=seconds + 120, check=True)
    text = result.stdout.decode()  # the engine prints a line of its own before
    job = json.loads(text[text.index("{"):])["jobs"][0]
    kind = "read" if job["read"]["io_bytes"] else "write"
    return job[kind]["iops"], job[kind]["bw_bytes"]


class Plain(appliance.Served):
    """qemu-nbd on a sparse file."""

    def __init__(self):
        self.image = appliance.path("plain.img")
        self.socket = appliance.path("plain.sock")
        self.log = appliance.path("plain.log")

    def start(self):
        with open(self.image, "wb") as file:
            file.truncate(1 << 30)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["qemu-nbd", "-t", "-x", "demo", "-f", "raw", "--discard=unmap",
                 "-k", os.path.abspath(self.socket), self.image], stdout=log, stderr=log)
        while not os.path.exists(self.socket):
            time.sleep(0.02)

    def uri(self, volume=""):
        return f"nbd+unix:///{volume}?socket={os.path.abspath(self.socket)}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.socket)


def make_target(name):
    if name == "plain":
        return Plain()
    image = appliance.path(name + ".img")
    appliance.mkfs(image, "4G", {"demo": "1G"})
    if name == "machine":
        return appliance.Machine([image], name)
    target = appliance.Daemon(image, name)
    target.command[0] = f"{appliance.BUILD}/bin/holdfastd"  # without sanitizers
    return target


def rate(iops, bandwidth):
    return f"{bandwidth / 1e6:,.0f} MB/s" if bandwidth / max(iops, 1) > 65536 else \
        f"{iops:,.0f} IOPS"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=10, help="of each profile")
    parser.add_argument("--target", action="append", choices=("machine", "daemon", "plain"))
    options = parser.parse_args()
    targets = options.target or ["machine", "daemon", "plain"]
    rows = {profile: [] for profile in PROFILES}
    for name in targets:
        with make_target(name) as target:
            measure(target.uri("demo"), ["--rw=write", "--bs=1M", "--iodepth=8"], 2)  # fill
            for profile, arguments in PROFILES.items():
                print(f"{name}: {profile}", file=sys.stderr)
                rows[profile].append(rate(*measure(target.uri("demo"), arguments,
                                                   options.seconds)))
    print("| | " + " | ".join(targets) + " |")
    print("|---|" + "---|" * len(targets))
    for profile, cells in rows.items():
        print(f"| {profile} | " + " | ".join(cells) + " |")
    shutil.rmtree(appliance.TEST_DIR)


if __name__ == "__main__":
    main()
