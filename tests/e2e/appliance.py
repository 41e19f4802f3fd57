# SPDX-License-Identifier: Apache-2.0
"""Starts and stops Holdfast for tests: the machine in QEMU, through the program that `make run`
uses, and the daemon on Linux. Both offer start(), uri(), kill() (as a power cut does, not asking
anyone) and power_off() (flushing everything). Also small helpers around the tools."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

BUILD = os.environ.get("BUILD", "build")
TEST_DIR = os.environ.get("TEST_DIR") or os.path.join(BUILD, "test", "by-hand")
SKIP = 77
MIB = 1 << 20

os.makedirs(TEST_DIR, exist_ok=True)


def path(name):
    """A file of this test's own."""
    return os.path.join(TEST_DIR, name)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def require(*programs):
    for program in programs:
        if not os.path.exists(program) and not shutil.which(program):
            skip(f"{program} is not there")


def check(condition, message):
    """A test's assertion; it stays when Python optimises."""
    if not condition:
        raise AssertionError(message)


def run(*command, expect=0, timeout=120):
    """Runs a program, returns what it printed; any other exit status than `expect` fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=timeout, check=False)
    output = result.stdout.decode("utf-8", "replace")
    check(result.returncode == expect,
          f"{' '.join(command)}: exit status {result.returncode}, not {expect}:\n{output}")
    return output


# ---- tools ----

def mkfs(image, size, volumes):
    """A new pool in an image file; `volumes` are name: size as mkfs.lfsx takes them."""
    arguments = []
    for name, volume_size in volumes.items():
        arguments += ["--volume", f"{name}={volume_size}"]
    run(f"{BUILD}/bin/mkfs.lfsx", "-f", "--size", size, *arguments, image)


def fsck(image, expect=0, options=()):
    """The report of fsck.lfsx, as its JSON says it."""
    result = subprocess.run([f"{BUILD}/bin/fsck.lfsx", "--json", *options, image],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                            check=False)
    text = result.stdout.decode() + result.stderr.decode()
    check(result.returncode == expect,
          f"fsck.lfsx {image}: exit status {result.returncode}, not {expect}:\n{text}")
    return json.loads(result.stdout)


def gather_files(folder, limit):
    """Fills the folder with real files of this machine, of at most `limit` bytes in all."""
    left = limit
    for top in ("/usr/share", "/usr/lib", "/usr/bin", "/usr/include"):
        for place, folders, files in os.walk(top):
            folders.sort()
            target = folder + place
            os.makedirs(target, exist_ok=True)
            for name in sorted(files):
                source = os.path.join(place, name)
                size = os.lstat(source).st_size + 4096
                if size > left:
                    continue
                left -= size
                shutil.copy2(source, os.path.join(target, name), follow_symlinks=False)
            if left < MIB:
                return


def make_ext4(image, mebibytes):
    """An ext4 file system of this size, four fifths full with real files."""
    folder = path("files")
    gather_files(folder, mebibytes * MIB * 4 // 5)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, image, f"{mebibytes}M")
    shutil.rmtree(folder)


def check_ext4(image):
    run("e2fsck", "-fn", image)


def copy_in(image, uri):
    """With --flush, nbdcopy returns once the server has answered to NBD_CMD_FLUSH."""
    run("nbdcopy", "--flush", image, uri, timeout=240)


def copy_out(uri, image):
    run("nbdcopy", uri, image, timeout=240)


def check_same(one, other):
    run("cmp", one, other)


# ---- the appliance ----

class Served:
    """What machine and daemon have in common."""

    process = None
    port = None

    def uri(self, volume=""):
        return f"nbd://127.0.0.1:{self.port}/{volume}"

    def __enter__(self):
        if self.process is None:
            self.start()
        return self

    def __exit__(self, kind, _value, _trace):
        if kind:
            print(f"---- {self.log} ----\n{self.output()}\n----")
        if self.process and self.process.poll() is None:
            self.kill()

    def output(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


class Machine(Served):
    """Holdfast in QEMU. Without disks the run script makes its own pool, as for `make run`."""

    def __init__(self, disks=(), name="machine", options=()):
        self.run_dir = path(name)
        self.state_path = os.path.join(self.run_dir, "state.json")
        self.log = path(name + ".log")
        self.command = ["tools/run/holdfast-run", "--build", BUILD, "--run-dir", self.run_dir,
                        "--port", "0", *options]
        for disk in disks:
            self.command += ["--disk", disk]
        self.state = None
        self.started = 0.0

    def start(self, timeout=60):
        """Until a client could negotiate; returns the seconds that it took."""
        self.started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
        while not os.path.exists(self.state_path):
            seconds = time.monotonic() - self.started
            if self.process.poll() is not None or seconds > timeout:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the machine is not serving after {seconds:.1f} s:\n"
                                     + self.output())
            time.sleep(0.02)
        with open(self.state_path, encoding="utf-8") as file:
            self.state = json.load(file)
        self.port = self.state["port"]
        return time.monotonic() - self.started

    def kill(self):
        if self.state:
            try:
                os.kill(self.state["qemu_pid"], signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            self.process.kill()
        self.process.wait(20)
        self.state = None

    def power_off(self, number=signal.SIGTERM, within=20):
        """Presses the power button; returns the seconds until the machine was off."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(within + 5)
        seconds = time.monotonic() - began
        check(code == 0, f"holdfast-run ended with {code} after a power-off:\n{self.output()}")
        check(seconds <= within, f"the machine took {seconds:.1f} s to go off")
        self.state = None
        return seconds


class Daemon(Served):
    """holdfastd under AddressSanitizer and UBSan on an image."""

    def __init__(self, image, name="daemon", options=()):
        self.log = path(name + ".log")
        self.command = [f"{BUILD}/asan/bin/holdfastd", "--nbd", "127.0.0.1:0", *options, image]

    def start(self, timeout=60):
        began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
        while not re.search(r"\bready$", self.output(), re.M):
            if self.process.poll() is not None or time.monotonic() - began > timeout:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"holdfastd is not serving:\n{self.output()}")
            time.sleep(0.02)
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", self.output())[1])
        return time.monotonic() - began

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def power_off(self, number=signal.SIGTERM, within=20):
        self.process.send_signal(number)
        code = self.process.wait(within)
        check(code == 0, f"holdfastd ended with {code}:\n{self.output()}")
