#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# test: machine timeout=300
"""Goal: no flipped bit goes unseen. A flip in any node is reported by fsck.lfsx with exit status 4
and never makes a read return wrong bytes; a flip in a data block is reported and turns into EIO for
that block alone. The places come from an independent reader of the format (tests/decoder)."""
import contextlib
import os
import random
import sys

import appliance
from appliance import check
from nbd_client import EIO, Client, NbdError, Refused

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "decoder"))
from lfsx import BLOCK, Pool

VOLUME = 24 << 20
NODE_SAMPLE, READ_SAMPLE, DATA_SAMPLE = 150, 12, 6

seed = int.from_bytes(os.urandom(4), "little")
chance = random.Random(seed)
print(f"seed {seed}")


@contextlib.contextmanager
def flipped_bit(path, block):
    """The image with one bit of the block inverted, for the time of a with statement."""
    place, bit = block * BLOCK + chance.randrange(BLOCK), 1 << chance.randrange(8)

    def flip():
        with open(path, "r+b") as image:
            image.seek(place)
            byte = image.read(1)[0]
            image.seek(place)
            image.write(bytes([byte ^ bit]))
    flip()
    try:
        yield place
    finally:
        flip()


def fill(path):
    """A volume of many extents, so that its tree has several levels; returns its content."""
    content = bytearray(VOLUME)
    appliance.mkfs(path, "300M", {"volume": str(VOLUME)})
    with appliance.Daemon(path, "fill") as daemon:
        with Client(daemon.port, "volume") as client:
            for _ in range(4000):
                length = BLOCK * chance.choice([1, 1, 1, 2, 3, 9])
                offset = chance.randrange((VOLUME - length) // BLOCK) * BLOCK
                data = chance.randbytes(length)
                client.write(offset, data)
                content[offset:offset + length] = data
        daemon.power_off()
    return bytes(content)


def read_blocks(client, content, may_fail):
    """How many blocks were EIO, as `may_fail` says that they may; the others are right."""
    errors = 0
    for offset in range(0, VOLUME, BLOCK):
        try:
            data = client.read(offset, BLOCK)
        except NbdError as error:
            check(error.number == EIO and may_fail(offset), f"error {error.number} at {offset}")
            errors += 1
            continue
        check(data == content[offset:offset + BLOCK], f"wrong bytes at {offset}")
    return errors


def read_all(path, content, may_fail):
    """Reads the volume block by block. Returns how many were EIO; None if the pool did not open, or
    only without the volume."""
    daemon = appliance.Daemon(path, "read", ["--read-only"])
    try:
        daemon.start()
    except AssertionError:
        output = daemon.output()
        check(daemon.process.returncode == 1 and "Sanitizer" not in output
              and "runtime error" not in output and "assert" not in output.lower(),
              f"holdfastd did not refuse, it broke:\n{output}")
        return None
    with daemon:
        try:
            with Client(daemon.port, "volume") as client:
                errors = read_blocks(client, content, may_fail)
        except Refused:
            check("volume volume (dataset 16) is damaged" in daemon.output(), daemon.output())
            errors = None
        daemon.power_off()
    return errors


def check_reported(path, blocks, what):
    for block in blocks:
        with flipped_bit(path, block) as place:
            report = appliance.fsck(path, expect=4)
            check(report["findings"], f"no finding for the flip of {what} at byte {place}")
    print(f"{len(blocks)} flips in {what}: all reported")


def sample(blocks, count):
    blocks = sorted(blocks)
    return chance.sample(blocks, min(count, len(blocks)))


pool_path = appliance.path("pool.img")
content = fill(pool_path)
appliance.fsck(pool_path)
pool = Pool(pool_path)
levels = {level for owner, level in pool.nodes.values() if owner != 1}
check(len(levels) > 1, "the volume's tree has one level only: this test needs more")
print(f"{len(pool.nodes)} nodes, {len(pool.data)} data blocks")

check_reported(pool_path, sample(pool.nodes, NODE_SAMPLE), "nodes")
check_reported(pool_path, pool.labels, "labels")
# A power cut may leave the newest superblock's second copy half written: that is no damage.
check_reported(pool_path, pool.superblocks[:1], "superblocks")
check_reported(pool_path, pool.maps, "allocation maps")
check_reported(pool_path, sample(pool.data, DATA_SAMPLE), "data blocks")

refused = 0
for block in sample(pool.nodes, READ_SAMPLE):
    with flipped_bit(pool_path, block):
        refused += read_all(pool_path, content, lambda offset: True) is None
print(f"{READ_SAMPLE} flips in nodes: no wrong byte was read ({refused} times pool or volume were "
      "refused)")

for block in sample(pool.data, DATA_SAMPLE):
    _, index = pool.data[block]
    with flipped_bit(pool_path, block):
        errors = read_all(pool_path, content, lambda offset: offset == index * BLOCK)
        check(errors == 1, f"{errors} blocks were EIO, not 1")
print(f"{DATA_SAMPLE} flips in data: EIO for that block alone")
appliance.fsck(pool_path)
