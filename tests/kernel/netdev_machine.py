# SPDX-License-Identifier: Apache-2.0
"""Boots the image in QEMU with a network card whose cable ends in a local socket of the test."""
import json
import os
import socket
import subprocess
import time

from image import BUILD, IMAGE, PASSED, check

TEST_DIR = os.environ.get("TEST_DIR") or os.path.join(BUILD, "test", "by-hand")
# Local sockets have short names only, which the test's directory may exceed.
SOCKET_DIR = f"/tmp/holdfast-netdev-{os.getpid()}"


class Machine:
    def __init__(self, model, mac, cpus, mebibytes):
        os.makedirs(SOCKET_DIR, exist_ok=True)
        os.makedirs(TEST_DIR, exist_ok=True)
        self.card_path = f"{SOCKET_DIR}/{model}-card"
        self.cable_path = f"{SOCKET_DIR}/{model}-cable"
        self.monitor_path = f"{SOCKET_DIR}/{model}-monitor"
        self.log = os.path.join(TEST_DIR, f"{model}.log")
        self.read_until = 0
        self.cable = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.cable.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.cable.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self.cable.bind(self.cable_path)
        address = ":".join(f"{byte:02x}" for byte in mac)
        self.command = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", str(cpus), "-m", str(mebibytes), "-display", "none", "-no-reboot",
            "-nodefaults",
            "-serial", f"file:{self.log}", "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
            "-netdev", f"dgram,id=n0,local.type=unix,local.path={self.card_path},"
                       f"remote.type=unix,remote.path={self.cable_path}",
            "-device", f"{model},netdev=n0,mac={address}",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-kernel", IMAGE, "-append", "panic=exit selftest=net"]
        self.process = None
        self.monitor = None
        self.answers = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        try:
            self.connect_monitor()
            self.answers = self.monitor.makefile("r", encoding="utf-8")
            self.answers.readline()
            self.ask("qmp_capabilities")
        except BaseException:
            self.process.kill()
            raise
        return self

    def connect_monitor(self, timeout=20):
        """QEMU makes the socket's name before it listens."""
        end = time.monotonic() + timeout
        while True:
            check(self.process.poll() is None, "QEMU does not start")
            self.monitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.monitor.settimeout(10)
            try:
                return self.monitor.connect(self.monitor_path)
            except (FileNotFoundError, ConnectionRefusedError):
                self.monitor.close()
                check(time.monotonic() < end, "QEMU's monitor does not answer")
                time.sleep(0.02)

    def __exit__(self, kind, _value, _trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if kind:
            print(f"---- {self.log} ----\n{self.output()}\n----")
        for name in (self.card_path, self.cable_path, self.monitor_path):
            if os.path.exists(name):
                os.unlink(name)
        if not os.listdir(SOCKET_DIR):
            os.rmdir(SOCKET_DIR)

    def ask(self, command, **arguments):
        self.monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.answers.readline())
            check("error" not in answer, f"{command}: {answer}")
            if "return" in answer:
                return answer["return"]

    def set_link(self, up):
        self.ask("set_link", name="n0", up=up)

    def output(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for(self, *texts, timeout=30):
        """Until these texts stand in the console's output, in any order, behind what was waited for
        before."""
        end = time.monotonic() + timeout
        while True:
            output = self.output()
            ends = {text: output.find(text, self.read_until) + len(text) for text in texts
                    if text in output[self.read_until:]}
            if len(ends) == len(texts):
                self.read_until = max(ends.values())
                return
            missing = [text for text in texts if text not in ends]
            check(self.process.poll() is None, f"the machine is off, without having said {missing}")
            check(time.monotonic() < end, f"the machine does not say {missing}")
            time.sleep(0.02)

    def wait_passed(self, timeout=20):
        code = self.process.wait(timeout)
        check(code == PASSED, f"selftest=net left the machine with {code}, not {PASSED}")
