#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: pools that earlier versions wrote stay readable. Images in tests/decoder/golden were made
once; every later version reads in them what was written then, or says why it does not."""
import hashlib
import json
import lzma
import os
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
    sizes = {dataset["name"]: dataset["size"] for dataset in expected["report"]["datasets"]
             if dataset["name"] in written}
    for options in (["--read-only"], []):
        with appliance.Daemon(image, "daemon", options) as daemon:
            check(digests(scene.served_contents(daemon.port, sizes)) == written,
                  f"{name}: holdfastd {options} serves other content")
            daemon.power_off()
    check(not appliance.fsck(image)["findings"], f"{name}: damaged by opening it for writing")


golden = os.path.join(FOLDER, "golden")
names = sorted(file[:-len(".img.xz")] for file in os.listdir(golden) if file.endswith(".img.xz"))
check(len(names) >= 2, f"{golden} holds {names}")
for name in names:
    image = appliance.path(f"{name}.img")
    with lzma.open(os.path.join(golden, f"{name}.img.xz")) as packed, open(image, "wb") as file:
        file.write(packed.read())
    with open(os.path.join(golden, f"{name}.json"), encoding="utf-8") as file:
        compare(name, image, json.load(file))
    print(f"{name}: as it was written")
