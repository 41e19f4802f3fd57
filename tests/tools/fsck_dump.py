#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: fsck.lfsx --dump prints what stands on the disk as another reader of the format (the
decoder) sees it, whole or damaged, and changes nothing."""
import hashlib
import os
import random
import re
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "e2e"), os.path.join(TESTS, "decoder")]
import appliance
import lfsx
import scene
from appliance import check, path, run

FSCK = f"{appliance.BUILD}/asan/bin/fsck.lfsx"
EVERYTHING = ("label", "superblocks", "superblock 1", "map", "tree", "tree one", "dataset one",
              "snapshots", "dead", "journal")


def dump(image, what, expect=0):
    return run(FSCK, "--dump", what, image, expect=expect)


def digest(name):
    with open(name, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


run(FSCK, "--dump", "label", expect=16)
run(FSCK, "--dump", "label", "-y", "x", expect=16)
run(FSCK, "--dump", "label", path("absent.img"), expect=8)

pool_image = path("pool.img")
volumes = {"one": 3 << 20, "two": 1 << 20}
appliance.mkfs(pool_image, "16M", {name: str(size) for name, size in volumes.items()})
story = scene.Scene(random.Random(7), volumes)
with appliance.Daemon(pool_image) as daemon:
    story.operate(daemon.port, 150, durable=False)
    daemon.power_off()
with appliance.Daemon(pool_image, "killed") as daemon:
    story.operate(daemon.port, 20, durable=True)
    daemon.kill()
before = digest(pool_image)
pool = lfsx.Pool(pool_image)
check(pool.journal_entries > 0 and len(pool.nodes) > 5, "the pool is too small to tell anything")

for what in EVERYTHING:
    check(what in ("snapshots", "dead") or dump(pool_image, what), f"{what}: nothing")
dump(pool_image, "nonsense", expect=16)
dump(pool_image, "node", expect=16)
dump(pool_image, "dataset three", expect=8)

# Every node of every tree is where the decoder found it, with the same owner and level.
printed = set()
for what in ("tree", "tree one", "tree two"):
    for block, level, owner in re.findall(r"node at block (\d+): level (\d+) owner (\d+) ",
                                          dump(pool_image, what)):
        printed.add((int(block), int(owner), int(level)))
check(printed == {(block, *rest) for block, rest in pool.nodes.items()}, "other nodes")
for block, (owner, level) in pool.nodes.items():
    check(f"node at block {block}: level {level} owner {owner} " in dump(pool_image,
                                                                         f"node {block}"),
          f"node {block}")

# So are the data, the blocks in use, and the journal.
extents = set()
for what in ("tree one", "tree two"):
    for first, last in re.findall(r"extent .* are (\d+)\.\.(\d+),", dump(pool_image, what)):
        extents |= set(range(int(first), int(last) + 1))
check(extents == set(pool.data), "other data")
used = set()
for first, last in re.findall(r"^ +(\d+)\.\.(\d+)$", dump(pool_image, "map"), re.MULTILINE):
    used |= set(range(int(first), int(last) + 1))
check({block for block in used if pool.is_data(block)} == pool.nodes.keys() | pool.data.keys(),
      "other blocks in use")
entries = re.findall(r"^entry \d+ ", dump(pool_image, "journal"), re.MULTILINE)
check(len(entries) == pool.journal_entries + pool.journal_dropped, "other journal entries")
check(digest(pool_image) == before, "--dump changed the image")

# What is damaged is said to be; the rest is printed.
root = next(block for block, (owner, level) in pool.nodes.items() if owner == 16 and level == 1)
leaves = [block for block, (owner, level) in pool.nodes.items() if owner == 16 and level == 0]
with open(pool_image, "r+b") as file:
    file.seek(leaves[0] * lfsx.BLOCK + 200)
    file.write(b"damage")
text = dump(pool_image, "tree one")
check(f"node at block {leaves[0]}: DAMAGED" in text, text)
for block in (root, *leaves[1:]):
    check(f"node at block {block}: level" in text, text)
check("DAMAGED" in dump(pool_image, f"node {leaves[0]}"), "the damage is not said")
for place in (1, pool.device_blocks - 63):
    with open(pool_image, "r+b") as file:
        file.seek(place * lfsx.BLOCK)
        file.write(b"damage" * 100)
check("guessed" in dump(pool_image, "label"), "without labels")
