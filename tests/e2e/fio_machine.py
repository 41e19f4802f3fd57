#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: fio's own checksums over NBD hold: mixed sizes and offsets written at depth 16, verified at
once, and again after the machine was killed behind fio's last flush."""
import appliance

JOB = ["--name=verify", "--ioengine=nbd", "--rw=randwrite", "--bsrange=4k-256k", "--size=192m",
       "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--randrepeat=1", "--randseed=4711",
       "--end_fsync=1", "--verify_state_save=0"]

appliance.require("fio")
pool = appliance.path("pool.img")
appliance.mkfs(pool, "1G", {"fio": "256M"})
with appliance.Machine([pool], "written") as machine:
    appliance.run("fio", *JOB, f"--uri={machine.uri('fio')}", timeout=200)
    machine.kill()
appliance.fsck(pool)
with appliance.Machine([pool], "again") as machine:
    appliance.run("fio", *JOB, f"--uri={machine.uri('fio')}", "--verify_only=1", timeout=200)
    machine.power_off()
appliance.fsck(pool)
