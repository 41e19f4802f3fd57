# SPDX-License-Identifier: Apache-2.0
"""A Debian kernel with a few programs in QEMU, as a client of Holdfast: the NBD driver and the ext4
of Linux itself. Its initramfs is made of what third_party/unpack.sh brought and of this machine's
own e2fsprogs. The guest reaches the host's ports at HOST, and finds the `source` file as /dev/vda.
The test talks to a shell through a virtio port; the kernel's messages go to a log, which is printed
if the test fails."""
import glob
import os
import re
import runpy
import shutil
import socket
import stat
import subprocess

import appliance
from appliance import BUILD, check

HOST = "10.0.2.2"
PATIENCE = 100  # seconds that any step may take
PACKAGES = os.path.join(BUILD, "third_party/guest")  # the unpacked ones
MODULES = ("net/core/failover", "drivers/net/net_failover", "drivers/virtio/virtio_ring",
           "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev",
           "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci",
           "drivers/net/virtio_net", "drivers/block/virtio_blk", "drivers/char/virtio_console",
           "drivers/block/nbd")
# The shell is busybox, which prefers its own programs to files: those that it has too need a path.
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /run
/bin/busybox --install -s /bin
export PATH=/sbin:/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in {" ".join(os.path.basename(name) for name in MODULES)}; do
    insmod /modules/$module.ko || echo "init: $module cannot be loaded"
done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
while [ ! -e /dev/vport*p1 ]; do sleep 0.1; done
port=$(echo /dev/vport*p1)
exec 3<>$port
echo "--ready--" >&3
cat <&3 | sh >&3 2>&1
poweroff -f
"""


# ---- the initramfs ----

def only(pattern):
    found = glob.glob(os.path.join(PACKAGES, pattern))
    check(len(found) == 1, f"{PACKAGES}/{pattern} is not there: make setup brings it")
    return found[0]


def libraries(programs):
    """The shared libraries of the programs: the packages' own, else this machine's."""
    own = os.path.abspath(os.path.join(PACKAGES, "usr/lib/x86_64-linux-gnu"))
    old = os.path.abspath(os.path.join(PACKAGES, "lib/x86_64-linux-gnu"))
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{own}:{old}")
    found = {}
    for program in programs:
        text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True,
                              env=environment).stdout.decode()
        check("not found" not in text, f"{program} lacks libraries:\n{text}")
        for path in re.findall(r"(/\S+) \(0x", text):
            name = os.path.basename(path)
            found["lib64/" + name if name.startswith("ld-linux") else "lib/" + name] = path
    return found


def guest_files():
    """What the initramfs holds: its path there, and the file that it is made of."""
    programs = {"sbin/nbd-client": only("sbin/nbd-client")}
    for name in ("mke2fs", "e2fsck"):
        programs["sbin/" + name] = shutil.which(name, path="/usr/sbin:/sbin")
        check(programs["sbin/" + name], f"{name} is not there: make setup brings it")
    files = {"bin/busybox": only("bin/busybox"), **programs, **libraries(programs.values())}
    kernel = only("lib/modules/*/kernel")
    for name in MODULES:
        files[f"modules/{os.path.basename(name)}.ko"] = f"{kernel}/{name}.ko"
    return files


class Cpio:
    """An archive of the form "newc", which Linux takes as an initramfs (its
    Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self, file):
        self.file = file
        self.number = 0

    def add(self, name, mode, data=b""):
        self.number += 1
        fields = [self.number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        self.put(b"070701" + b"".join(b"%08x" % field for field in fields)
                 + name.encode() + b"\0")
        self.put(data)

    def put(self, data):
        self.file.write(data + bytes(-len(data) % 4))

    def close(self):
        self.add("TRAILER!!!", 0)


def make_initramfs(target):
    files = guest_files()
    with open(target, "wb") as file:
        archive = Cpio(file)
        for folder in sorted({os.path.dirname(name) for name in files} | {"dev"}):
            archive.add(folder, stat.S_IFDIR | 0o755)
        archive.add("init", stat.S_IFREG | 0o755, INIT.encode())
        for name, path in files.items():
            with open(path, "rb") as content:
                archive.add(name, stat.S_IFREG | 0o755, content.read())
        archive.close()


# ---- the machine ----

def accelerator():
    """As the run script finds it. Under emulation Linux is faster without the crc32 instruction."""
    name, arguments = runpy.run_path("tools/run/holdfast-run")["accelerator"]()
    return arguments if name == "KVM" else [*arguments[:-1], arguments[-1] + ",-sse4.2"]


class LinuxGuest:
    def __init__(self, source, name="linux"):
        self.log = appliance.path(name + ".log")
        initramfs = appliance.path(name + ".cpio")
        make_initramfs(initramfs)
        self.socket, theirs = socket.socketpair()
        self.received = b""
        command = [
            "qemu-system-x86_64", "-machine", "q35", *accelerator(), "-nodefaults", "-no-reboot",
            "-no-user-config", "-display", "none", "-smp", "2", "-m", "512M",
            "-kernel", only("boot/vmlinuz-*"), "-initrd", initramfs,
            "-append", "console=ttyS0 panic=-1 mitigations=off tsc=reliable random.trust_cpu=on",
            "-serial", f"file:{self.log}",
            "-chardev", f"socket,id=agent,fd={theirs.fileno()}", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=agent",
            "-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile=",
            "-drive", f"file={source},if=none,id=source,format=raw,readonly=on",
            "-device", "virtio-blk-pci,drive=source"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        pass_fds=[theirs.fileno()])
        theirs.close()

    def __enter__(self):
        try:
            while self.line() != "--ready--":
                pass
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        self.process.kill()
        self.process.wait()
        if kind:
            print(f"---- {self.log} ----\n{self.kernel_log()}\n----")

    def kernel_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def line(self):
        """The next line that the guest's shell prints."""
        self.socket.settimeout(PATIENCE)
        while b"\n" not in self.received:
            piece = self.socket.recv(65536)
            check(piece, "the Linux guest has ended")
            self.received += piece
        line, self.received = self.received.split(b"\n", 1)
        return line.decode("utf-8", "replace").rstrip("\r")

    def send(self, command):
        """Starts a command; line() and rest() give what it prints."""
        script = "{ " + command + "\n} </dev/null 2>&1; echo \"--done-- $?\"\n"
        self.socket.sendall(script.encode())

    def rest(self):
        """The exit status of the command that was sent, and the lines that it printed."""
        lines = []
        while not (match := re.fullmatch(r"--done-- (\d+)", line := self.line())):
            lines.append(line)
        return int(match[1]), lines

    def run(self, command):
        """Runs a command, returns the lines that it printed; any exit status but 0 fails."""
        self.send(command)
        try:
            status, lines = self.rest()
        except TimeoutError as error:
            raise AssertionError(f"Linux: {command}: not done after {PATIENCE} s") from error
        check(status == 0, f"Linux: {command}: status {status}:\n" + "\n".join(lines))
        return lines
