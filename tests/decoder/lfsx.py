# SPDX-License-Identifier: Apache-2.0
"""Reads an LFSX image as docs/FORMAT.md describes it, without a line of the product's code: the
labels, the newest checkpoint, the allocation maps, every tree, the journal behind the checkpoint,
and the checksum of everything. `problems` are what fsck.lfsx would call findings, by their names
in the document."""
import layout
from xxh64 import xxh64

BLOCK = 4096
AREA, LABEL, RING, SLOTS = 64, 1, 16, 32
REGION, FANOUT, BITMAP = 32256, 252, 64
CATALOG, FIRST_DATASET, FILE = 1, 16, 1
INODE, ENTRY, EXTENT, DATASET = 1, 2, 4, 16
RECORD_WRITE, RECORD_PUNCH = 1, 2
ENTRY_BLOCKS_MAX = 64
CONTENT_MAX = 64 << 20
LEVEL_MAX, VALUE_MAX = 31, 1000

STRUCTURES, FINDINGS = layout.read_document()
S = STRUCTURES


class Refused(Exception):
    """The image is no pool, or not one that this version of the format describes."""


class Damage(Exception):
    """What lies behind it cannot be told. The argument is the finding's name."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


def divide_up(number, divisor):
    return -(-number // divisor)


def plan(blocks):
    """"Layout of a device": all boundaries follow from the number of blocks."""
    if blocks < 2048:
        raise Refused(f"{blocks} blocks are too few")
    levels = [divide_up(blocks, REGION)]
    while len(levels) < 2 or levels[-1] > 1:
        levels.append(divide_up(levels[-1], FANOUT))
    map_blocks = 2 * sum(levels)
    journal_blocks = min(max(blocks // 64, 256), 262144)
    journal_start = AREA + map_blocks
    return {"device_blocks": blocks, "map_start": AREA, "map_blocks": map_blocks,
            "journal_start": journal_start, "journal_blocks": journal_blocks,
            "data_start": journal_start + journal_blocks, "data_end": blocks - AREA}, levels


class Dataset:
    def __init__(self, number, name, record):
        self.number, self.name, self.record = number, name, record
        self.size = None
        self.nodes = 0
        self.blocks = {}  # block of the file -> (block of the device, checksum)

    @property
    def live(self):
        return self.record["state"] == 0


class Pool:
    """
    nodes      block -> (owner, level)
    data       block -> (dataset's name, block of its file), of the checkpoint
    journaled  blocks of data that the journal's entries name
    labels, superblocks, maps   blocks; of the superblocks the newest one's two copies, of the
               allocation maps the copies that count
    """

    def __init__(self, path, verify_data=False):
        self.problems, self.nodes, self.data, self.maps, self.used = [], {}, {}, [], {}
        self.datasets, self.names, self.journaled = {}, {}, set()
        self.journal_entries = self.journal_dropped = 0
        with open(path, "rb") as self.image:
            self.device_blocks = self.image.seek(0, 2) // BLOCK
            try:
                self.walk()
                if verify_data:
                    self.verify_data()
                self.compare()
            except Damage as damage:
                self.problem(damage.name)
            self.contents = self.read_contents() if verify_data else None
        del self.image

    def problem(self, name):
        if name not in FINDINGS.values():
            raise ValueError(f"{name} is no finding of the document")
        if name not in self.problems:
            self.problems.append(name)

    def read(self, block, count=1):
        self.image.seek(block * BLOCK)
        return self.image.read(count * BLOCK)

    @staticmethod
    def is_sealed(content, structure):
        return S[structure].number(content, "checksum") == xxh64(content[8:])

    def walk(self):
        self.find_label()
        self.find_superblock()
        self.read_maps()
        self.catalog_nodes = self.walk_tree("catalog", S["disk_superblock"], self.super, 0, CATALOG)
        for dataset in self.datasets.values():
            record = S["disk_dataset"]
            dataset.nodes = self.walk_tree("root", record, dataset.raw, 0, dataset.number)
            for index, (block, _) in dataset.blocks.items():
                self.claim(block)
                self.data[block] = (dataset.name, index)
        self.replay_journal()

    # ---- both ends ----

    def find_label(self):
        self.labels = [LABEL, self.device_blocks - AREA + LABEL]
        good = []
        for block in self.labels:
            content = self.read(block)
            label = S["disk_label"]
            if label.raw(content, "magic") == b"LFSXLABL" \
                    and self.is_sealed(content, "disk_label") \
                    and label.number(content, "block") == block:
                good.append(content)
        if not good:
            raise Refused("there is no label")
        if len(good) == 1:
            self.problem("label-copy")
        self.read_label(good[0])

    def read_label(self, content):
        label = S["disk_label"]
        fields = label.numbers(content)
        for field, only in (("version", 2), ("checksum_kind", 1), ("ro_compat", 0),
                            ("incompat", 0), ("device_index", 0), ("device_count", 1)):
            if fields[field] != only:
                raise Refused(f"the label's {field} is {fields[field]}")
        self.geometry, self.levels = plan(fields["device_blocks"])
        for field, value in self.geometry.items():
            if fields[field] != value:
                raise Refused(f"the label's {field} is {fields[field]} instead of {value}")
        if fields["device_blocks"] > self.device_blocks:
            raise Damage("device-shrank", "")
        if any(label.raw(content, "reserved")):
            raise Refused("the label's reserved bytes are not zero")
        self.uuid = label.raw(content, "pool_uuid")
        self.label = label.raw(content, "label").rstrip(b"\0").decode()

    def is_data(self, block, count=1):
        return self.geometry["data_start"] <= block <= self.geometry["data_end"] - count

    def slot_state(self, block, slot):
        """None: empty; False: damaged; else its content."""
        content = self.read(block)
        if not any(content):
            return None
        shape, root = S["disk_superblock"], S["disk_pointer"]
        pointer = shape.raw(content, "catalog")
        entry = shape.raw(content, "map_root")
        good = (shape.raw(content, "magic") == b"LFSXSUPR"
                and self.is_sealed(content, "disk_superblock")
                and shape.number(content, "block") == block
                and shape.raw(content, "pool_uuid") == self.uuid
                and not any(shape.raw(content, "reserved"))
                and shape.number(content, "checkpoint") % SLOTS == slot
                and shape.number(content, "next_dataset") >= FIRST_DATASET
                and shape.number(content, "journal_sequence") >= 1
                and shape.number(content, "journal_block") < self.geometry["journal_blocks"]
                and self.is_data(root.number(pointer, "block"))
                and root.number(pointer, "level") <= LEVEL_MAX
                and root.number(pointer, "group") == 0 and not any(root.raw(pointer, "reserved"))
                and S["disk_map_entry"].number(entry, "copy") <= 1
                and not any(S["disk_map_entry"].raw(entry, "reserved")))
        return content if good else False

    def find_superblock(self):
        shape = S["disk_superblock"]
        rings = [[self.slot_state(area + RING + slot, slot) for slot in range(SLOTS)]
                 for area in (0, self.device_blocks - AREA)]
        valid = [content for ring in rings for content in ring if content]
        if not valid:
            raise Damage("superblock-lost", "no superblock is valid")
        self.super = max(valid, key=lambda content: shape.number(content, "checkpoint"))
        self.checkpoint = shape.number(self.super, "checkpoint")
        behind, newest = (self.checkpoint + 1) % SLOTS, self.checkpoint % SLOTS
        if rings[0][behind] is False and rings[1][behind] is False:
            raise Damage("superblock-lost", "the newest one is damaged")
        for slot in range(SLOTS):
            # What a power cut may leave is no problem.
            if rings[0][slot] is False and slot != behind \
                    or rings[1][slot] is False and slot != newest:
                self.problem("superblock-copy")
        self.superblocks = [RING + newest, self.device_blocks - AREA + RING + newest]

    # ---- allocation maps ----

    def read_maps(self):
        root = S["disk_superblock"].raw(self.super, "map_root")
        entry = S["disk_map_entry"]
        above, self.used_bits = [root], 0
        for level in reversed(range(len(self.levels))):
            below = []
            for index in range(self.levels[level]):
                content = self.read_map(level, index, above[index])
                body = content[BITMAP:]
                if level > 0:
                    below += [body[at:at + entry.size] for at in range(0, len(body), entry.size)]
                else:
                    self.used[index] = body
                    used = sum(byte.bit_count() for byte in body)
                    self.used_bits += used
                    if entry.number(above[index], "free_blocks") != REGION - used:
                        self.problem("map-free-count")
            above = below

    def read_map(self, level, index, entry):
        copy = S["disk_map_entry"].number(entry, "copy")
        block = self.geometry["map_start"] + 2 * (sum(self.levels[:level]) + index) + copy
        content, shape = self.read(block), S["disk_map_block"]
        if not self.is_sealed(content, "disk_map_block") \
                or shape.raw(content, "checksum") != S["disk_map_entry"].raw(entry, "checksum"):
            raise Damage("map-checksum", f"block {block}")
        if (shape.raw(content, "magic"), shape.number(content, "block"),
                shape.number(content, "index"), shape.number(content, "level")) != (
                    b"LFSXMAPB", block, index, level) or any(shape.raw(content, "reserved")):
            raise Damage("map-corrupt", f"block {block}")
        self.maps.append(block)
        return content

    def is_used(self, block):
        return self.used[block // REGION][block % REGION // 8] >> block % 8 & 1

    # ---- trees ----

    def claim(self, block):
        if block in self.nodes or block in self.data:
            self.problem("block-shared")
        if not self.is_used(block):
            self.problem("block-lost")

    def walk_tree(self, field, shape, parent, at, owner):
        """Returns the number of nodes."""
        return self.walk_node(shape.raw(parent, field, at), owner, None, None, True)

    def walk_node(self, pointer, owner, low, high, is_root=False):
        shape, names = S["disk_node"], S["disk_pointer"]
        block = names.number(pointer, "block")
        if not self.is_data(block):
            raise Damage("node-location", f"block {block}")
        content = self.read(block)
        if not self.is_sealed(content, "disk_node") \
                or shape.raw(content, "checksum") != names.raw(pointer, "checksum") \
                or shape.number(content, "block") != block:
            raise Damage("node-checksum", f"block {block}")
        level = shape.number(content, "level")
        items = list(self.items(content, block))
        if shape.number(content, "magic") != 0x4e58464c \
                or level != names.number(pointer, "level") \
                or shape.number(content, "owner") != owner \
                or shape.raw(content, "birth") != names.raw(pointer, "birth"):
            raise Damage("node-corrupt", f"block {block}")
        keys = [key for key, _ in items]
        if not keys and not (is_root and level == 0) \
                or any((low and key < low) or (high and key >= high) for key in keys) \
                or level > 0 and not is_root and keys[0] != low:
            self.problem("node-order")
        self.claim(block)
        self.nodes[block] = (owner, level)
        count = 1
        for index, (key, value) in enumerate(items):
            if level == 0:
                self.take_item(owner, key, value)
            else:
                behind = keys[index + 1] if index + 1 < len(keys) else high
                count += self.walk_node(value, owner, key, behind)
        return count

    @staticmethod
    def items(content, block):
        """(key, value) of each item; that they lie as the document's picture shows."""
        shape, end, before = S["disk_item"], BLOCK, None
        count = S["disk_node"].number(content, "item_count")
        first = S["disk_node"].fields["items"][0]
        if first + count * shape.size > BLOCK:
            raise Damage("node-corrupt", f"block {block}: too many items")
        for number in range(count):
            at = first + number * shape.size
            item = shape.numbers(content, at)
            key = (item["inode"], item["type"], item["offset"])
            start, length = item["value_offset"], item["value_length"]
            if start + length != end or length > VALUE_MAX or item["reserved"] \
                    or item["reserved2"] or before is not None and key <= before \
                    or start < first + count * shape.size:
                raise Damage("node-corrupt", f"block {block}: item {number}")
            yield key, content[start:start + length]
            end, before = start, key
        if any(content[first + count * shape.size:end]):
            raise Damage("node-corrupt", f"block {block}: bytes between items and values")

    def take_item(self, owner, key, value):
        inode, kind, offset = key
        if owner == CATALOG and kind == DATASET:
            self.take_dataset(inode, value)
        elif owner == CATALOG and kind == ENTRY:
            shape = S["disk_entry"]
            name = shape.raw(value, "name")
            if shape.number(value, "name_length") != len(name):
                raise Damage("item-invalid", "a name's length")
            seed = int.from_bytes(self.uuid[:8], "little")
            if xxh64(name, seed) & ~15 != offset & ~15:
                self.problem("name-hash")
            self.names[name.decode()] = shape.number(value, "target")
        elif owner != CATALOG and kind == INODE:
            self.datasets[owner].size = S["disk_inode"].number(value, "size")
        elif owner != CATALOG and kind == EXTENT:
            self.take_extent(owner, offset, value)
        else:
            raise Damage("item-invalid", f"type {kind} in tree {owner}")

    def take_dataset(self, number, value):
        shape = S["disk_dataset"]
        record = shape.numbers(value)
        name = shape.raw(value, "name")
        if record["id"] != number or record["name_length"] != len(name):
            raise Damage("item-invalid", f"dataset {number}")
        self.datasets[number] = Dataset(number, name.decode(), record)
        self.datasets[number].raw = value

    def take_extent(self, owner, offset, value):
        shape, blocks = S["disk_extent"], self.datasets[owner].blocks
        extent = shape.numbers(value)
        checksums = shape.raw(value, "checksums")
        count = extent["block_count"]
        if len(checksums) != 8 * count or not 1 <= count <= 64 \
                or extent["stored_blocks"] != count or not self.is_data(extent["block"], count):
            raise Damage("item-invalid", f"an extent of tree {owner}")
        for i in range(count):
            if offset + i in blocks:
                self.problem("extent-overlap")
            blocks[offset + i] = (extent["block"] + i,
                                  int.from_bytes(checksums[8 * i:8 * i + 8], "little"))

    # ---- what can be told with all parts at hand ----

    def compare(self):
        shape = S["disk_superblock"]
        named = self.nodes.keys() | self.data.keys()
        in_use = {block for block in range(self.geometry["data_start"], self.geometry["data_end"])
                  if self.is_used(block)}
        if in_use - named:
            self.problem("block-leaked")
        if self.used_bits != shape.number(self.super, "used_blocks"):
            self.problem("used-count")
        if self.catalog_nodes != shape.number(self.super, "catalog_nodes"):
            self.problem("catalog-nodes")
        for dataset in self.datasets.values():
            if dataset.nodes != dataset.record["node_blocks"]:
                self.problem("dataset-nodes")
            if sum(owner == dataset.number for owner in self.owners) \
                    != dataset.record["data_blocks"]:
                self.problem("dataset-data")
            if dataset.live and self.names.get(dataset.name) != dataset.number:
                self.problem("name-missing")
        if len(self.names) != sum(dataset.live for dataset in self.datasets.values()):
            self.problem("name-dangling")

    def verify_data(self):
        for dataset in self.datasets.values():
            for block, checksum in dataset.blocks.values():
                if xxh64(self.read(block)) != checksum:
                    self.problem("data-checksum")

    def read_contents(self):
        """Name -> content of each live dataset that is not too large; None where a block is
        damaged."""
        contents = {}
        for dataset in self.datasets.values():
            if not dataset.live or dataset.size is None or dataset.size > CONTENT_MAX:
                continue
            content = bytearray(dataset.size)
            for index, (block, checksum) in dataset.blocks.items():
                data = self.read(block)
                if xxh64(data) != checksum:
                    content = None
                    break
                end = min((index + 1) * BLOCK, dataset.size)
                content[index * BLOCK:end] = data[:end - index * BLOCK]
            contents[dataset.name] = None if content is None else bytes(content)
        return contents

    # ---- the journal ----

    def read_ring(self, block, count):
        ring = self.geometry["journal_blocks"]
        first = min(count, ring - block)
        content = self.read(self.geometry["journal_start"] + block, first)
        if first < count:
            content += self.read(self.geometry["journal_start"], count - first)
        return content

    def journal_entry(self, block):
        """The sound entry that begins at this block of the ring, or None."""
        shape = S["disk_journal_entry"]
        content = self.read_ring(block, 1)
        head = shape.numbers(content)
        used = shape.size + head["length"]
        if shape.raw(content, "magic") != b"LFSXJRNL" or head["block"] != block \
                or shape.raw(content, "pool_uuid") != self.uuid \
                or not 1 <= head["blocks"] <= ENTRY_BLOCKS_MAX \
                or head["blocks"] != divide_up(used, BLOCK):
            return None
        content = self.read_ring(block, head["blocks"])
        if xxh64(content[8:used]) != head["checksum"]:
            return None
        head["records"] = list(self.records(content[shape.size:used], head["record_count"]))
        return head

    @staticmethod
    def records(content, count):
        shape, at = S["disk_journal_record"], 0
        for _ in range(count):
            record = shape.numbers(content, at)
            start = at + shape.fields["payload"][0]
            yield record["type"], content[start:start + record["length"]]
            at = divide_up(start + record["length"], 8) * 8

    def chain(self):
        """The entries of the chain, and the highest number that is durable for certain."""
        shape, entries, walked = S["disk_superblock"], [], 0
        sequence = shape.number(self.super, "journal_sequence")
        block = shape.number(self.super, "journal_block")
        previous = shape.number(self.super, "journal_previous")
        ring = self.geometry["journal_blocks"]
        while entry := self.journal_entry(block):
            walked += entry["blocks"]
            if (entry["sequence"], entry["previous"]) != (sequence, previous) or walked > ring:
                break
            entries.append(entry)
            sequence, previous = sequence + 1, entry["checksum"]
            block = (block + entry["blocks"]) % ring
        behind = [self.journal_entry((block + i) % ring) for i in range(1, 129)]
        durable = [entry["durable"] for entry in entries]
        durable += [entry["durable"] for entry in behind if entry and entry["sequence"] > sequence]
        if max(durable, default=0) >= sequence:
            raise Damage("journal-damaged", f"entry {sequence} was acknowledged")
        return entries, max(durable, default=0)

    def replay_journal(self):
        self.owners = [dataset.number for dataset in self.datasets.values()
                       for _ in dataset.blocks]
        entries, durable = self.chain()
        for entry in entries:
            if entry["sequence"] > durable and not all(map(self.is_intact, entry["records"])):
                break
            for record in entry["records"]:
                self.replay(*record)
            self.journal_entries += 1
        self.journal_dropped = len(entries) - self.journal_entries

    @staticmethod
    def write_record(payload):
        shape = S["disk_record_write"]
        record = shape.numbers(payload)
        words = shape.raw(payload, "words")
        numbers = [int.from_bytes(words[at:at + 8], "little") for at in range(0, len(words), 8)]
        count = record["count"]
        if len(numbers) != 2 * count or record["reserved"]:
            raise Damage("journal-record", "it is malformed")
        return record, list(zip(numbers[:count], numbers[count:]))

    def is_intact(self, record):
        kind, payload = record
        return kind != RECORD_WRITE or all(xxh64(self.read(block)) == checksum
                                           for block, checksum in self.write_record(payload)[1])

    def replay(self, kind, payload):
        if kind == RECORD_WRITE:
            record, blocks = self.write_record(payload)
            self.journaled |= {block for block, _ in blocks}
            target = self.datasets[record["dataset"]].blocks
            target.update({record["first"] + i: block for i, block in enumerate(blocks)})
        elif kind == RECORD_PUNCH:
            record = S["disk_record_punch"].numbers(payload)
            target = self.datasets[record["dataset"]].blocks
            end = record["first"] + record["count"]
            for index in [i for i in target if record["first"] <= i < end]:
                del target[index]
        else:
            raise Damage("journal-record", f"type {kind}")

    # ---- for people and programs ----

    def report(self):
        return {
            "label": self.label, "uuid": self.uuid.hex(), "geometry": self.geometry,
            "checkpoint": getattr(self, "checkpoint", None), "nodes": len(self.nodes),
            "data_blocks": len(self.data) + len(self.journaled),
            "used_blocks": len(self.nodes) + len(self.data) + len(self.journaled),
            "journal": {"entries": self.journal_entries, "dropped": self.journal_dropped},
            "datasets": [{"id": dataset.number, "name": dataset.name, "live": dataset.live,
                          "size": dataset.size, "nodes": dataset.nodes,
                          "data_blocks": dataset.record["data_blocks"]}
                         for dataset in self.datasets.values()],
            "problems": self.problems}
