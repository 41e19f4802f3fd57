#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: lfsx makes shares and takes files into and out of them as its help says, also out of their
snapshots, and what cannot be done is refused with the reason."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import appliance
from appliance import check, path, run

LFSX = f"{appliance.BUILD}/asan/bin/lfsx"
POOL = path("pool.img")


def lfsx(command, *words):
    return run(LFSX, command, POOL, *words)


def refuses(command, *words, because):
    output = run(LFSX, command, POOL, *words, expect=1)
    check(because in output, f"lfsx {command} {words} says: {output}")


def put(name, content):
    with open(path("content"), "wb") as file:
        file.write(content)
    lfsx("put", "home", name, path("content"))


def holds(share, name, content):
    lfsx("get", share, name, path("copy"))
    with open(path("copy"), "rb") as file:
        check(file.read() == content, f"{share} {name} holds something else")


def names(share, directory=""):
    return {entry["name"]: entry for entry in json.loads(lfsx("ls", share, directory, "--json"))}


def shares():
    return {share["name"]: share for share in json.loads(lfsx("list", "--json"))["shares"]}


run(f"{appliance.BUILD}/asan/bin/mkfs.lfsx", "--size", "64M", POOL)
lfsx("share", "home")
refuses("share", "home", because="exists already")
check("home" in lfsx("list") and "share" in lfsx("list"), "list does not show the share")
check(not json.loads(lfsx("list", "--json"))["volumes"], "a share is listed as a volume")

large = bytes(range(256)) * 20000
lfsx("mkdir", "home", "docs")
put("docs/large", large)
put("/docs/empty", b"")
put("small", b"one\n")
holds("home", "docs/large", large)
holds("home", "docs/empty", b"")
check(run(LFSX, "get", POOL, "home", "small", "-") == "one\n", "get to the standard output")
there = names("home", "docs")
check(there.keys() == {"large", "empty"}, f"{there}")
check(there["large"]["size"] == len(large) and there["large"]["kind"] == "file", f"{there}")
check(names("home")["docs"]["kind"] == "directory", "docs")
check("large" in lfsx("ls", "home", "docs"), "ls as text")

lfsx("snapshot", "monday", "home")
put("small", b"two")
lfsx("mv", "home", "docs/large", "moved")
lfsx("rm", "home", "docs/empty")
lfsx("rm", "home", "docs")
check(names("home").keys() == {"small", "moved"}, f"{names('home')}")
holds("home", "small", b"two")
holds("home", "moved", large)
holds("home@monday", "small", b"one\n")
holds("home@monday", "docs/large", large)
check([snapshot["name"] for snapshot in shares()["home"]["snapshots"]] == ["monday"], f"{shares()}")

refuses("get", "home", "docs/large", path("copy"), because="not found")
refuses("get", "home", "/", path("copy"), because="a directory")
refuses("put", "home", "small/x", path("content"), because="not a directory")
refuses("put", "home", "../b", path("content"), because="invalid")
refuses("put", "home@monday", "small", path("content"), because="read-only")
refuses("ls", "nowhere", because="not found")
refuses("delete", "home", because="snapshots")

lfsx("clone", "home@monday", "copy")
put("small", b"three")
holds("copy", "docs/large", large)
lfsx("delete", "copy")
lfsx("delete", "home", "--snapshots")
check(not shares(), f"{shares()}")
report = appliance.fsck(POOL)
check(not report["findings"], f"{report}")
