#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: pools that earlier versions wrote stay readable, or are refused with the reason. Images in
tests/decoder/golden were made once."""
import hashlib
import json
import lzma
import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
import lfsx
import scene
import appliance
from appliance import check


def digests(contents):
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def compare(name, image, expected):
    pool = lfsx.Pool(image, verify_data=True)
    check(pool.report() == expected["report"], f"{name}: the decoder reads {pool.report()}")
    written = expected["sha256"]
    check(digests({volume: pool.contents[volume] for volume in written}) == written,
          f"{name}: the decoder reads other content")
    report = appliance.fsck(image)
    check(report["summary"]["nodes"] == expected["report"]["nodes"], f"{name}: {report}")
    sizes = {tree["name"]: tree["size"] for dataset in expected["report"]["datasets"]
             for tree in (dataset, *dataset["snapshots"]) if tree["name"] in written}
    check(sizes.keys() == written.keys(), f"{name}: there is {sizes.keys()}")
    for options in (["--read-only"], []):
        with appliance.Daemon(image, "daemon", options) as daemon:
            check(digests(scene.served_contents(daemon.port, sizes)) == written,
                  f"{name}: holdfastd {options} serves other content")
            daemon.power_off()
    check(not appliance.fsck(image)["findings"], f"{name}: damaged by opening it for writing")


def is_refused(name, image):
    """A version that this program does not read any more is named, and not touched."""
    with open(image, "rb") as file:
        before = file.read()
    for tool, *options in (("fsck.lfsx",), ("holdfastd", "--nbd", "127.0.0.1:0")):
        done = subprocess.run([f"{appliance.BUILD}/bin/{tool}", *options, image], timeout=60,
                              capture_output=True, text=True, check=False)
        check(done.returncode != 0 and "version" in done.stderr.lower(),
              f"{name}: {tool} exits with {done.returncode}: {done.stderr}")
    with open(image, "rb") as file:
        check(file.read() == before, f"{name}: refused, but changed")


READ = "version-2"
golden = os.path.join(FOLDER, "golden")
names = sorted(file[:-len(".img.xz")] for file in os.listdir(golden) if file.endswith(".img.xz"))
check(len(names) >= 2, f"{golden} holds {names}")
for name in names:
    image = appliance.path(f"{name}.img")
    with lzma.open(os.path.join(golden, f"{name}.img.xz")) as packed, open(image, "wb") as file:
        file.write(packed.read())
    if not name.startswith(READ):
        is_refused(name, image)
        print(f"{name}: refused with the reason")
        continue
    with open(os.path.join(golden, f"{name}.json"), encoding="utf-8") as file:
        compare(name, image, json.load(file))
    print(f"{name}: as it was written")
