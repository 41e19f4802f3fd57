# SPDX-License-Identifier: Apache-2.0
"""Reads an LFSX image as docs/FORMAT.md describes it, without a line of the product's code: the
labels, the newest checkpoint, the allocation maps, every tree of every dataset and snapshot in
full, the journal behind the checkpoint, and the checksum of everything. `problems` are what
fsck.lfsx would call findings, by their names in the document."""
import layout
import share
from xxh64 import xxh64

BLOCK = 4096
AREA, LABEL, RING, SLOTS = 64, 1, 16, 32
REGION, FANOUT, BITMAP = 32256, 252, 64
CATALOG, FIRST_DATASET, FILE = 1, 16, 1
INODE, ENTRY, EXTENT, DATASET, SNAPSHOT, SCHEDULE, DEAD_SUM, DEAD = 1, 2, 4, 16, 17, 18, 24, 25
OWNER_DEAD = 1 << 63
LIVE, DELETING = 0, 1
HEAD = 1 << 64  # later than any epoch
RECORD_WRITE, RECORD_PUNCH, RECORD_ITEMS = 1, 2, 3
SHARE = 2  # kind of a dataset
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


def journal_share(blocks):
    return min(max(blocks // 64, 256), 262144)


def plan(blocks, journal_blocks):
    """"Layout of a device": all boundaries follow from the number of blocks and the journal."""
    if blocks < 2048:
        raise Refused(f"{blocks} blocks are too few")
    if not 256 <= journal_blocks <= journal_share(blocks):
        raise Refused(f"a journal of {journal_blocks} blocks")
    levels = [divide_up(blocks, REGION)]
    while len(levels) < 2 or levels[-1] > 1:
        levels.append(divide_up(levels[-1], FANOUT))
    map_blocks = 2 * sum(levels)
    data_end = blocks - AREA - map_blocks
    return {"device_blocks": blocks, "map_start": data_end, "map_blocks": map_blocks,
            "journal_start": AREA, "journal_blocks": journal_blocks,
            "data_start": AREA + journal_blocks, "data_end": data_end}, levels


class Tree:
    """A snapshot's tree or a dataset's live one."""

    def __init__(self, dataset, name, epoch, record, root):
        self.dataset, self.name, self.epoch = dataset, name, epoch
        self.record, self.root = record, root
        self.size = None
        self.nodes = {}   # block -> birth
        self.blocks = {}  # block of the file -> (block of the device, checksum, birth); of a share
                          # (inode, block of the file) -> the same
        self.items = {}   # of a share: key -> value

    def births(self):
        """Block -> birth, of nodes and data."""
        births = {block: birth for block, _, birth in self.blocks.values()}
        births.update(self.nodes)
        return births


class Dataset:
    def __init__(self, number, name, record, value):
        self.number, self.name, self.record = number, name, record
        self.head = Tree(self, name, HEAD, record, S["disk_dataset"].raw(value, "root"))
        self.dead_root = S["disk_dataset"].raw(value, "dead")
        self.snapshots = []  # live ones, the oldest first
        self.deleting = []   # epochs of the others
        self.dead = {}       # block -> (era, birth)
        self.dead_sums, self.dead_nodes = {}, set()

    @property
    def live(self):
        return self.record["state"] == LIVE

    @property
    def is_share(self):
        return self.record["kind"] == SHARE

    @property
    def trees(self):
        return [*self.snapshots, self.head]


class Pool:
    """
    nodes      block -> (owner, level)
    data       block -> (name of the first dataset or snapshot that has it, block of its file), of
               the checkpoint
    dead       blocks that only dead trees have
    journaled  blocks of data that the journal's entries name
    labels, superblocks, maps   blocks; of the superblocks the newest one's two copies, of the
               allocation maps the copies that count
    """

    def __init__(self, path, verify_data=False):
        self.problems, self.nodes, self.data, self.maps, self.used = [], {}, {}, [], {}
        self.datasets, self.names, self.journaled, self.dead = {}, {}, set(), set()
        self.read_nodes, self.verified, self.identities = {}, {}, {}
        self.named = set()
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
            self.shares = self.read_shares() if verify_data else None
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
        shape = S["disk_superblock"]
        self.catalog_nodes = self.walk_root(shape.raw(self.super, "catalog"), self.take_catalog,
                                            CATALOG)
        for dataset in self.datasets.values():
            for tree in dataset.trees:
                self.walk_files(tree)
            if any(dataset.dead_root):
                dataset.dead_nodes = self.walk_root(
                    dataset.dead_root, lambda key, value, dataset=dataset:
                    self.take_dead(dataset, key, value), dataset.number | OWNER_DEAD)
        self.named = self.nodes.keys() | self.data.keys()
        for dataset in self.datasets.values():
            self.claim_dead(dataset)
        self.compare_counts()
        self.compare_shares()
        self.replay_journal()

    def walk_files(self, tree):
        tree.nodes = self.walk_root(tree.root, lambda key, value: self.take_file(tree, key, value),
                                    tree.dataset)
        for index, (block, checksum, birth) in tree.blocks.items():
            self.claim(block, ("data", birth, checksum))
            self.data.setdefault(block, (tree.name, index))
        if len({block for block, _, _ in tree.blocks.values()}) != len(tree.blocks):
            self.problem("block-shared")

    # ---- both ends ----

    def find_label(self):
        label, good = S["disk_label"], []
        places = [LABEL] + [size - AREA + LABEL for size in self.presumed_sizes()]
        for block in places:
            content = self.read(block)
            if label.raw(content, "magic") == b"LFSXLABL" \
                    and self.is_sealed(content, "disk_label") \
                    and label.number(content, "block") == block:
                good.append(content)
                break
        if not good:
            raise Refused("there is no label")
        self.read_label(good[0])
        self.labels = [LABEL, self.geometry["device_blocks"] - AREA + LABEL]
        for block in self.labels:
            content = self.read(block)
            if not self.is_sealed(content, "disk_label") \
                    or label.number(content, "block") != block:
                self.problem("label-copy")

    def presumed_sizes(self):
        """Of the pool, if the head's label is damaged."""
        shape, newest = S["disk_superblock"], (0, self.device_blocks)
        for block in range(RING, RING + SLOTS):
            content = self.read(block)
            if shape.raw(content, "magic") == b"LFSXSUPR" \
                    and self.is_sealed(content, "disk_superblock") \
                    and shape.number(content, "block") == block:
                newest = max(newest, (shape.number(content, "checkpoint"),
                                      shape.number(content, "device_blocks")))
        return [newest[1], self.device_blocks]

    def read_label(self, content):
        label = S["disk_label"]
        fields = label.numbers(content)
        for field, only in (("version", 2), ("checksum_kind", 1), ("ro_compat", 0),
                            ("incompat", 0), ("device_index", 0), ("device_count", 1)):
            if fields[field] != only:
                raise Refused(f"the label's {field} is {fields[field]}")
        self.geometry, self.levels = plan(fields["device_blocks"],
                                          fields["journal_blocks"])
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
        try:
            geometry, _ = plan(shape.number(content, "device_blocks"),
                               self.geometry["journal_blocks"])
        except Refused:
            return False
        good = (shape.raw(content, "magic") == b"LFSXSUPR"
                and self.is_sealed(content, "disk_superblock")
                and shape.number(content, "block") == block
                and shape.raw(content, "pool_uuid") == self.uuid
                and not any(shape.raw(content, "reserved"))
                and shape.number(content, "checkpoint") % SLOTS == slot
                and shape.number(content, "next_dataset") >= FIRST_DATASET
                and shape.number(content, "journal_sequence") >= 1
                and shape.number(content, "journal_block") < geometry["journal_blocks"]
                and geometry["data_start"] <= root.number(pointer, "block") < geometry["data_end"]
                and root.number(pointer, "level") <= LEVEL_MAX
                and root.number(pointer, "group") == 0 and not any(root.raw(pointer, "reserved"))
                and S["disk_map_entry"].number(entry, "copy") <= 1
                and not any(S["disk_map_entry"].raw(entry, "reserved")))
        return content if good else False

    def read_ring_area(self, start):
        return [self.slot_state(start + RING + slot, slot) for slot in range(SLOTS)]

    def find_superblock(self):
        """"Superblocks and recovery" and "Growing"."""
        shape = S["disk_superblock"]

        def newest(rings):
            return max((content for ring in rings for content in ring if content), default=None,
                       key=lambda content: shape.number(content, "checkpoint"))

        def blocks(content):
            return shape.number(content, "device_blocks")

        head = self.read_ring_area(0)
        sizes = {self.geometry["device_blocks"]}
        if newest([head]):
            sizes.add(blocks(newest([head])))
        tails = {size: self.read_ring_area(size - AREA) for size in sizes
                 if size <= self.device_blocks}
        self.super = newest([head, *tails.values()])
        if self.super is None:
            raise Damage("superblock-lost", "no superblock is valid")
        size = blocks(self.super)
        if size > self.device_blocks:
            raise Damage("device-shrank", "")
        self.checkpoint = shape.number(self.super, "checkpoint")
        self.geometry, self.levels = plan(size, self.geometry["journal_blocks"])
        following, current = (self.checkpoint + 1) % SLOTS, self.checkpoint % SLOTS
        if head[following] is False and any(tail[following] is False for tail in tails.values()):
            raise Damage("superblock-lost", "the newest one is damaged")
        for slot in range(SLOTS):
            # What a power cut may leave is no problem.
            if head[slot] is False and slot != following \
                    or tails[size][slot] is False and slot != current:
                self.problem("superblock-copy")
        self.superblocks = [RING + current, size - AREA + RING + current]
        self.labels = [LABEL, size - AREA + LABEL]

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

    def claim(self, block, identity):
        """Two trees may share a block if they mean the same by it."""
        if self.identities.setdefault(block, identity) != identity:
            self.problem("block-shared")
        if not self.is_used(block):
            self.problem("block-lost")

    def owner_of(self, owner, birth):
        """Whose nodes of this age are in a dataset's tree."""
        if isinstance(owner, int):
            return owner
        while owner.record["origin"] and birth <= owner.record["origin_epoch"]:
            owner = self.datasets[owner.record["origin"]]
        return owner.number

    @staticmethod
    def is_foreign(dataset, birth):
        """What a clone that is being freed shares is not looked at: its origin may be gone."""
        return dataset.record["state"] == DELETING and birth <= dataset.record["origin_epoch"]

    def is_out_of_sight(self, owner, pointer):
        return not isinstance(owner, int) \
            and self.is_foreign(owner, S["disk_pointer"].number(pointer, "birth"))

    def walk_root(self, pointer, take, owner):
        """Calls take(key, value) for every item. Returns the nodes: block -> birth."""
        nodes = {}
        if not self.is_out_of_sight(owner, pointer):
            self.walk_node(pointer, take, owner, None, None, nodes)
        return nodes

    def read_node(self, pointer):
        """(header's numbers, items); each node is read once."""
        shape, names = S["disk_node"], S["disk_pointer"]
        block = names.number(pointer, "block")
        if not self.is_data(block):
            raise Damage("node-location", f"block {block}")
        if (block, pointer) in self.read_nodes:
            return self.read_nodes[block, pointer]
        content = self.read(block)
        if not self.is_sealed(content, "disk_node") \
                or shape.raw(content, "checksum") != names.raw(pointer, "checksum") \
                or shape.number(content, "block") != block:
            raise Damage("node-checksum", f"block {block}")
        head, items = shape.numbers(content), list(self.items(content, block))
        if head["magic"] != 0x4e58464c or head["level"] != names.number(pointer, "level") \
                or head["birth"] != names.number(pointer, "birth"):
            raise Damage("node-corrupt", f"block {block}")
        self.read_nodes[block, pointer] = head, items
        return head, items

    def walk_node(self, pointer, take, owner, low, high, nodes):
        head, items = self.read_node(pointer)
        block, level, is_root = head["block"], head["level"], not nodes
        if head["owner"] != self.owner_of(owner, head["birth"]):
            raise Damage("node-corrupt", f"block {block}")
        keys = [key for key, _ in items]
        if not keys and not (is_root and level == 0) \
                or any((low and key < low) or (high and key >= high) for key in keys) \
                or level > 0 and not is_root and keys[0] != low:
            self.problem("node-order")
        if block in nodes:
            self.problem("block-shared")
        self.claim(block, ("node", pointer))
        self.nodes[block] = (head["owner"], level)
        nodes[block] = head["birth"]
        for index, (key, value) in enumerate(items):
            if level == 0:
                take(key, value)
            elif not self.is_out_of_sight(owner, value):
                behind = keys[index + 1] if index + 1 < len(keys) else high
                self.walk_node(value, take, owner, key, behind, nodes)

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

    def take_catalog(self, key, value):
        inode, kind, offset = key
        if kind == DATASET:
            self.take_dataset(inode, value)
        elif kind == SNAPSHOT:
            self.take_snapshot(inode, offset, value)
        elif kind == SCHEDULE:
            self.take_schedule(inode, value)
        elif kind == ENTRY:
            shape = S["disk_entry"]
            name = shape.raw(value, "name")
            if shape.number(value, "name_length") != len(name):
                raise Damage("item-invalid", "a name's length")
            seed = int.from_bytes(self.uuid[:8], "little")
            if xxh64(name, seed) & ~15 != offset & ~15:
                self.problem("name-hash")
            self.names[name.decode()] = shape.number(value, "target")
        else:
            raise Damage("item-invalid", f"type {kind} in the catalog")

    def take_dataset(self, number, value):
        shape = S["disk_dataset"]
        record = shape.numbers(value)
        name = shape.raw(value, "name")
        if record["id"] != number or record["name_length"] != len(name) \
                or record["state"] == DELETING and name:
            raise Damage("item-invalid", f"dataset {number}")
        self.datasets[number] = Dataset(number, name.decode(), record, value)

    def take_snapshot(self, number, epoch, value):
        shape = S["disk_snapshot"]
        record, name = shape.numbers(value), shape.raw(value, "name")
        if record["name_length"] != len(name) or record["state"] not in (LIVE, DELETING):
            raise Damage("item-invalid", f"snapshot {epoch} of dataset {number}")
        if number not in self.datasets:
            self.problem("snapshot-dataset")
            return
        dataset = self.datasets[number]
        if not dataset.record["birth"] <= epoch < S["disk_superblock"].number(self.super, "epoch"):
            self.problem("snapshot-age")
        if DELETING in (record["state"], dataset.record["state"]):
            dataset.deleting.append(epoch)
            return
        name = f"{dataset.name}@{name.decode()}"
        if any(snapshot.name == name for snapshot in dataset.snapshots):
            self.problem("snapshot-name")
        dataset.snapshots.append(Tree(dataset, name, epoch, record, shape.raw(value, "root")))

    def take_schedule(self, number, value):
        shape = S["disk_schedule_rule"]
        rules = [shape.numbers(value, at) for at in range(0, len(value), shape.size)]
        intervals = [rule["interval_ns"] for rule in rules]
        if not 1 <= len(rules) <= 32 or len(value) % shape.size or intervals[0] < 10 ** 9 \
                or sorted(set(intervals)) != intervals or not all(rule["keep"] for rule in rules):
            raise Damage("item-invalid", f"the schedule of dataset {number}")
        if number not in self.datasets:
            self.problem("snapshot-dataset")

    def take_dead(self, dataset, key, value):
        inode, kind, offset = key
        era, birth = inode >> 32, inode & 0xffffffff
        if kind == DEAD_SUM:
            dataset.dead_sums[era, birth] = S["disk_dead_sum"].number(value, "blocks")
        elif kind == DEAD:
            for block in range(offset, offset + S["disk_dead"].number(value, "count")):
                if block in dataset.dead:
                    self.problem("block-shared")
                dataset.dead[block] = era, birth
        else:
            raise Damage("item-invalid", f"type {kind} in a dead tree")

    def take_file(self, tree, key, value):
        inode, kind, offset = key
        if tree.dataset.is_share:
            if kind == EXTENT:
                self.take_extent(tree, offset, value, lambda index: (inode, index))
            elif INODE <= kind <= share.ORDER:
                tree.items[key] = value
            else:
                raise Damage("item-invalid", f"type {kind} in the tree of {tree.name}")
        elif inode != FILE:
            raise Damage("item-invalid", f"inode {inode} in the tree of {tree.name}")
        elif kind == INODE:
            tree.size = S["disk_inode"].number(value, "size")
        elif kind == EXTENT:
            self.take_extent(tree, offset, value)
        else:
            raise Damage("item-invalid", f"type {kind} in the tree of {tree.name}")

    def take_extent(self, tree, offset, value, index=lambda number: number):
        shape, blocks = S["disk_extent"], tree.blocks
        extent = shape.numbers(value)
        checksums = shape.raw(value, "checksums")
        count = extent["block_count"]
        if len(checksums) != 8 * count or not 1 <= count <= 64 \
                or extent["stored_blocks"] != count or not self.is_data(extent["block"], count):
            raise Damage("item-invalid", f"an extent of {tree.name}")
        if not 1 <= extent["birth"] <= min(tree.epoch, S["disk_superblock"].number(self.super,
                                                                                   "epoch")):
            self.problem("extent-age")
        for i in range(count):
            if index(offset + i) in blocks:
                self.problem("extent-overlap")
            if self.is_foreign(tree.dataset, extent["birth"]):
                continue
            checksum = int.from_bytes(checksums[8 * i:8 * i + 8], "little")
            blocks[index(offset + i)] = (extent["block"] + i, checksum, extent["birth"])

    # ---- what can be told with all parts at hand ----

    def compare(self):
        shape = S["disk_superblock"]
        in_use = {block for block in range(self.geometry["data_start"], self.geometry["data_end"])
                  if self.is_used(block)}
        if in_use - self.named - self.dead:
            self.problem("block-leaked")
        if self.used_bits != shape.number(self.super, "used_blocks"):
            self.problem("used-count")
        if len(self.catalog_nodes) != shape.number(self.super, "catalog_nodes"):
            self.problem("catalog-nodes")
        for dataset in self.datasets.values():
            self.compare_ages(dataset)
            self.compare_origin(dataset)
            if len(dataset.dead_nodes) != dataset.record["dead_nodes"]:
                self.problem("dead-nodes")
            if dataset.live and self.names.get(dataset.name) != dataset.number:
                self.problem("name-missing")
        if len(self.names) != sum(dataset.live for dataset in self.datasets.values()):
            self.problem("name-dangling")
        own = [block for dataset in self.datasets.values() for block in self.own(dataset)]
        if len(own) != len(set(own)):
            self.problem("block-shared")

    def compare_counts(self):
        """Before the journal changes what the live trees hold."""
        for dataset in self.datasets.values():
            dataset.births = [tree.births() for tree in dataset.trees]
            if dataset.record["state"] == DELETING:
                continue  # its counts mean nothing
            for tree in dataset.trees:
                nodes, blocks, record = len(tree.nodes), len(tree.blocks), tree.record
                shared = sum(birth <= dataset.record["origin_epoch"]
                             for birth in tree.births().values())
                is_head = tree.epoch == HEAD
                if nodes != record["node_blocks"]:
                    self.problem("dataset-nodes" if is_head else "snapshot-blocks")
                if blocks != record["data_blocks"]:
                    self.problem("dataset-data" if is_head else "snapshot-blocks")
                if shared != record["shared_blocks"]:
                    self.problem("dataset-blocks" if is_head else "snapshot-blocks")
                if not is_head and (tree.size or 0) != record["size"]:
                    self.problem("snapshot-size")

    def compare_shares(self):
        """Before the journal, too."""
        for dataset in self.datasets.values():
            if dataset.is_share and dataset.record["state"] != DELETING:
                head = share.Share(dataset.head.items, dataset.head.blocks, self.uuid)
                for problem in head.problems(dataset.record["next_inode"]):
                    self.problem(problem)

    def read_shares(self):
        """Name -> path -> (inode, inode's number, content or target, attributes), of each live
        share and its snapshots."""
        found = {}
        for tree in self.trees():
            if not tree.dataset.is_share or not tree.dataset.live:
                continue
            whole = share.Share(tree.items, tree.blocks, self.uuid)
            found[tree.name] = {
                path: (whole.inodes[number], number,
                       whole.target(number) if share.kind_of(whole.inodes[number]) == share.LINK
                       else whole.content(number, lambda block, _: self.read(block)),
                       whole.xattrs(number))
                for path, number in whole.paths().items()}
        return found

    @staticmethod
    def own(dataset):
        """The blocks that are not the origin's."""
        return {block for births in dataset.births for block, birth in births.items()
                if birth > dataset.record["origin_epoch"]}

    def compare_ages(self, dataset):
        """"of the snapshots of one dataset each block is in an unbroken run", and where that ends
        the dead tree says so."""
        epochs = [tree.epoch for tree in dataset.trees]
        for block in self.own(dataset):
            inside = [births.get(block) for births in dataset.births]
            has = [i for i, birth in enumerate(inside) if birth is not None]
            birth = inside[has[0]]
            first = next(i for i, epoch in enumerate(epochs) if epoch >= birth)
            if has != list(range(first, has[-1] + 1)):
                self.problem("shared-missing")
            if has[-1] == len(epochs) - 1:
                if block in dataset.dead:
                    self.problem("dataset-blocks")
                continue
            era, dead_birth = dataset.dead.get(block, (0, 0))
            if birth != dead_birth or not epochs[has[-1]] <= era < epochs[has[-1] + 1]:
                self.problem("dataset-blocks")

    def compare_origin(self, dataset):
        if not dataset.record["origin"] or dataset.record["state"] == DELETING:
            return
        origin = self.datasets.get(dataset.record["origin"])
        epoch = dataset.record["origin_epoch"]
        trees = [tree for tree in origin.snapshots if tree.epoch == epoch] if origin else []
        if not trees:
            self.problem("dataset-origin")
            return
        theirs = trees[0].births()
        for births in dataset.births:
            if any(birth <= epoch and theirs.get(block) != birth
                   for block, birth in births.items()):
                self.problem("shared-missing")

    def claim_dead(self, dataset):
        """What a dead tree has is in the snapshots between birth and era, or nowhere else if all of
        those are being deleted."""
        epochs = [tree.epoch for tree in dataset.snapshots]
        sums, births = {}, {block: birth for tree in dataset.snapshots
                            for block, birth in tree.births().items()}
        for block, (era, birth) in dataset.dead.items():
            sums[era, birth] = sums.get((era, birth), 0) + 1
            if not dataset.record["origin_epoch"] < birth <= era \
                    or era >= S["disk_superblock"].number(self.super, "epoch"):
                self.problem("dead-nowhere")
            if any(birth <= epoch <= era for epoch in epochs):
                if births.get(block) != birth:
                    self.problem("dead-unnamed")
                continue
            if not any(birth <= epoch <= era for epoch in dataset.deleting):
                self.problem("dead-nowhere")
            if block in self.named or block in self.dead:
                self.problem("block-shared")
            self.dead.add(block)
            if not self.is_used(block):
                self.problem("block-lost")
        if sums != dataset.dead_sums:
            self.problem("dead-sum")

    def trees(self):
        return [tree for dataset in self.datasets.values() for tree in dataset.trees]

    def is_right(self, block, checksum):
        """Each block is read once for each checksum that it should have."""
        if (block, checksum) not in self.verified:
            self.verified[block, checksum] = xxh64(self.read(block)) == checksum
        return self.verified[block, checksum]

    def verify_data(self):
        for tree in self.trees():
            for block, checksum, _ in tree.blocks.values():
                if not self.is_right(block, checksum):
                    self.problem("data-checksum")

    def read_contents(self):
        """Name -> content of each live dataset and its snapshots that is not too large; None where
        a block is damaged."""
        contents = {}
        for tree in self.trees():
            if not tree.dataset.live or tree.size is None or tree.size > CONTENT_MAX:
                continue
            content = bytearray(tree.size)
            for index, (block, checksum, _) in tree.blocks.items():
                if not self.is_right(block, checksum):
                    content = None
                    break
                end = min((index + 1) * BLOCK, tree.size)
                content[index * BLOCK:end] = self.read(block)[:end - index * BLOCK]
            contents[tree.name] = None if content is None else bytes(content)
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

    @staticmethod
    def index(dataset, record, number):
        return (record["inode"], number) if dataset.is_share else number

    def is_intact(self, record):
        kind, payload = record
        return kind != RECORD_WRITE or all(xxh64(self.read(block)) == checksum
                                           for block, checksum in self.write_record(payload)[1])

    def replay(self, kind, payload):
        if kind == RECORD_WRITE:
            record, blocks = self.write_record(payload)
            self.journaled |= {block for block, _ in blocks}
            dataset = self.datasets[record["dataset"]]
            target, before = dataset.head.blocks, len(dataset.head.blocks)
            target.update({self.index(dataset, record, record["first"] + i): (*block, HEAD)
                           for i, block in enumerate(blocks)})
            if dataset.is_share:
                share.Share.change_content(dataset.head.items, record, len(target) - before,
                                           record["size"])
        elif kind == RECORD_PUNCH:
            record = S["disk_record_punch"].numbers(payload)
            dataset = self.datasets[record["dataset"]]
            target, before = dataset.head.blocks, len(dataset.head.blocks)
            low = self.index(dataset, record, record["first"])
            high = self.index(dataset, record, record["first"] + record["count"])
            for index in [i for i in target if low <= i < high]:
                del target[index]
            if dataset.is_share:
                share.Share.change_content(dataset.head.items, record, len(target) - before)
        elif kind == RECORD_ITEMS:
            number = S["disk_record_items"].number(payload, "dataset")
            share.Share.replay_items(self.datasets[number].head.items, payload)
        else:
            raise Damage("journal-record", f"type {kind}")

    # ---- for people and programs ----

    def report(self):
        return {
            "label": self.label, "uuid": self.uuid.hex(), "geometry": self.geometry,
            "checkpoint": getattr(self, "checkpoint", None), "nodes": len(self.nodes),
            "data_blocks": len(self.data) + len(self.journaled),
            "used_blocks": len(self.named | self.dead) + len(self.journaled),
            "dead_blocks": len(self.dead),
            "journal": {"entries": self.journal_entries, "dropped": self.journal_dropped},
            "datasets": [{"id": dataset.number, "name": dataset.name, "live": dataset.live,
                          "size": dataset.head.size, "nodes": len(dataset.head.nodes),
                          "data_blocks": dataset.record["data_blocks"],
                          "origin": dataset.record["origin"],
                          "origin_epoch": dataset.record["origin_epoch"],
                          "snapshots": [{"name": tree.name, "epoch": tree.epoch,
                                         "size": tree.size, "nodes": len(tree.nodes),
                                         "data_blocks": len(tree.blocks)}
                                        for tree in dataset.snapshots]}
                         for dataset in self.datasets.values()],
            "problems": self.problems}
