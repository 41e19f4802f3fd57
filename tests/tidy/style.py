#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what can be said of single lines and files holds: length, licence line, no leftover marks,
byte layouts only in format headers, no function that invites overruns."""
import re

import tree

MAX_COLUMNS, MAX_LINES = 100, 1000
LAYOUT_HEADERS = ("_format.h", "_proto.h", "_regs.h")
# Spelled so that this file passes its own test.
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
PACKED = re.compile(r"\bpacked\b\s*\)")
MEMBER = re.compile(r"^\s+[lb]e(16|32|64) \w+(\[\w*\])?[;,]")  # in a .c file: a variable
BANNED = {
    "strcpy": "memcpy with a checked length", "strcat": "format_text", "sprintf": "format_text",
    "vsprintf": "format_text_v", "gets": "fgets", "alloca": "os_alloc", "atoi": "strtoul",
    "atol": "strtoul", "rand": "os_random",
}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\(")


def check_file(path, complaints):
    lines = tree.lines(path)
    code = path.endswith((".c", ".h", ".S"))
    if not path.endswith(".md") and not any("SPDX-License-Identifier: Apache-2.0" in line
                                            for line in lines[:2]):
        complaints.append(f"{path}:1: no SPDX licence line")
    if len(lines) - 1 > MAX_LINES:
        complaints.append(f"{path}: {len(lines) - 1} lines, more than {MAX_LINES}")
    if lines[-1] != "":
        complaints.append(f"{path}: the last line has no end")
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}:"
        if len(line) > MAX_COLUMNS and not path.endswith(".md"):
            complaints.append(f"{place} {len(line)} columns, more than {MAX_COLUMNS}")
        if line != line.rstrip():
            complaints.append(f"{place} blanks at the end")
        if match := MARKS.search(line):
            complaints.append(f"{place} leftover {match[0]}")
        layout = PACKED.search(line) or path.endswith(".h") and MEMBER.search(line)
        if code and layout and not path.endswith(LAYOUT_HEADERS) \
                and not path.startswith("tests/"):
            complaints.append(f"{place} a byte layout outside of {', '.join(LAYOUT_HEADERS)}")
        if code and not path.startswith("tests/") and (match := BANNED_CALL.search(line)):
            complaints.append(f"{place} {match[1]}(): use {BANNED[match[1]]}")


def main():
    complaints = []
    paths = tree.files(".c", ".h", ".S", ".ld", ".py", ".sh", ".md", "Makefile", ".mk",
                       ".ci/run", "holdfast-run", "tools/run/setup", "third_party/packages")
    for path in paths:
        check_file(path, complaints)
    tree.finish(complaints, paths)


main()
