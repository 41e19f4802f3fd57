#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what the kernel writes to NVMe namespaces lies there byte for byte and nowhere else, comes
back as it was, survives a restart once flushed; what is unaligned or outside never gets there."""
from block_machine import MIB, check, make_image, pattern, run

SIZE = 64 * MIB
REGION = 24 * MIB


def disks(*images):
    """A controller with a namespace of 512-byte blocks, then ones of 4096-byte blocks."""
    arguments = ["-device", "nvme,id=c0,serial=HF0001"]
    for number, image in enumerate(images, 1):
        block_size = 512 if number == 1 else 4096
        arguments += [
            "-blockdev", f"driver=file,filename={image},node-name=f{number},discard=unmap",
            "-blockdev", f"driver=raw,file=f{number},node-name=d{number},discard=unmap",
            "-device", f"nvme-ns,bus=c0,drive=d{number},nsid={number},"
                       f"logical_block_size={block_size},physical_block_size={block_size}"]
    return arguments


def expect(image, pieces):
    """The image holds the pieces (offset, bytes), later ones over earlier ones, and else zeros."""
    model = bytearray(SIZE)
    for offset, data in pieces:
        model[offset:offset + len(data)] = data
    with open(image, "rb") as file:
        content = file.read()
    check(len(content) == SIZE, f"{image} has {len(content)} bytes")
    if content != model:
        at = next(i for i in range(SIZE) if content[i] != model[i])
        raise AssertionError(f"{image}: byte {at} is {content[at]}, not {model[at]}")


def main():
    one, two = make_image("one.img", SIZE), make_image("two.img", SIZE)
    steps = [
        f"stress:nvme0n1:{MIB}:{REGION}:OK:1",
        f"stress:nvme0n2:0:{REGION}:OK:2",
        # Over what is there: whole, small, crossing, larger than any transfer of the hardware.
        f"fua:nvme0n1:{2 * MIB + 512}:1536:OK:3",
        f"write:nvme0n1:{4 * MIB - 512}:{9 * MIB}:OK:4",
        f"fua:nvme0n2:{20480}:{3 * MIB}:OK:5",
        f"read:nvme0n1:{4 * MIB - 512}:{9 * MIB}:OK:4",
        f"read:nvme0n2:{20480}:{3 * MIB}:OK:5",
        # The last block, and what must not get there.
        f"write:nvme0n1:{SIZE - 512}:512:OK:6",
        f"write:nvme0n1:{SIZE - 512}:1024:OUT_OF_RANGE:7",
        f"read:nvme0n1:{SIZE}:512:OUT_OF_RANGE",
        "write:nvme0n1:100:512:UNALIGNED:7",
        "write:nvme0n1:512:100:UNALIGNED:7",
        f"write:nvme0n2:512:4096:UNALIGNED:7",
        f"write:nvme0n2:4096:512:UNALIGNED:7",
        # Discarded space reads as anything; QEMU over a file makes it zeros.
        f"discard:nvme0n1:{16 * MIB}:{4 * MIB}:OK",
        f"discard:nvme0n1:{16 * MIB + 1}:4096:UNALIGNED",
        f"write:nvme0n1:{17 * MIB}:{MIB}:OK:8",
        "flush:nvme0n1:0:0:OK",
        "flush:nvme0n2:0:0:OK",
    ]
    output = run("content", disks(one, two), steps, cpus=2)
    check("nvme0n2: 64 MiB, 4096-byte blocks" in output, "the second namespace's format")
    expect(one, [(MIB, pattern(MIB, REGION, 1)),
                 (2 * MIB + 512, pattern(2 * MIB + 512, 1536, 3)),
                 (4 * MIB - 512, pattern(4 * MIB - 512, 9 * MIB, 4)),
                 (SIZE - 512, pattern(SIZE - 512, 512, 6)),
                 (16 * MIB, bytes(4 * MIB)),
                 (17 * MIB, pattern(17 * MIB, MIB, 8))])
    expect(two, [(0, pattern(0, REGION, 2)), (20480, pattern(20480, 3 * MIB, 5))])
    # A machine with other CPUs and one interrupt, hence one queue, reads the same.
    run("again", [a.replace("serial=", "msix_qsize=1,serial=") for a in disks(one, two)],
        [f"read:nvme0n1:{4 * MIB}:{8 * MIB}:OK:4", f"read:nvme0n2:{4 * MIB}:{20 * MIB}:OK:2",
         f"stress:nvme0n2:{24 * MIB}:{8 * MIB}:OK:9"], cpus=1)


main()
