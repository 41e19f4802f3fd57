#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=420
"""Goal: a real ext4 file system of 600 MiB goes in with nbdcopy, survives the kill of the machine
after the flush, and comes out identical and clean; then the same through a power-off."""
import threading

import appliance
from nbd_client import Client

MEBIBYTES = 600


def scribble(port, stop):
    """Writes to another volume without a flush, so that the kill meets work in progress."""
    try:
        with Client(port, "scratch") as client:
            number = 0
            while not stop.is_set():
                number += 1
                client.write(number * 7919 % 4096 * 4096, bytes([number % 256]) * 16384)
    except (OSError, ConnectionError):
        pass


def verify(pool, image, name):
    """Boots again, compares byte for byte; the machine is off after."""
    with appliance.Machine([pool], name) as machine:
        out = appliance.path("out.img")
        appliance.copy_out(machine.uri("ext4"), out)
        appliance.check_same(image, out)
        appliance.check_ext4(out)
        print(f"{name}: off after {machine.power_off():.1f} s")
    appliance.fsck(pool)


appliance.require("mke2fs", "nbdcopy")
image, pool = appliance.path("ext4.img"), appliance.path("pool.img")
appliance.make_ext4(image, MEBIBYTES)
appliance.mkfs(pool, "3G", {"ext4": f"{MEBIBYTES}M", "scratch": "64M"})

with appliance.Machine([pool], "killed") as machine:
    appliance.copy_in(image, machine.uri("ext4"))
    stop = threading.Event()
    writer = threading.Thread(target=scribble, args=[machine.port, stop])
    writer.start()
    stop.wait(0.5)
    machine.kill()
    stop.set()
    writer.join()
summary = appliance.fsck(pool)["summary"]
print(f"killed after the flush: fsck.lfsx finds it clean ({summary['data_blocks']} data blocks)")
verify(pool, image, "after-kill")

appliance.mkfs(pool, "3G", {"ext4": f"{MEBIBYTES}M"})
with appliance.Machine([pool], "powered-off") as machine:
    appliance.copy_in(image, machine.uri("ext4"))
    print(f"off after {machine.power_off():.1f} s")
appliance.fsck(pool)
verify(pool, image, "after-power-off")
