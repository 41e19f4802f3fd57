# SPDX-License-Identifier: Apache-2.0
"""Reads the LFSX format in another language than the product, from docs/FORMAT.md: finds where in
an image the labels, superblocks, nodes and data blocks are that the newest checkpoint refers to.
For images that were closed cleanly: it does not replay the journal."""
import struct

BLOCK = 4096
AREA_BLOCKS, LABEL, RING, SLOTS, MAP_FANOUT = 64, 1, 16, 32, 252
NODE_MAGIC = 0x4E58464C
TYPE_EXTENT, TYPE_DATASET = 4, 16
MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (11400714785074694791, 14029467366897019727, 1609587929392839161,
                      9650029242287828579, 2870177450012600261)


def rotate(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & MASK


def xxh64(data, seed=0):
    """The xxHash specification's XXH64."""
    def round_(lane, value):
        return rotate((lane + value * P2) & MASK, 31) * P1 & MASK
    whole = len(data) // 32 * 32
    if whole:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        words = struct.unpack(f"<{whole // 8}Q", data[:whole])
        for place in range(0, len(words), 4):
            lanes = [round_(lane, words[place + i]) for i, lane in enumerate(lanes)]
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            value = ((value ^ round_(0, lane)) * P1 + P4) & MASK
    else:
        value = (seed + P5) & MASK
    value = (value + len(data)) & MASK
    place = whole
    while place + 8 <= len(data):
        word = struct.unpack_from("<Q", data, place)[0]
        value = (rotate(value ^ round_(0, word), 27) * P1 + P4) & MASK
        place += 8
    if place + 4 <= len(data):
        value ^= struct.unpack_from("<I", data, place)[0] * P1 & MASK
        value = (rotate(value, 23) * P2 + P3) & MASK
        place += 4
    for byte in data[place:]:
        value = rotate(value ^ byte * P5 & MASK, 11) * P1 & MASK
    value = (value ^ value >> 33) * P2 & MASK
    value = (value ^ value >> 29) * P3 & MASK
    return value ^ value >> 32


class Pool:
    """What the newest superblock of the head area reaches.

    nodes      block -> (owner, level)
    data       block -> (dataset's name, block in the volume)
    labels, superblocks, maps   blocks; of the superblocks the newest one's two copies, of the
               allocation maps the copies that count
    """

    def __init__(self, path):
        self.nodes, self.data = {}, {}
        with open(path, "rb") as self.image:
            self.blocks = self.image.seek(0, 2) // BLOCK
            self.labels = [LABEL, self.blocks - AREA_BLOCKS + LABEL]
            self.superblocks = [self.read_superblock(RING),
                                self.read_superblock(self.blocks - AREA_BLOCKS + RING)]
            self.read_maps()
            self.walk(self.catalog, 1, None)
            del self.image

    def read(self, block):
        self.image.seek(block * BLOCK)
        content = self.image.read(BLOCK)
        stored = struct.unpack_from("<Q", content)[0]
        return content, stored == xxh64(content[8:])

    def read_superblock(self, ring):
        """The block of the newest one in a ring; its pointers become this object's."""
        newest, place = -1, None
        for block in range(ring, ring + SLOTS):
            content, good = self.read(block)
            if content[8:16] != b"LFSXSUPR" or not good:
                continue
            checkpoint = struct.unpack_from("<Q", content, 40)[0]
            if checkpoint > newest:
                newest, place = checkpoint, block
                self.catalog = struct.unpack_from("<QQQHB", content, 64)
                self.map_root = struct.unpack_from("<QIB", content, 120)
        if place is None:
            raise ValueError("no valid superblock")
        return place

    def read_maps(self):
        """The levels stand one after the other, each block as a pair; the last pair is the root.
        How many level 0 has follows from how many there are in all."""
        label, _ = self.read(LABEL)
        start, blocks = struct.unpack_from("<QQ", label, 104)
        counts = next(counts for counts in map(self.level_counts, range(1, blocks))
                      if sum(counts) == blocks // 2)
        self.maps, entries = [], [self.map_root]
        for level in reversed(range(len(counts))):
            first = start + 2 * sum(counts[:level])
            below = []
            for index, (checksum, _, copy) in enumerate(entries[:counts[level]]):
                block = first + 2 * index + copy
                content, good = self.read(block)
                if not good or struct.unpack_from("<Q", content)[0] != checksum:
                    raise ValueError(f"block {block} is not the map block that its parent names")
                self.maps.append(block)
                if level:
                    below += [struct.unpack_from("<QIB", content, 64 + 16 * i)
                              for i in range(MAP_FANOUT)]
            entries = below

    @staticmethod
    def level_counts(regions):
        counts = [regions]
        while counts[-1] > 1:
            counts.append(-(-counts[-1] // MAP_FANOUT))
        return counts

    def walk(self, pointer, owner, name):
        block, _, checksum, _, level = pointer
        if block == 0:
            return
        content, good = self.read(block)
        stored, magic, its_level, _, count, its_block, its_owner = struct.unpack_from(
            "<QIBBHQQ", content)
        if not good or (stored, magic, its_level, its_block, its_owner) != (
                checksum, NODE_MAGIC, level, block, owner):
            raise ValueError(f"block {block} is not the node that its parent names")
        self.nodes[block] = (owner, level)
        for number in range(count):
            _, offset, kind, _, start, length, _ = struct.unpack_from(
                "<QQBBHHH", content, 64 + 24 * number)
            value = content[start:start + length]
            if level > 0:
                self.walk(struct.unpack_from("<QQQHB", value), owner, name)
            elif kind == TYPE_DATASET and owner == 1:
                self.walk_dataset(value)
            elif kind == TYPE_EXTENT:
                first, _, blocks = struct.unpack_from("<QQI", value)
                for index in range(blocks):
                    self.data[first + index] = (name, offset + index)

    def walk_dataset(self, value):
        identifier = struct.unpack_from("<Q", value)[0]
        length = value[26]
        name = value[192:192 + length].decode()
        self.walk(struct.unpack_from("<QQQHB", value, 32), identifier, name)
