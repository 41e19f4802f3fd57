#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the VGA text screen shows what the serial port says, scrolled to the end, also when the
last thing said is a panic; console=serial leaves it alone, and a machine without one works."""
import os
import socket
import subprocess
import tempfile

from image import IMAGE, check, selftest, wait_for

COLUMNS, ROWS, TEXT = 80, 25, 0xb8000


def screen_after_panic(folder, append):
    serial, monitor, dump = (os.path.join(folder, name) for name in ("serial", "monitor", "dump"))
    machine = subprocess.Popen(
        ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "64M",
         "-nodefaults", "-vga", "std", "-display", "none", "-serial", f"file:{serial}",
         "-monitor", f"unix:{monitor},server=on,wait=off", "-kernel", IMAGE, "-append", append],
        stdin=subprocess.DEVNULL)
    try:
        wait_for(serial, "has stopped")
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(monitor)
            control.sendall(f"pmemsave {TEXT:#x} {COLUMNS * ROWS * 2} \"{dump}\"\nquit\n".encode())
            machine.wait(10)
        cells = open(dump, "rb").read()
        text = open(serial, encoding="utf-8", errors="replace").read()
    finally:
        machine.kill()
        machine.wait()
    rows = [cells[i:i + COLUMNS * 2:2].decode("latin-1").rstrip()
            for i in range(0, len(cells), COLUMNS * 2)]
    print("\n".join(rows), flush=True)
    return rows, text.replace("\r", "").split("\n")


with tempfile.TemporaryDirectory(prefix="holdfast-screen-", dir="/tmp") as directory:
    shown, said = screen_after_panic(directory, "selftest=fault-null")
    check(shown[-1] == "" and said[-1] == "", "the last line is not ended")
    short = [line for line in said[-15:-1] if len(line) <= COLUMNS]
    check(len(short) > 8, "the serial port says too little")
    for line in short:
        check(line in shown, f"the screen lacks {line!r}")

with tempfile.TemporaryDirectory(prefix="holdfast-screen-", dir="/tmp") as directory:
    shown, _ = screen_after_panic(directory, "selftest=fault-null console=serial")
    check(not any("PANIC" in row for row in shown), "console=serial is ignored")

selftest("library", options=["-vga", "none"])
