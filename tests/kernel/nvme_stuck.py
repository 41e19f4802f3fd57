#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: commands that get no answer are aborted, then the controller is reset, and nothing is lost.

QEMU's throttle makes the silence: it lets next to nothing through until the test says otherwise. A
disabled controller of QEMU first finishes what it has, throttle or not, and says so: that requests
without an answer are sent again is seen in tests/drivers/nvme/controller.c."""
from block_machine import MIB, Machine, check, make_image, pattern

SIZE = 16 * MIB


def disk(image):
    return ["-object", "throttle-group,id=t0",
            "-blockdev", f"driver=file,filename={image},node-name=f0",
            "-blockdev", "driver=throttle,file=f0,throttle-group=t0,node-name=d0",
            "-device", "nvme,serial=HF0003,drive=d0"]


def throttle(machine, bytes_per_second):
    """No limit is 0."""
    limits = {"bps-total": bytes_per_second, "bps-total-max": 0}
    machine.ask("qom-set", path="/objects/t0", property="limits", value=limits)


def main():
    image = make_image("stuck.img", SIZE)
    steps = ["write:nvme0n1:0:4096:OK:9", "sleep:nvme0n1:0:3000:OK",
             f"write:nvme0n1:0:{4 * MIB}:OK:1", "flush:nvme0n1:0:0:OK",
             f"stress:nvme0n1:{4 * MIB}:{4 * MIB}:OK:2"]
    with Machine("stuck", disk(image), steps) as machine:
        machine.wait_for("step write:nvme0n1:0:4096:OK:9: OK")
        throttle(machine, 1000)
        machine.wait_for("aborted")
        machine.wait_for("resetting the controller")
        throttle(machine, 0)
        machine.finish()
        output = machine.output()
    check("works again after its reset" in output, "no recovery")
    check("have had no answer for" in output, "the block layer did not report them")
    with open(image, "rb") as file:
        check(file.read(4 * MIB) == pattern(0, 4 * MIB, 1), "the content differs")


main()
