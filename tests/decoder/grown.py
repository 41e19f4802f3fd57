#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: a pool that has grown, one whose growth a power cut stopped before or after the step that
counts, and each of them with a label or a newest superblock damaged, is to the decoder what it is
to fsck.lfsx and holdfastd: of the same size, with the same content and the same problems."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lfsx
import scene
import appliance
from appliance import check, run

SMALL, LARGE = 10 << 20, 300 << 20  # 300 MiB: two regions more
VOLUMES = {"one": 700 << 10, "two": 2 << 20}

seed = int(os.environ.get("SEED", int.from_bytes(os.urandom(4), "little")))
print(f"SEED={seed}")
chance = random.Random(seed)
image, before, after = (appliance.path(name) for name in ("pool.img", "before.img", "after.img"))


def copy(source, target):
    run("cp", "--sparse=always", source, target)


def transplant(source, start, count=1):
    """Blocks of another image into the image."""
    with open(source, "rb") as taken, open(image, "r+b") as into:
        taken.seek(start * lfsx.BLOCK)
        into.seek(start * lfsx.BLOCK)
        into.write(taken.read(count * lfsx.BLOCK))


def flip(block):
    with open(image, "r+b") as file:
        file.seek(block * lfsx.BLOCK + 200)
        byte = file.read(1)[0]
        file.seek(block * lfsx.BLOCK + 200)
        file.write(bytes([byte ^ 1]))


def compare(what, size, problems=frozenset()):
    """Both find the same, and the pool of the size."""
    pool = lfsx.Pool(image, verify_data=True)
    report = appliance.fsck(image, expect=4 if problems else 0)
    theirs = {finding["name"] for finding in report["findings"]}
    check(set(pool.problems) == problems == theirs,
          f"{what}: the decoder finds {pool.problems}, fsck.lfsx {theirs}")
    check(pool.geometry["device_blocks"] == size // lfsx.BLOCK, f"{what}: {pool.geometry}")
    check(report["summary"]["total_blocks"]
          == pool.geometry["data_end"] - pool.geometry["data_start"], f"{what}: {report}")
    check(pool.contents == story.contents, f"{what}: other content")
    print(f"{what}: agreed")
    return pool


def opened(what, size):
    """holdfastd makes the pool whole, of the same size."""
    with appliance.Daemon(image) as daemon:
        daemon.power_off()
    compare(f"{what}, opened", size)


appliance.mkfs(image, str(SMALL), {name: str(size) for name, size in VOLUMES.items()})
story = scene.Scene(chance, VOLUMES)
with appliance.Daemon(image) as daemon:
    story.operate(daemon.port, 60, durable=False)
    daemon.power_off()
os.truncate(image, LARGE)
copy(image, before)
old = compare("larger device", SMALL)
run(f"{appliance.BUILD}/bin/fsck.lfsx", "--grow", image)
copy(image, after)
new = compare("grown", LARGE)

# The step that counts was taken; the head's label is still the old one, and the old tail whole.
transplant(before, lfsx.LABEL)
transplant(before, SMALL // lfsx.BLOCK - lfsx.AREA, lfsx.AREA)
compare("head label not written", LARGE)
opened("head label not written", LARGE)

# Everything was prepared, and the step not taken: the end of the device has a label.
copy(before, image)
transplant(after, LARGE // lfsx.BLOCK - lfsx.AREA + lfsx.LABEL)
compare("prepared", SMALL)
flip(lfsx.LABEL)
compare("prepared, head label damaged", SMALL, {"label-copy"})

# A copy of what there are two of.
copy(after, image)
for place in new.labels:
    flip(place)
    compare(f"label {place} damaged", LARGE, {"label-copy"})
    flip(place)
flip(new.superblocks[0])
compare("newest superblock damaged at the head", LARGE, {"superblock-copy"})
flip(new.superblocks[0])
opened("grown", LARGE)
