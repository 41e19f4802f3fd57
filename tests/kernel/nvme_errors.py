#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: an error of the medium reaches the caller as one, for its range and nothing else; a read is
tried again first; a write or flush that failed once has failed."""
from block_machine import MIB, check, make_image, run

SIZE = 16 * MIB


def disk(image, *rules):
    """A disk on which QEMU fails what the rules (kind, byte or None, once) name."""
    blkdebug = f"driver=blkdebug,node-name=b0,image.driver=file,image.filename={image}"
    for number, (kind, byte, once) in enumerate(rules):
        rule = f"inject-error.{number}"
        blkdebug += f",{rule}.event=none,{rule}.iotype={kind},{rule}.errno=5"
        blkdebug += f",{rule}.once={'on' if once else 'off'}"
        if byte is not None:
            blkdebug += f",{rule}.sector={byte // 512}"
    return ["-blockdev", blkdebug, "-blockdev", "driver=raw,file=b0,node-name=d0",
            "-device", "nvme,serial=HF0002,drive=d0"]


def main():
    image = make_image("errors.img", SIZE)
    output = run("read-errors", disk(image, ("read", 1 * MIB, False), ("read", 2 * MIB, True)), [
        f"stress:nvme0n1:{4 * MIB}:{2 * MIB}:OK:1",
        f"read:nvme0n1:{MIB}:4096:IO",
        "retries:nvme0n1:0:2:OK",
        f"read:nvme0n1:{MIB - 8192}:8192:OK",
        f"read:nvme0n1:{MIB + 512}:4096:OK",
        f"write:nvme0n1:{2 * MIB - 4096}:8192:OK:2",
        f"read:nvme0n1:{2 * MIB - 4096}:8192:OK:2",
        "retries:nvme0n1:0:3:OK",
        f"read:nvme0n1:0:{8 * MIB}:IO",
        f"read:nvme0n1:{4 * MIB}:{2 * MIB}:OK:1",
    ])
    check("status type 2, code 0x81" in output, "the device's own status in the log")
    check("the device may be failing" in output, "a word about the recovered read")
    run("write-errors", disk(image, ("write", 3 * MIB, True), ("flush", None, True)), [
        f"write:nvme0n1:{3 * MIB}:4096:IO:3",
        f"write:nvme0n1:{3 * MIB}:4096:OK:4",
        f"read:nvme0n1:{3 * MIB}:4096:OK:4",
        "flush:nvme0n1:0:0:IO",
        "flush:nvme0n1:0:0:OK",
        "retries:nvme0n1:0:1:NOT_FOUND",
    ])


main()
