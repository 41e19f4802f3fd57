#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the kernel finds all memory of the machine, and no more: in a small machine, a usual one,
and one whose memory goes on above the PCI hole below 4 GiB."""
import re

from image import check, selftest

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
UNITS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
REGION = re.compile(r"boot: memory 0x([0-9a-f]+)-0x([0-9a-f]+) +[0-9.]+ \w+ (.*)")
TOTAL = re.compile(r"memory: ([0-9.]+) (\w+) usable, ([0-9.]+) (\w+) free")

for memory, size in (("64M", 64 * MIB), ("512M", 512 * MIB), ("5G", 5 * GIB)):
    text = selftest("library", memory=memory)
    regions = [(int(start, 16), int(end, 16) + 1, kind)
               for start, end, kind in REGION.findall(text)]
    check(regions == sorted(regions), f"{memory}: the regions are not in order")
    for (_, end, _), (start, _, _) in zip(regions, regions[1:]):
        check(end <= start, f"{memory}: regions overlap at {start:#x}")
    ram = sum(end - start for start, end, kind in regions if kind in ("usable", "kernel"))
    check(size - 2 * MIB <= ram <= size, f"{memory}: {ram} bytes of RAM")
    check(not any(start < 0xa0000 + 0x60000 and end > 0xa0000 and kind == "usable"
                  for start, end, kind in regions), f"{memory}: the VGA hole counts as usable")
    high = sum(end - start for start, end, kind in regions if start >= 4 * GIB and kind == "usable")
    check((high > 0) == (size > 4 * GIB), f"{memory}: {high} usable bytes above 4 GiB")
    total = TOTAL.search(text)
    usable = float(total[1]) * UNITS[total[2]]
    free = float(total[3]) * UNITS[total[4]]
    check(usable > 0.96 * size, f"{memory}: the allocator has only {usable}")
    check(free > 0.93 * size, f"{memory}: only {free} is free after the start")
