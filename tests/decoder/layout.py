# SPDX-License-Identifier: Apache-2.0
"""The structures of docs/FORMAT.md, read out of its tables: what the document says is what the
decoder believes, so that a document that is wrong cannot be overlooked."""
import os
import re

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "FORMAT.md")
ROW = re.compile(r"\| (\d+) \| (?:(\d+) )?\| `(\w+)` \|.*\|$")


class Structure:
    """Fields by name: (offset, size); size 0 means up to the end."""

    def __init__(self, name):
        self.name = name
        self.fields = {}
        self.size = 0  # without a last field of unknown size

    def add(self, offset, size, field):
        if offset != self.size:
            raise ValueError(f"{self.name}.{field}: stands at {offset}, the one before it ends at "
                             f"{self.size}")
        self.fields[field] = (offset, size)
        self.size = offset + size

    def raw(self, block, field, at=0):
        offset, size = self.fields[field]
        return block[at + offset:at + offset + size] if size else block[at + offset:]

    def number(self, block, field, at=0):
        return int.from_bytes(self.raw(block, field, at), "little")

    def numbers(self, block, at=0):
        """All fields of at most eight bytes, as numbers."""
        return {field: self.number(block, field, at)
                for field, (_, size) in self.fields.items() if 0 < size <= 8}


def read_document(path=DOCUMENT):
    """(structures by name, names of findings by number)"""
    structures, findings, current = {}, {}, None
    with open(path, encoding="utf-8") as document:
        for line in document:
            line = line.rstrip("\n")
            if match := re.match(r"#+ (disk_\w+)$", line):
                current = structures[match[1]] = Structure(match[1])
            elif line.startswith("#"):
                current = None
            elif match := ROW.match(line):
                if current is None:
                    raise ValueError(f"a row outside of any structure: {line}")
                current.add(int(match[1]), int(match[2] or 0), match[3])
            elif match := re.match(r"\| (\d+) \| ([a-z-]+) \| (yes)? ?\|", line):
                findings[int(match[1])] = match[2]
    if not structures or not findings:
        raise ValueError(f"{path} has no tables")
    return structures, findings
