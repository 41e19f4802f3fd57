#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: files that lfsx put into a share come out of it again after a node of its tree was damaged
and fsck.lfsx -y repaired the pool: the same, or as it said, and the same of its snapshot."""
import json
import os
import shutil
import subprocess
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(TESTS, "e2e"), os.path.join(TESTS, "decoder")]
import appliance
from appliance import check, path, run
from lfsx import BLOCK, Pool

FSCK = f"{appliance.BUILD}/asan/bin/fsck.lfsx"
LFSX = f"{appliance.BUILD}/asan/bin/lfsx"
VIEWS = ("home", "home@monday")
OWNERS = 16  # of shares' trees; the catalog's is lower
DEAD = 1 << 63

pool, damaged = path("pool.img"), path("damaged.img")


def lfsx(image, command, *words):
    return run(LFSX, command, image, *words)


def content(number, version):
    """Blocks that differ, and an end somewhere in one."""
    text = f"file {number} version {version} ".encode()
    return (text * 40000)[: (number % 4) * BLOCK * 3 + number * 31 + 1]


def put(name, data):
    with open(path("content"), "wb") as file:
        file.write(data)
    lfsx(pool, "put", "home", name, path("content"))


def fill():
    """What each view holds: bytes by name."""
    files = {}
    for number in range(36):
        name = f"directory {number % 3}/file {number}"
        files[name] = content(number, 1)
        put(name, files[name])
    before = dict(files)
    lfsx(pool, "snapshot", "monday", "home")
    for number in range(0, 36, 5):
        name = f"directory {number % 3}/file {number}"
        files[name] = content(number, 2)
        put(name, files[name])
    lfsx(pool, "rm", "home", "directory 1/file 1")
    del files["directory 1/file 1"]
    return {"home": files, "home@monday": before}


def inodes_of(image, view):
    """By name, of all that is there; of lost+found too."""
    found, todo = {}, [""]
    while todo:
        directory = todo.pop()
        for entry in json.loads(lfsx(image, "ls", view, directory, "--json")):
            name = f"{directory}/{entry['name']}".lstrip("/")
            found[name] = entry["inode"]
            if entry["kind"] == "directory":
                todo.append(name)
    return found


def said(losses, view, inode, offset=None):
    """Whether a report is about the inode, or the byte of it."""
    for loss in losses:
        if loss["volume"] != view or not loss["inode"] <= inode <= loss["last_inode"]:
            continue
        if offset is None and loss["kind"] in ("items", "file"):
            return True
        if offset is not None and loss["kind"] == "bytes" \
                and loss["offset"] <= offset < loss["offset"] + loss["length"]:
            return True
    return False


def compare(view, files, numbers, losses):
    there = {inode: name for name, inode in inodes_of(damaged, view).items()}
    for name, data in files.items():
        inode = numbers[view][name]
        if inode not in there:
            check(said(losses, view, inode), f"{view}: {name} is gone: {losses}")
            continue
        if there[inode] != name:
            check("lost+found" in there[inode] or said(losses, view, inode),
                  f"{view}: {name} is {there[inode]} now")
        lfsx(damaged, "get", view, there[inode], path("copy"))
        with open(path("copy"), "rb") as file:
            got = file.read()
        check(len(got) == len(data) or said(losses, view, inode), f"{view}: {name} is {len(got)}")
        for offset in range(0, min(len(got), len(data)), BLOCK):
            same = got[offset:offset + BLOCK] == data[offset:offset + BLOCK]
            check(same or len(got) != len(data) or said(losses, view, inode, offset),
                  f"{view}: {name} differs at {offset}: {losses}")
    return sum(inode in there for inode in numbers[view].values())


def flip(block):
    with open(damaged, "r+b") as file:
        file.seek(block * BLOCK + 100)
        byte = file.read(1)[0]
        file.seek(block * BLOCK + 100)
        file.write(bytes([byte ^ 1]))


run(f"{appliance.BUILD}/asan/bin/mkfs.lfsx", "--size", "64M", pool)
lfsx(pool, "share", "home")
for i in range(3):
    lfsx(pool, "mkdir", "home", f"directory {i}")
expected = fill()
NUMBERS = {one: inodes_of(pool, one) for one in VIEWS}

nodes = sorted((level, block) for block, (owner, level) in Pool(pool).nodes.items()
               if OWNERS <= owner < DEAD)
inner = [block for level, block in nodes if level > 0]
leaves = [block for level, block in nodes if level == 0]
check(inner and len(leaves) > 4, f"the trees are small: {nodes}")
for node in inner[:1] + leaves[::len(leaves) // 2]:
    shutil.copy(pool, damaged)
    flip(node)
    result = subprocess.run([FSCK, "-y", "--json", damaged], stdout=subprocess.PIPE, check=False)
    report = json.loads(result.stdout)
    check(result.returncode == 1 and report["remaining"] == 0, f"not repaired: {report}")
    check(node in leaves or not report["losses"], f"an inner node cost something: {report}")
    run(FSCK, damaged)
    for one in VIEWS:
        left = compare(one, expected[one], NUMBERS, report["losses"])
        check(left > len(NUMBERS[one]) // 2, f"{left} files are left of {one}")

# People are told the same.
shutil.copy(pool, damaged)
flip(leaves[0])
text = run(FSCK, "-y", damaged, expect=1)
check("lost: share home" in text, text)
