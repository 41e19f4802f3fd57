#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: mkfs.lfsx makes what it was asked for, and never overwrites or creates anything by
mistake."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import appliance
from appliance import check, path, run

MKFS = f"{appliance.BUILD}/asan/bin/mkfs.lfsx"
MIB = 1 << 20


def refuses(*arguments, because):
    output = run(MKFS, *arguments, expect=1)
    check(because in output, f"mkfs.lfsx {arguments} says: {output}")


def image(name, size):
    with open(path(name), "wb") as file:
        file.truncate(size)
    return path(name)


# It says how to use it, and what is wrong.
check("--volume NAME=SIZE" in run(MKFS, "--help"), "--help does not explain --volume")
refuses(because="which device")
refuses("--nonsense", because="--help")
refuses(path("one.img"), path("two.img"), because="only one device")

# What is not there is not made, unless --size says so.
refuses(path("absent.img"), because="--size")
check(not os.path.exists(path("absent.img")), "mkfs.lfsx created a file nobody asked for")
refuses("--size", "4X", path("absent.img"), because="not a size")
refuses("--size", "1M", path("absent.img"), because="too small")
check(not os.path.exists(path("absent.img")), "a failed mkfs.lfsx left a file behind")
run(MKFS, "--size", "64M", path("sized.img"))
check(os.path.getsize(path("sized.img")) == 64 * MIB, "--size made another size")
appliance.fsck(path("sized.img"))

# --size lets a file grow, never shrink.
refuses("-f", "--size", "32M", path("sized.img"), because="larger")
run(MKFS, "-f", "--size", "128M", path("sized.img"))
check(os.path.getsize(path("sized.img")) == 128 * MIB, "--size did not extend the file")

# A pool is not overwritten without -f, and neither is anything else.
pool = image("pool.img", 256 * MIB)
run(MKFS, "-L", "vault", "--volume", "a=1G", "--volume", "ein Band=1536", pool)
appliance.fsck(pool)
refuses(pool, because="vault")
run(MKFS, "-f", pool)
ext4 = image("ext4.img", 64 * MIB)
run("mke2fs", "-q", "-F", "-t", "ext4", ext4)
with open(ext4, "rb") as file:
    before = file.read()
refuses(ext4, because="ext")
refuses("--size", "128M", ext4, because="ext")
with open(ext4, "rb") as file:
    check(file.read() == before, "the refused image was changed")
run(MKFS, "-f", ext4)
appliance.fsck(ext4)

# Volumes and labels are checked before anything is written.
fresh = image("fresh.img", 64 * MIB)
for volume, reason in [("a", "NAME=SIZE"), ("a=", "NAME=SIZE"), ("a=1Q", "NAME=SIZE"),
                       ("=1G", "name"), ("a/b=1G", "name"), ("..=1G", "name"),
                       ("a=0", "multiple of 512"), ("a=513", "multiple of 512"),
                       ("a=99999999999999999999", "NAME=SIZE"), ("a=5E", "at most"),
                       ("x" * 256 + "=1G", "name")]:
    refuses("--volume", volume, fresh, because=reason)
refuses("--volume", "a=1G", "--volume", "a=2G", fresh, because="twice")
refuses("-L", "x" * 64, fresh, because="label")
with open(fresh, "rb") as file:
    check(not any(file.read()), "a refused mkfs.lfsx wrote to the image")
run(MKFS, "-L", "x" * 63, "--volume", "n" * 255 + "=4E", fresh)
appliance.fsck(fresh)
