#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: Linux's own NBD driver works with Holdfast, over several connections: ext4 is made on a
volume, filled, compared, checked, and trimmed, which frees space in the pool. After the kill of
Holdfast in the middle of writes ext4 recovers from its journal, is clean, and has everything that
was synced. A discard of the whole volume leaves nothing of it. Holdfast has a static address here.

After the kill Linux gives its mount up and attaches anew. To reconnect below a mounted file system
would be wrong with any server that has a write cache: what was written but not flushed is gone, and
Linux would never write it again."""
import hashlib
import io
import os
import random
import tarfile
import time

import appliance
from appliance import MIB, check
from linux_guest import HOST, PATIENCE, LinuxGuest

KEPT, TRIMMED = 40, 8  # files: of many sizes; of 2 MiB each
SLICE, SLICES = MIB // 2, 24  # what the writer under the crash stores: pieces of the source
# In the background: files, each durable before the next one. Beside it a writer that never syncs.
# (fsync it must be: syncfs says yes also on an ext4 that has just lost its device.)
WRITER = f"""{{
touch /tmp/go
while [ -e /tmp/go ]; do
    dd if=/dev/vda of=/mnt/noise bs=64k count=32 conv=notrunc
done >/dev/null 2>&1 &
i=1
while dd if=/dev/vda of=/mnt/written/$i bs={SLICE} count=1 skip=$((i % {SLICES})) conv=fsync \
    2>/dev/null
do
    echo "durable $i"
    i=$((i + 1))
done
rm /tmp/go
wait
}} &"""


def make_source(path, generator):
    """A tar file of seeded files in two folders, with the SHA-256 sums of each folder's files."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for folder, count in (("kept", KEPT), ("trimmed", TRIMMED)):
            sums = ""
            for number in range(count):
                size = 2 * MIB if folder == "trimmed" else generator.choice(
                    [0, 1, 4095, 4096, 65537, generator.randrange(MIB)])
                data = generator.randbytes(size)
                add(f"{folder}/{number}", data)
                sums += f"{hashlib.sha256(data).hexdigest()}  {folder}/{number}\n"
            add(folder + ".sums", sums.encode())
    os.truncate(path, -(-os.path.getsize(path) // MIB) * MIB)


def holdfast(pool, name):
    return appliance.Machine([pool], name, ["--append", "ip=10.0.2.15/24,10.0.2.2"])


def attach(linux, machine, connections=2):
    linux.run(f"/sbin/nbd-client {HOST} {machine.port} /dev/nbd0 -N demo -C {connections} "
              f"-t {PATIENCE}")
    queues = linux.run("ls /sys/block/nbd0/mq")  # one for each connection
    check(len(queues) == connections, f"{connections} connections, queues {queues}")


def disconnect(linux):
    """All requests fail from here on. Returns what the writers had to say until they ended."""
    return linux.run("/sbin/nbd-client -d /dev/nbd0 && wait")


def detach(linux):
    disconnect(linux)
    until_free(linux)


def until_free(linux):
    """The driver lets go of a device a moment after the last user has."""
    linux.run("while /sbin/nbd-client -c /dev/nbd0 >/dev/null; do sleep 0.1; done")


def mount(linux):
    linux.run("mount -t ext4 /dev/nbd0 /mnt")


def unmount(linux):
    linux.run("umount /mnt")
    return linux.run("/sbin/e2fsck -fn /dev/nbd0")[-1]


def compare(linux, *folders):
    for folder in folders:
        linux.run(f"cd /mnt && sha256sum -c {folder}.sums && cd /")


def used_blocks(machine, pool):
    machine.power_off()
    return appliance.fsck(pool)["summary"]["data_blocks"]


def fill(linux, pool):
    """Makes and fills the file system; the blocks that it takes in the pool."""
    with holdfast(pool, "fill") as machine:
        attach(linux, machine, 1)
        linux.run("/sbin/mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 /dev/nbd0")
        mount(linux)
        linux.run("tar -x -f /dev/vda -C /mnt")
        unmount(linux)
        detach(linux)
        attach(linux, machine)
        mount(linux)
        compare(linux, "kept", "trimmed")
        unmount(linux)
        detach(linux)
        return used_blocks(machine, pool)


def trim(linux, pool):
    """After another boot of Holdfast; the blocks that are left after fstrim."""
    with holdfast(pool, "trim") as machine:
        attach(linux, machine)
        mount(linux)
        compare(linux, "kept", "trimmed")
        linux.run("rm -r /mnt/trimmed && sync && fstrim /mnt")
        unmount(linux)
        detach(linux)
        return used_blocks(machine, pool)


def write_until_killed(linux, pool, generator):
    """Returns how many files Linux says were durable."""
    with holdfast(pool, "killed") as machine:
        attach(linux, machine)
        mount(linux)
        linux.run("mkdir /mnt/written && sync")
        linux.send(WRITER)
        while linux.line() != "durable 8":
            pass
        time.sleep(generator.uniform(0.0, 1.0))
        machine.kill()
        lines = disconnect(linux)
        linux.run("umount /mnt")
        until_free(linux)
    appliance.fsck(pool)
    return max([8] + [int(line.split()[1]) for line in lines if line.startswith("durable ")])


def recover(linux, pool, source, durable):
    """Linux attaches again; ext4's journal is replayed, and what was durable is there."""
    with holdfast(pool, "recovered") as machine:
        attach(linux, machine)
        mount(linux)
        check(linux.run("dmesg | grep 'nbd0): recovery complete'"), "no journal was replayed")
        compare(linux, "kept")
        sums = ""
        with open(source, "rb") as file:
            for number in range(1, durable + 1):
                file.seek(number % SLICES * SLICE)
                sums += f"{hashlib.sha256(file.read(SLICE)).hexdigest()}  /mnt/written/{number}\n"
        linux.run(f"cat >/tmp/sums <<END\n{sums}END\nsha256sum -c /tmp/sums")
        print(unmount(linux))
        linux.run("blkdiscard /dev/nbd0")
        linux.run("test -z \"$(head -c 8M /dev/nbd0 | tr -d '\\0')\"")
        detach(linux)
        left = used_blocks(machine, pool)
        check(left == 0, f"{left} data blocks are left of a volume that was discarded")


def main():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    source, pool = appliance.path("source.tar"), appliance.path("pool.img")
    make_source(source, generator)
    appliance.mkfs(pool, "1G", {"demo": "256M"})
    with LinuxGuest(source) as linux:
        full = fill(linux, pool)
        left = trim(linux, pool)
        freed = (full - left) * 4096
        # Meanwhile ext4 wrote to parts of its journal and its tables that were empty before.
        check(freed >= TRIMMED * 2 * MIB * 2 // 3, f"fstrim freed {freed} bytes in the pool")
        print(f"fstrim freed {freed // 1024} KiB in the pool")
        durable = write_until_killed(linux, pool, generator)
        print(f"killed with {durable} durable files")
        recover(linux, pool, source, durable)


main()
