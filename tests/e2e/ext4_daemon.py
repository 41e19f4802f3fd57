#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
"""Goal: what ext4_machine shows for the machine holds for holdfastd under AddressSanitizer: 600 MiB
of ext4 survive kill -9 after the flush, and SIGTERM."""
import appliance

MEBIBYTES = 600


def verify(pool, image):
    with appliance.Daemon(pool, "again") as daemon:
        out = appliance.path("out.img")
        appliance.copy_out(daemon.uri("ext4"), out)
        appliance.check_same(image, out)
        appliance.check_ext4(out)
        daemon.power_off()
    appliance.fsck(pool)


appliance.require("mke2fs", "nbdcopy")
image, pool = appliance.path("ext4.img"), appliance.path("pool.img")
appliance.make_ext4(image, MEBIBYTES)
for how in ("kill", "power_off"):
    appliance.mkfs(pool, "3G", {"ext4": f"{MEBIBYTES}M"})
    with appliance.Daemon(pool, how) as daemon:
        appliance.copy_in(image, daemon.uri("ext4"))
        getattr(daemon, how)()
    appliance.fsck(pool)
    verify(pool, image)
    print(f"{how}: identical and clean")
