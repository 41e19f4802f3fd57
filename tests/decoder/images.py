#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what docs/FORMAT.md says is what the product does. A reader of the format that was written
from the document in another language (lfsx.py) finds in images made by random operations what was
written to them, what fsck.lfsx finds and what holdfastd serves: after a clean end, after a kill
with the journal not replayed, with snapshots and a clone, and with damaged blocks."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lfsx
import scene
import appliance
from appliance import check

VOLUMES = {"small": 600 << 10, "with-extents": 3 << 20, "straße": 1 << 20}
FLIPS = 40
LFSX = f"{appliance.BUILD}/bin/lfsx"

seed = int(os.environ.get("SEED", int.from_bytes(os.urandom(4), "little")))
chance = random.Random(seed)
print(f"SEED={seed}")
image = appliance.path("pool.img")


def compare(pool, contents, report):
    """Decoder, what was written, and fsck.lfsx."""
    check(not pool.problems, f"problems: {pool.problems}")
    check(not report["findings"], f"findings: {report['findings']}")
    contents = {**contents, **frozen}
    check(pool.contents.keys() == contents.keys(), f"volumes: {pool.contents.keys()}")
    for name, content in contents.items():
        check(pool.contents[name] == content, f"the content of {name} is not what was written")
    mine, theirs = pool.report(), report["summary"]
    for mine_key, theirs_key in (("nodes", "nodes"), ("data_blocks", "data_blocks"),
                                 ("used_blocks", "used_blocks")):
        check(mine[mine_key] == theirs[theirs_key],
              f"{mine_key}: {mine[mine_key]}, fsck.lfsx says {theirs[theirs_key]}")
    check(len(mine["datasets"]) == theirs["datasets"], "datasets")


def flip(place, bit):
    with open(image, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def compare_flip(block):
    """Both must find a flipped bit, and call it the same."""
    place, bit = block * lfsx.BLOCK + chance.randrange(lfsx.BLOCK), chance.randrange(8)
    flip(place, bit)
    try:
        report = appliance.fsck(image, expect=4)
        theirs = {finding["name"] for finding in report["findings"]}
        mine = set(lfsx.Pool(image, verify_data=True).problems)
        check(mine and mine <= theirs, f"bit {bit} of byte {place} (block {block}): {mine}, "
                                       f"fsck.lfsx says {theirs}")
    finally:
        flip(place, bit)


appliance.mkfs(image, "10M", {name: str(size) for name, size in VOLUMES.items()})
story = scene.Scene(chance, VOLUMES)
with appliance.Daemon(image) as daemon:
    story.operate(daemon.port, 120, durable=False)
    daemon.power_off()
appliance.run(LFSX, "snapshot", image, "then", *VOLUMES)
frozen = {f"{name}@then": bytes(content) for name, content in story.contents.items()}
appliance.run(LFSX, "clone", image, "with-extents@then", "clone")
frozen["clone"] = frozen["with-extents@then"]
with appliance.Daemon(image) as daemon:
    story.operate(daemon.port, 60, durable=False)
    daemon.power_off()
pool = lfsx.Pool(image, verify_data=True)
compare(pool, story.contents, appliance.fsck(image))
check(max(level for _, level in pool.nodes.values()) > 0, "all trees have one node")
print(f"after a clean end: {len(pool.nodes)} nodes, {len(pool.data)} data blocks agree")

for block in (*pool.labels, pool.superblocks[0], *pool.maps):
    compare_flip(block)
for block in chance.sample(sorted(pool.nodes) + sorted(pool.data), FLIPS):
    compare_flip(block)
compare(lfsx.Pool(image, verify_data=True), story.contents, appliance.fsck(image))
print("damage is seen alike")

with appliance.Daemon(image, "killed") as daemon:
    story.operate(daemon.port, 40, durable=True)
    daemon.kill()
pool = lfsx.Pool(image, verify_data=True)
check(pool.journal_entries > 0, "there is nothing in the journal")
compare(pool, story.contents, appliance.fsck(image))
print(f"after a kill: {pool.journal_entries} journal entries agree")
with appliance.Daemon(image, "restarted") as daemon:
    served = scene.served_contents(daemon.port, {name: len(content) for name, content
                                                 in pool.contents.items()})
    daemon.power_off()
check(served == pool.contents, "holdfastd serves something else")
compare(lfsx.Pool(image, verify_data=True), story.contents, appliance.fsck(image))
