#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: lfsx does with volumes and snapshots what its help says, holdfastd serves what it made, and
what cannot be done is refused with the reason."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import appliance
from appliance import check, path, run

LFSX = f"{appliance.BUILD}/asan/bin/lfsx"
MIB = 1 << 20
POOL = path("pool.img")


def lfsx(command, *words):
    return run(LFSX, command, POOL, *words)


def refuses(command, *words, because, status=1):
    output = run(LFSX, command, POOL, *words, expect=status)
    check(because in output, f"lfsx {command} {words} says: {output}")


def volumes():
    listing = subprocess.run([LFSX, "list", POOL, "--json"], stdout=subprocess.PIPE, check=True)
    report = json.loads(listing.stdout)
    return {volume["name"]: volume for volume in report["volumes"]}, report["deleted"]


def write(daemon, name, byte):
    """Fills a file with a byte and copies it into a volume."""
    with open(path("content"), "wb") as file:
        file.write(bytes([byte]) * MIB)
    appliance.copy_in(path("content"), daemon.uri(name))


def reads(daemon, name, byte):
    appliance.copy_out(daemon.uri(name), path("copy"))
    with open(path("copy"), "rb") as file:
        check(file.read() == bytes([byte]) * MIB, f"{name} does not hold {byte}")


def snapshots_and_clones():
    lfsx("create", "data", "1M")
    lfsx("create", "logs", "1M")
    with appliance.Daemon(POOL) as daemon:
        write(daemon, "data", 1)
        write(daemon, "logs", 2)
        daemon.power_off()
    lfsx("snapshot", "first", "data", "logs")
    with appliance.Daemon(POOL) as daemon:
        write(daemon, "data", 3)
        reads(daemon, "data@first", 1)
        reads(daemon, "logs@first", 2)
        daemon.power_off()
    there, _ = volumes()
    check(there["data"]["snapshots"][0]["epoch"] == there["logs"]["snapshots"][0]["epoch"],
          "the snapshots were not taken in one instant")
    check(there["data"]["snapshots"][0]["unique_bytes"] >= MIB, "what only the snapshot has")
    check(there["data"]["total_bytes"] >= 2 * MIB, "what it takes with its snapshots")
    check("with its snapshots" in lfsx("list"), "list does not show what it takes in all")
    lfsx("clone", "data@first", "copy")
    lfsx("rollback", "data@first", "data-before")
    with appliance.Daemon(POOL) as daemon:
        reads(daemon, "copy", 1)
        reads(daemon, "data", 1)
        reads(daemon, "data-before", 3)
        write(daemon, "copy", 4)
        reads(daemon, "data-before@first", 1)
        daemon.power_off()
    there, _ = volumes()
    check(there["copy"]["origin"] == "data-before@first", f"the origin of copy: {there['copy']}")
    refuses("delete", "data-before", "--snapshots", because="clone")
    refuses("delete", "data-before@first", because="clone")
    lfsx("delete", "copy")
    lfsx("delete", "data")
    lfsx("delete", "data-before@first")
    lfsx("rename", "data-before", "data")
    check(sorted(volumes()[0]) == ["data", "logs"], f"there are {sorted(volumes()[0])}")
    appliance.fsck(POOL)


def rewind():
    lfsx("rewind", "logs", "2999-01-01T00:00", "logs-before")
    refuses("rewind", "data", "1999-01-01T00:00", "x", because="no snapshot at")
    refuses("rewind", "data", "yesterday", "x", because="not a time")
    lfsx("delete", "logs")
    lfsx("rename", "logs-before", "logs")


def settings():
    lfsx("schedule", "data", "1m=60", "1h=24")
    check([rule["keep"] for rule in volumes()[0]["data"]["schedule"]] == [60, 24], "the schedule")
    check("1m=60 1h=24" in lfsx("list"), "list does not show the schedule")
    lfsx("schedule", "data")
    check(volumes()[0]["data"]["schedule"] == [], "the schedule is still there")
    refuses("schedule", "data", "1m", because="INTERVAL=COUNT")
    refuses("schedule", "data", "1m=0", because="1 or more")
    lfsx("protect", "data", "on", "7d")
    refuses("delete", "data", because="protected")
    lfsx("protect", "data", "off", "7d")
    lfsx("delete", "data")
    there, deleted = volumes()
    check("data" not in there and deleted[0]["name"] == "data", f"deleted are {deleted}")
    lfsx("undelete", str(deleted[0]["id"]), "data-again")
    check("data-again" in volumes()[0], "it is not back")
    lfsx("delete", "data-again", "--now")
    check(volumes()[1] == [], "it can still be brought back")
    lfsx("create", "doomed", "1M")
    lfsx("protect", "doomed", "off", "7d")
    lfsx("delete", "doomed")
    number = str(volumes()[1][0]["id"])
    refuses("purge", "doomed", because="number")
    lfsx("purge", number)
    check(volumes()[1] == [], "what was purged can be brought back")
    refuses("purge", number, because="not found")
    lfsx("resize", "logs", "2M")
    refuses("resize", "logs", "1M", because="--shrink")
    lfsx("resize", "logs", "1M", "--shrink")
    check(volumes()[0]["logs"]["size"] == MIB, "the size")


def space():
    lfsx("create", "bounded", "8M")
    lfsx("quota", "bounded", "512K")
    with appliance.Daemon(POOL) as daemon:
        with open(path("content"), "wb") as file:
            file.write(b"x" * MIB)
        copy = subprocess.run(["nbdcopy", path("content"), daemon.uri("bounded")],
                              capture_output=True, text=True, check=False)
        check(copy.returncode != 0, "a quota was not kept")
        check("reached its quota of 512 KiB" in daemon.output(), "the log does not say why")
        daemon.power_off()
    there = volumes()[0]["bounded"]
    check(there["quota_bytes"] == 512 << 10 and there["logical_bytes"] <= 512 << 10, f"{there}")
    refuses("reserve", "bounded", "1M", because="not more than the quota")
    lfsx("quota", "bounded", "none")
    lfsx("reserve", "bounded", "1M")
    check("reserved 1 MiB" in lfsx("list"), "list does not show what is reserved")
    refuses("reserve", "bounded", "1T", because="no space")
    refuses("quota", "bounded", "a", because="or none")
    lfsx("reserve", "bounded", "none")
    os.truncate(POOL, 200 << 20)
    before = json.loads(lfsx("list", "--json"))["size_bytes"]
    check("the pool has 19" in lfsx("grow"), "it does not say how much the pool has now")
    check(json.loads(lfsx("list", "--json"))["size_bytes"] == before + (136 << 20) - 2 * 4096,
          "the pool did not grow by what the image did, but for a map of the second region")


def damaged():
    """All nodes of one volume are damaged: it is listed as that, and the other one is served."""
    lfsx("create", "ill", "1M")
    lfsx("create", "well", "1M")
    owner = volumes()[0]["ill"]["id"].to_bytes(8, "little")
    with open(POOL, "rb") as file:
        whole = file.read()
    content = bytearray(whole)
    for at in range(0, len(content), 4096):
        if content[at + 8:at + 12] == b"LFXN" and content[at + 24:at + 32] == owner:
            content[at + 200] ^= 1
    with open(POOL, "wb") as file:
        file.write(content)
    there = volumes()[0]
    check(there["ill"]["damaged"] and not there["well"]["damaged"], f"the damage: {there}")
    check("damaged: run fsck.lfsx" in lfsx("list"), "list does not show the damage")
    refuses("snapshot", "second", "well", "ill", because="damaged structure")
    lfsx("snapshot", "second", "well")
    with appliance.Daemon(POOL) as daemon:
        write(daemon, "well", 6)
        reads(daemon, "well", 6)
        info = subprocess.run(["nbdinfo", daemon.uri("ill")], capture_output=True, text=True,
                              env=os.environ | {"LIBNBD_DEBUG": "1"}, check=False)
        check(info.returncode != 0 and "the volume is damaged" in info.stderr,
              f"nbdinfo says: {info.stderr}")
        check("is damaged and not served" in daemon.output(), "holdfastd does not say so")
        daemon.power_off()
    lfsx("delete", "ill")
    check("ill" not in volumes()[0], "it cannot be deleted")
    with open(POOL, "wb") as file:
        file.write(whole)
    lfsx("delete", "ill")
    lfsx("delete", "well")


def blame():
    """A refusal names the word that it is about; "--" ends options, which may stand anywhere."""
    lfsx("create", "good", "1M")
    lfsx("create", "--", "--strange", "1M")
    lfsx("snapshot", "one", "good")
    refuses("snapshot", "two", "good", "nobody", because="nobody: not found")
    refuses("snapshot", "one", "--", "--strange", "good", because="good: no snapshot was taken")
    refuses("snapshot", "two", "good", "good", because="named twice")
    refuses("clone", "good@never", "new", because="good@never: not found")
    refuses("clone", "good@one", "--", "--strange", because="--strange: exists already")
    refuses("rename", "good", "--", "--strange", because="--strange: exists already")
    refuses("delete", "good", because="it has snapshots")
    lfsx("clone", "good@one", "new")
    refuses("delete", "good@one", because="a clone depends on it")
    check(json.loads(run(LFSX, "list", "--json", POOL))["volumes"], "options before the pool")
    check("VOLUME@SNAPSHOT NAME" in run(LFSX, "clone", "--help"), "help of one command")


check("rollback" in run(LFSX, "--help"), "--help does not explain rollback")
run(f"{appliance.BUILD}/asan/bin/mkfs.lfsx", "--size", "64M", POOL)
snapshots_and_clones()
rewind()
settings()
space()
damaged()
refuses("nonsense", because="no such command", status=2)
refuses("clone", "data", because="Usage", status=2)
refuses("list", "--nonsense", because="no such option", status=2)
refuses("create", "a@b", "1M", because="a@b: this cannot be a name")
refuses("create", "c", "much", because="not a size")
refuses("create", "c", "1000", because="512 bytes")
refuses("snapshot", "first", "nobody", because="nobody: not found")
blame()
with appliance.Daemon(POOL) as daemon:
    refuses("list", because="in use")
    daemon.power_off()
appliance.fsck(POOL)
