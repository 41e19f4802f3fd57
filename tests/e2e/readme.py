#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what README.md shows happens. Every command of its `console` blocks is run in order, with
this test's own port and files; what it prints must be what README.md shows, but for numbers and for
lines that stand as "...". `make run` stays up until the block's ^C; commands that fetch or build
everything, or run the tests, are left out."""
import os
import re
import signal
import subprocess
import sys
import time

import appliance
from appliance import check

LEFT_OUT = re.compile(r"(sudo|git|cd|make (test|lint|setup|help))\b")
HERE = os.path.abspath(appliance.TEST_DIR)
# A reader's make is not called by another one.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}


def blocks(text):
    """Lists of (command, lines that it prints)."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps:
                steps[-1][1].append(line)
        yield steps


def to_here(command, port):
    """The command with this test's build, port and files in place of README.md's."""
    command = re.sub(r"(?<![\w/])build/run/", f"{HERE}/run/", command)
    command = re.sub(r"(?<![\w/])build/", appliance.BUILD + "/", command)
    command = re.sub(r"(?<![\w/])(\w+\.img|copy\.md)\b", rf"{HERE}/\1", command)
    return command.replace("10809", str(port))


def normal(line):
    """Numbers, and where things are, differ from machine to machine."""
    here = re.escape(os.path.relpath(HERE).lstrip("./"))
    line = re.sub(rf"\S*{here}/run/", "build/run/", line)
    line = re.sub(rf"\S*{here}/", "", line)
    line = line.replace("KVM", "emulation")
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", line)
    line = re.sub(r"\d+(\.\d+)?( [KMGTP]iB)?", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def compare(command, expected, printed):
    """The shown lines must come in this order; between two of them nothing else unless "..."."""
    pattern = ""
    for line in expected:
        pattern += r"(.*\n)*?" if line.strip() == "..." else re.escape(normal(line)) + r"\n"
    text = "".join(normal(line) + "\n" for line in printed.splitlines())
    check(re.fullmatch(pattern, text),
          f"$ {command}\nprints something else than README.md shows:\n{printed}\n"
          f"---- README.md ----\n" + "\n".join(expected))
    print(f"as shown: {command}")


class Reader:
    """Runs the blocks. `machine` is the one that `make run` would keep in another terminal."""

    def __init__(self):
        self.machine = None
        self.port = 0

    def step(self, command, expected):
        if LEFT_OUT.match(command):
            return
        if command.startswith("make run"):
            self.start_machine(command, expected)
            return
        if "build/run/" in command:
            self.stop_machine()  # README.md has left it by then
        result = subprocess.run(["bash", "-c", to_here(command, self.port)], check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                                env=ENVIRONMENT)
        printed = result.stdout.decode("utf-8", "replace")
        check(result.returncode == 0 or f"$? = {result.returncode}" in printed,
              f"$ {command}\nexit status {result.returncode}:\n{printed}")
        compare(command, expected, printed)

    def start_machine(self, command, expected):
        check(self.machine is None, "README.md starts two machines at once")
        variables = dict(re.findall(r"(\w+)=(\S+)", command))
        options = [f"--{name.lower().replace('mem', 'memory')}={value}"
                   for name, value in variables.items() if name in ("NIC", "SMP", "MEM")]
        self.machine = (appliance.Machine(name="run", options=options), command, expected)
        self.machine[0].start()
        self.port = self.machine[0].port

    def stop_machine(self):
        if self.machine is None:
            return
        machine, command, expected = self.machine
        machine.power_off(signal.SIGINT)
        compare(command, [line for line in expected if line.strip() != "^C"], machine.output())
        self.machine = None


def main():
    with open("README.md", encoding="utf-8") as file:
        found = list(blocks(file.read()))
    check(found, "README.md has no console block")
    reader = Reader()
    started = time.monotonic()
    try:
        for steps in found:
            for command, expected in steps:
                reader.step(command, expected)
        reader.stop_machine()
    except AssertionError as error:
        print(error)
        if reader.machine:
            reader.machine[0].kill()
        sys.exit(1)
    print(f"{len(found)} blocks in {time.monotonic() - started:.0f} s")


main()
