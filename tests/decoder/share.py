# SPDX-License-Identifier: Apache-2.0
"""The tree of a share, as docs/FORMAT.md describes it: what its items say together."""
import layout
from xxh64 import xxh64

BLOCK = 4096
ROOT, CLEANUP = 1, 0
INODE, ENTRY, XATTR, EXTENT, SYMLINK, ORDER = 1, 2, 3, 4, 5, 6
XATTR_PIECE, XATTR_PIECES, SLOTS = 992, 256, 16
SYMLINK_PIECE = 1000
PUT, REMOVE = 1, 2
DIRECTORY, REGULAR, LINK = 0o040000, 0o100000, 0o120000
KINDS = {REGULAR: 2, DIRECTORY: 3, LINK: 4}

S, _ = layout.read_document()


def kind_of(inode):
    return inode["mode"] & 0o170000


class Share:
    """
    items   key -> value, but for extents
    blocks  (inode, block of the file) -> (block of the device, ...)
    """

    def __init__(self, items, blocks, uuid):
        self.items, self.blocks = items, blocks
        self.seed = int.from_bytes(uuid[:8], "little")
        self.inodes = {key[0]: S["disk_inode"].numbers(value)
                       for key, value in items.items() if key[1] == INODE}

    def entries(self, directory):
        """(name, target, kind, key) of each"""
        for key, value in self.items.items():
            if key[:2] == (directory, ENTRY):
                entry = S["disk_entry"].numbers(value)
                yield (S["disk_entry"].raw(value, "name"), entry["target"], entry["kind"], key)

    def xattrs(self, inode):
        """name -> value; None where a piece is missing"""
        found = {}
        for key, value in sorted(self.items.items()):
            if key[:2] != (inode, XATTR) or key[2] % XATTR_PIECES:
                continue
            head = S["disk_xattr"].numbers(value)
            total, whole = head["name_length"] + head["value_length"], b""
            for piece in range(-(-total // XATTR_PIECE)):
                part = self.items.get((inode, XATTR, key[2] + piece))
                whole += b"" if part is None else S["disk_xattr"].raw(part, "bytes")
            name = whole[:head["name_length"]]
            found[name] = whole[len(name):] if len(whole) == total else None
            if xxh64(name, self.seed) & ~(SLOTS * XATTR_PIECES - 1) \
                    != key[2] & ~(SLOTS * XATTR_PIECES - 1):
                found[name] = None
        return found

    def target(self, inode):
        pieces = sorted(key for key in self.items if key[:2] == (inode, SYMLINK))
        return b"".join(self.items[key] for key in pieces)

    def content(self, inode, read):
        """The bytes of a file; read(block, checksum) gives those of a block."""
        size = self.inodes[inode]["size"]
        content = bytearray(size)
        for (owner, index), (block, checksum, *_) in self.blocks.items():
            if owner == inode and index * BLOCK < size:
                end = min((index + 1) * BLOCK, size)
                content[index * BLOCK:end] = read(block, checksum)[:end - index * BLOCK]
        return bytes(content)

    def paths(self, directory=ROOT, path=b""):
        """path -> inode, of everything below"""
        found = {path: directory}
        for name, target, kind, _ in self.entries(directory):
            if kind == KINDS[DIRECTORY]:
                found.update(self.paths(target, path + b"/" + name))
            else:
                found[path + b"/" + name] = target
        return found

    def problems(self, next_inode):
        names, orders = {}, {key[2] for key in self.items if key[1] == ORDER}
        if ROOT not in self.inodes:
            yield "inode-missing"
        for number, inode in self.inodes.items():
            if number >= next_inode:
                yield "inode-number"
            for name, target, kind, key in self.entries(number):
                names[target] = names.get(target, 0) + 1
                if xxh64(name, self.seed) & ~(SLOTS - 1) != key[2] & ~(SLOTS - 1):
                    yield "name-hash"
                other = self.inodes.get(target)
                if other is None or KINDS[kind_of(other)] != kind \
                        or kind_of(other) == DIRECTORY and other["parent"] != number:
                    yield "entry-wrong"
        blocks = {}
        for number, index in self.blocks:
            blocks.setdefault(number, []).append(index)
        for number, inode in self.inodes.items():
            if inode["links"] != names.get(number, 0) + (number == ROOT):
                yield "inode-links"
            if inode["links"] == 0 and number not in orders:
                yield "inode-orphan"
            mine = blocks.get(number, [])
            if inode["data_blocks"] != len(mine):
                yield "inode-blocks"
            if mine and max(mine) * BLOCK >= inode["size"] and number not in orders:
                yield "extent-behind-end"
            if None in self.xattrs(number).values():
                yield "xattr-pieces"
            if kind_of(inode) == LINK and len(self.target(number)) != inode["size"]:
                yield "symlink-target"
        owners = {key[0] for key in self.items if key[1] != ORDER} | blocks.keys()
        if owners - self.inodes.keys():
            yield "item-stray"

    # ---- what the journal changes ----

    @staticmethod
    def replay_items(items, payload):
        shape, change_shape = S["disk_record_items"], S["disk_record_change"]
        at = shape.size
        for _ in range(shape.number(payload, "count")):
            change = change_shape.numbers(payload, at)
            at += change_shape.size
            key = change["inode"], change["type"], change["offset"]
            value = payload[at:at + change["value_length"]]
            at += len(value)
            if change["kind"] == PUT:
                items[key] = value
            elif change["kind"] != REMOVE or items.pop(key, None) is None:
                raise ValueError(f"a change of kind {change['kind']} of {key}")
        if at != len(payload):
            raise ValueError("bytes behind the last change")

    @staticmethod
    def change_content(items, record, blocks_added, size=None):
        """A write's or punch's share in the inode's item."""
        key = record["inode"], INODE, 0
        value, shape = bytearray(items[key]), S["disk_inode"]

        def put(field, number):
            offset, length = shape.fields[field]
            value[offset:offset + length] = number.to_bytes(length, "little")

        put("data_blocks", shape.number(value, "data_blocks") + blocks_added)
        if size is not None:
            put("size", size)
        if record["modified_ns"]:
            put("modified_ns", record["modified_ns"])
            put("changed_ns", record["modified_ns"])
        items[key] = bytes(value)
