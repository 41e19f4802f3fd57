#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: functions stay short enough to be read at once: none over 70 lines, one in ten over 50."""
import json
import subprocess

import tree

MAX_LINES, TENTH_MAX_LINES = 70, 50


def main():
    sources = tree.files(".c", ".h")
    tags = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f",
                           "--languages=C", "--langmap=C:.c.h", "-f", "-", *sources],
                          check=True, stdout=subprocess.PIPE).stdout.decode()
    functions, complaints = [], []
    for line in tags.splitlines():
        tag = json.loads(line)
        if "end" not in tag:
            continue
        length = tag["end"] - tag["line"] + 1
        functions.append(length)
        if length > MAX_LINES:
            complaints.append(f"{tag['path']}:{tag['line']}: {tag['name']}() has {length} lines, "
                              f"more than {MAX_LINES}")
    functions.sort()
    if functions and functions[len(functions) * 9 // 10] > TENTH_MAX_LINES:
        complaints.append(f"one function in ten has more than {TENTH_MAX_LINES} lines")
    tree.finish(complaints, functions)


main()
