#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: an error of the hardware, injected by QEMU, is reported with what the processor knows about
it instead of resetting the machine; an NMI that nobody asked for is logged and survived."""
import os
import socket
import subprocess
import tempfile

from image import IMAGE, PANICKED, check, wait_for

UNCORRECTED = 0xb600000000000136  # valid, uncorrected, enabled, with an address, context corrupt


with tempfile.TemporaryDirectory(prefix="holdfast-mce-", dir="/tmp") as folder:
    serial, monitor = os.path.join(folder, "serial"), os.path.join(folder, "monitor")
    machine = subprocess.Popen(
        ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "64M",
         "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{serial}",
         "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
         "-monitor", f"unix:{monitor},server=on,wait=off", "-kernel", IMAGE,
         "-append", "panic=exit"], stdin=subprocess.DEVNULL)
    try:
        wait_for(serial, "no network device")
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(monitor)
            control.sendall(b"nmi\n")
            wait_for(serial, "non-maskable interrupt")
            control.sendall(f"mce 0 1 {UNCORRECTED:#x} 5 0x1234000 0\n".encode())
            code = machine.wait(15)
        text = open(serial, encoding="utf-8", errors="replace").read()
    finally:
        machine.kill()
        machine.wait()
    print(text, flush=True)
    check(code == PANICKED, f"exit code {code}, not {PANICKED}")
    check(f"machine check: the processor or memory is faulty; bank 1 status {UNCORRECTED:#018x} "
          "address 0x1234000" in text, "the report lacks the bank")
    check("backtrace:" in text, "no backtrace")
