# SPDX-License-Identifier: Apache-2.0
"""Boots the image in QEMU and has kernel/selftest/selftest_block.c do steps on its disks."""
import array
import json
import os
import socket
import subprocess
import time

BUILD = os.environ.get("BUILD", "build")
TEST_DIR = os.environ.get("TEST_DIR") or os.path.join(BUILD, "test", "by-hand")
PASSED = 0x20 * 2 + 1  # what isa-debug-exit makes of SELFTEST_EXIT_PASSED
FACTOR = 0x9e3779b97f4a7c15
MASK = (1 << 64) - 1
MIB = 1 << 20


def check(condition, message):
    """A test's assertion; it stays when Python optimises."""
    if not condition:
        raise AssertionError(message)


def pattern(offset, length, seed):
    """What the self-test writes there."""
    first = offset // 8 + 1
    words = ((first + i) * FACTOR + seed & MASK for i in range(length // 8))
    return array.array("Q", words).tobytes()


def make_image(name, size):
    path = os.path.join(TEST_DIR, name)
    os.makedirs(TEST_DIR, exist_ok=True)
    with open(path, "wb") as image:
        image.truncate(size)
    return path


class Machine:
    """One run of the image; `arguments` are QEMU's for the disks, `steps` the self-test's."""

    def __init__(self, name, arguments, steps, cpus=2):
        os.makedirs(TEST_DIR, exist_ok=True)
        self.log = os.path.join(TEST_DIR, f"{name}.log")
        # Local sockets have short names only, which the test's directory may exceed.
        self.monitor_path = f"/tmp/holdfast-block-{os.getpid()}"
        words = " ".join(["console=serial panic=exit selftest=block",
                          *(f"step={step}" for step in steps)])
        self.command = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", str(cpus), "-m", "512", "-display", "none", "-no-reboot", "-nodefaults",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-serial", f"file:{self.log}",
            "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
            "-kernel", f"{BUILD}/holdfast.elf", "-append", words, *arguments]

    def __enter__(self):
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, kind, _value, _trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if os.path.exists(self.monitor_path):
            os.unlink(self.monitor_path)
        if kind:
            print(f"---- {self.log} ----\n{self.output()}\n----")

    def output(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in self.output():
            check(self.process.poll() is None, f"the machine ended before it wrote: {text}")
            check(time.monotonic() < end, f"not written within {seconds} s: {text}")
            time.sleep(0.05)

    def ask(self, command, **arguments):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
            monitor.settimeout(30)
            monitor.connect(self.monitor_path)
            answers = monitor.makefile("r", encoding="utf-8")
            answers.readline()
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                monitor.sendall(json.dumps(request).encode())
                while "return" not in (answer := json.loads(answers.readline())):
                    check("error" not in answer, f"{command}: {answer}")

    def finish(self, seconds=120):
        """Waits until every step has done what it should."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = "none in time"
        check(code == PASSED, f"exit code {code}")


def run(name, arguments, steps, cpus=2, seconds=120):
    with Machine(name, arguments, steps, cpus) as machine:
        machine.finish(seconds)
        return machine.output()
