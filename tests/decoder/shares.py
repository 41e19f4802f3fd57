#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what docs/FORMAT.md says of shares is what the product does: the reader of the format finds
in images that random operations made what was done, and what fsck.lfsx finds: after a clean end,
and with a part of it in the journal only."""
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [FOLDER, os.path.join(FOLDER, "..", "e2e")]
import lfsx
import appliance
import share
from appliance import check
from xxh64 import xxh64

MAKER = f"{appliance.BUILD}/asan/tests/storage/lfsx/share/image"
appliance.require(MAKER)
prefix = appliance.path("share")
os.environ["SHARE_IMAGE"] = prefix
seed = os.environ.setdefault("SEED", str(int.from_bytes(os.urandom(4), "little")))
print(f"SEED={seed}")


def expected():
    """path -> (line, name of attribute -> (length, checksum))"""
    found = {}
    with open(f"{prefix}.txt", encoding="ascii") as manifest:
        for line in manifest:
            path, rest = line.rstrip("\n").split(" ", 1)
            path = path.rstrip("/").encode()
            if rest.startswith("@"):
                name, length, checksum = rest[1:].rsplit(" ", 2)
                found[path][1][name.encode()] = int(length), int(checksum)
            else:
                found[path] = rest, {}
    return found


def read(pool):
    """The same, by the decoder."""
    found = {}
    for path, (inode, number, content, xattrs) in pool.shares["home"].items():
        is_directory = share.kind_of(inode) == share.DIRECTORY
        checksum = 0 if is_directory else xxh64(content)
        line = f"{number} {inode['mode']:o} {inode['links']} {inode['size']} {checksum}"
        found[path] = line, {name: (len(value), xxh64(value)) for name, value in xattrs.items()}
    return found


appliance.run(MAKER)
written = expected()
for state in ("clean", "journal"):
    image = f"{prefix}-{state}.img"
    pool = lfsx.Pool(image, verify_data=True)
    report = appliance.fsck(image)
    check(not pool.problems, f"{state}: problems: {pool.problems}")
    check(not report["findings"], f"{state}: findings: {report['findings']}")
    mine = read(pool)
    check(mine.keys() == written.keys(), f"{state}: {mine.keys() ^ written.keys()}")
    for path, line in written.items():
        check(mine[path] == line, f"{state}: {path}: {mine[path]}, not {line}")
    check(pool.report()["nodes"] == report["summary"]["nodes"], f"{state}: nodes")
    check((pool.journal_entries > 0) == (state == "journal"), f"{state}: {pool.journal_entries}")
    print(f"{state}: {len(written)} inodes and names, {pool.journal_entries} journal entries")
