# SPDX-License-Identifier: Apache-2.0
"""Boots the real image in QEMU and collects what it says on its serial port."""
import os
import re
import subprocess
import time

BUILD = os.environ.get("BUILD", "build")
IMAGE = os.environ.get("HOLDFAST_ELF", os.path.join(BUILD, "holdfast.elf"))
PASSED = 0x20 * 2 + 1  # kernel/selftest/selftest.h through isa-debug-exit
PANICKED = 0x10 * 2 + 1  # kernel/cpu/panic.h


def check(condition, message):
    """A test's assertion; it stays when Python optimises."""
    if not condition:
        raise AssertionError(message)


def wait_for(path, word):
    """Waits until a machine's serial file holds the word."""
    for _ in range(600):
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                if word in file.read():
                    return
        time.sleep(0.1)
    check(False, f"{word!r} did not come within a minute")


def boot(memory="64M", append="", image=None, options=(), timeout=90):
    """Runs the image until it leaves the machine; returns QEMU's exit code and the serial output.
    Without anything on the command line that leaves the machine, `timeout` ends it: code None."""
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
               "-m", memory, "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
               "-kernel", image or IMAGE, "-append", append, *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        code, output = None, expired.stdout or b""
    text = output.decode(errors="replace").replace("\r", "")
    print(text, flush=True)
    return code, text


def selftest(name, append="", **machine):
    """Runs one of the image's groups of self-tests, which must pass."""
    code, text = boot(append=f"panic=exit selftest={name} {append}", **machine)
    check(code == PASSED, f"selftest={name}: exit code {code}, not {PASSED}")
    check(f"selftest {name}: passed" in text, f"selftest={name} does not say that it passed")
    return text


def fault(name, *patterns, **machine):
    """Runs a self-test that must panic, with a report in which every pattern is found in order."""
    code, text = boot(append=f"panic=exit selftest={name}", **machine)
    check(code == PANICKED, f"selftest={name}: exit code {code}, not {PANICKED}")
    at = text.find("PANIC on CPU")
    check(at >= 0, f"selftest={name}: no panic is reported")
    for pattern in patterns:
        match = re.compile(pattern).search(text, at)
        check(match, f"selftest={name}: the report lacks {pattern!r}")
        at = match.end()
    return text
