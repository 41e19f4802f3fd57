#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: every include points in a direction that the architecture allows, is written from the root,
and neither rooms nor files include each other in a circle."""
import os
import re

import tree

FREESTANDING = {"float.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h",
                "stddef.h", "stdint.h", "stdnoreturn.h", "cpuid.h", "immintrin.h"}
HOSTED = ("host", "tools", "tests", "bench")  # rooms with a C library
FOREIGN = ("lwip/", "netif/", "arch/", "mbedtls/", "psa/", "lwipopts.h")

# Room -> what it may include besides itself. A folder stands for its headers but internal ones.
MAY_INCLUDE = {
    "base": [],
    "storage/journal": ["base"],
    "storage/mvcc": ["base"],
    "storage/lfsx": ["base", "storage/journal", "storage/mvcc"],
    "kernel": ["base"],
    "host": ["base"],
    "host/sim": ["base"],
    "drivers": ["base", "kernel"],
    "net": ["base"],
    "services": ["base", "storage/lfsx/lfsx.h", "storage/lfsx/lfsx_share.h",
                 "storage/lfsx/lfsx_snapshot.h", "storage/lfsx/lfsx_space.h", "net/net.h"],
    "tools": ["base", "host/host.h", "storage/lfsx/lfsx.h", "storage/lfsx/lfsx_print.h",
              "storage/lfsx/lfsx_share.h", "storage/lfsx/lfsx_snapshot.h",
              "storage/lfsx/lfsx_space.h", "services", "net/net.h",
              "tools/text"],
}
COMPOSERS = ("kernel/main.c", "tests", "bench")

# The folders of storage/lfsx from the ground up: each may include those below it.
LFSX_LAYERS = [["format", "spill"], ["space"], ["tree"], ["data"], ["pool"], ["file"], ["catalog"],
               ["snapshot", "share"], ["mount"], ["check", "print"], ["repair"]]
LFSX_ON_DISK = ["check", "print"]  # look at the device alone: what is above `space` is not for them


def room_of(path):
    parts = path.split("/")
    if path.startswith("host/sim/"):
        return "host/sim"
    if parts[0] in ("drivers", "services", "storage", "tools"):
        return "/".join(parts[:2])
    return parts[0]


def rule_of(room):
    return MAY_INCLUDE.get(room, MAY_INCLUDE.get(room.split("/")[0]))


def starts_with(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def lfsx_layer(path):
    """The height of a file of storage/lfsx; what others may include lies on the ground."""
    folder = path.split("/")[2]
    for height, folders in enumerate(LFSX_LAYERS, 1):
        if folder in folders:
            return height
    return 0 if folder.endswith(".h") else None


def judge_lfsx(path, target):
    """The same inside of storage/lfsx."""
    if path.split("/")[2] == target.split("/")[2]:
        return None
    if target.endswith("_internal.h"):
        return "is internal to another folder"
    above, below = lfsx_layer(path), lfsx_layer(target)
    if above is None or below is None:
        return "is in a folder without a layer"
    if below > 0 and below >= above:
        return "stands above it, or beside it"
    if path.split("/")[2] in LFSX_ON_DISK and below > lfsx_layer("storage/lfsx/space/"):
        return "is of a pool in memory"
    return None


def judge(path, target):
    """What is wrong with this quoted include; None if nothing is."""
    room = room_of(path)
    if room == "net" and target.startswith(FOREIGN):
        return None
    if not os.path.exists(target):
        return "is no file, seen from the root"
    if room_of(target) == room:
        return judge_lfsx(path, target) if room == "storage/lfsx" else None
    if target.endswith("_internal.h"):
        return "is internal to another room"
    if starts_with(path, COMPOSERS):
        return None
    if starts_with(target, rule_of(room) or []):
        return None
    return f"is not for {room}"


def find_cycle(graph):
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for target in sorted(graph.get(node, ())):
            if cycle := visit(target):
                return cycle
        path.pop()
        done.add(node)
        return None

    for node in sorted(graph):
        if cycle := visit(node):
            return cycle
    return None


def main():
    complaints, rooms, headers = [], {}, {}
    sources = tree.files(".c", ".h", ".S")
    for path in sources:
        for number, line in enumerate(tree.lines(path), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            quote, target = match.groups()
            if quote == '"':
                wrong = judge(path, target)
                headers.setdefault(path, set()).add(target)
                if not starts_with(path, COMPOSERS) and room_of(target) != room_of(path):
                    rooms.setdefault(room_of(path), set()).add(room_of(target))
            else:
                foreign = room_of(path) == "net" and target.startswith(FOREIGN)
                hosted = path.split("/")[0] in HOSTED
                wrong = None if hosted or foreign or target in FREESTANDING else \
                    "is not a freestanding header"
            if wrong:
                complaints.append(f"{path}:{number}: {target} {wrong}")
    for graph in (rooms, headers):
        if cycle := find_cycle(graph):
            complaints.append("circle: " + " -> ".join(cycle))
    tree.finish(complaints, sources)


main()
