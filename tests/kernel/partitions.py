#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: a disk that another system partitioned shows its partitions; what is written to one
stays in it."""
import os
import subprocess
from block_machine import MIB, check, make_image, pattern, run

SIZE = 32 * MIB
START, END = 8 * MIB, 12 * MIB


def main():
    image = make_image("gpt.img", SIZE)
    fifth = f"5:{START // 512}:{END // 512 - 1}"
    subprocess.run(["sgdisk", "-n", "1:2048:+2M", "-n", fifth, image],
                   check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    with open(image, "rb") as file:
        before = file.read()
    length = END - START
    run("partitions", ["-blockdev", f"driver=file,filename={image},node-name=d0",
                       "-device", "nvme,serial=HF0004,drive=d0"],
        [f"stress:nvme0n1p5:0:{length}:OK:1",
         f"write:nvme0n1p5:{length - 512}:1024:OUT_OF_RANGE:2",
         f"write:nvme0n1p5:{length}:512:OUT_OF_RANGE:2",
         "read:nvme0n1p1:0:4096:OK", "flush:nvme0n1p5:0:0:OK"])
    with open(image, "rb") as file:
        after = file.read()
    check(after[START:END] == pattern(0, length, 1), "the partition's content differs")
    check(after[:START] == before[:START] and after[END:] == before[END:], "others were touched")


main()
