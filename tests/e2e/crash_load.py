# SPDX-License-Identifier: Apache-2.0
"""Load that can be judged after a crash. One client writes, trims and flushes at random, every
block stamped with its place and the number of its write. After a crash the volume must be what the
first N commands made of it, for one N not below the last one that was known to be durable: no torn
write, no lost flush, no hole in the order."""
import random
import struct
import threading

from appliance import check, fsck
from nbd_client import NBD_CMD_FLAG_FUA, Client, NbdError

BLOCK = 4096
BLOCKS = 8192
MAX_RUN = 128
CHUNK = 256


def stamp(block, number):
    return struct.pack("<QQ", block, number) * (BLOCK // 16)


class Load:
    def __init__(self, volume, seed):
        self.volume = volume
        self.random = random.Random(seed)
        self.state = [0] * BLOCKS  # the number of the write that each block shows; 0: zeros
        self.durable = 0           # commands up to this number must survive
        self.history = []          # (number, first, count, is_write) since the state
        self.number = 0

    def write_until_crash(self, server, seconds):
        timer = threading.Timer(seconds, server.kill)
        timer.start()
        try:
            with Client(server.port, self.volume) as client:
                while True:
                    self.step(client)
        except NbdError:
            raise
        except (OSError, ConnectionError):
            pass
        finally:
            timer.join()

    def step(self, client):
        kind = self.random.random()
        if kind < 0.08:
            number = self.number
            client.flush()
            self.durable = number
            return
        first = self.random.randrange(BLOCKS)
        count = min(self.random.choice([1, 1, 2, 7, 32, MAX_RUN]), BLOCKS - first)
        self.number += 1
        self.history.append((self.number, first, count, kind >= 0.13))
        if kind < 0.13:
            client.trim(first * BLOCK, count * BLOCK)
            return
        fua = kind > 0.97
        data = b"".join(stamp(block, self.number) for block in range(first, first + count))
        client.write(first * BLOCK, data, NBD_CMD_FLAG_FUA if fua else 0)
        if fua:
            self.durable = self.number

    def read_back(self, server):
        found = []
        with Client(server.port, self.volume) as client:
            for first in range(0, BLOCKS, CHUNK):
                data = client.read(first * BLOCK, CHUNK * BLOCK)
                for block in range(first, first + CHUNK):
                    content = data[(block - first) * BLOCK:][:BLOCK]
                    place, number = struct.unpack("<QQ", content[:16])
                    whole = content == (stamp(block, number) if number else bytes(BLOCK))
                    check(whole, f"block {block} is torn or not its own: {place} {number}")
                    found.append(number)
        return found

    def verify(self, server):
        """Finds N; from here on the state is what was found."""
        found = self.read_back(server)
        expected, reached = list(self.state), self.history[0][0] - 1
        good = None
        for number, first, count, is_write in [*self.history, (self.number + 1, 0, 0, True)]:
            if reached >= self.durable and (
                    found == expected
                    or not is_write and self.is_partly_trimmed(found, expected, first, count)):
                good = reached
            expected[first:first + count] = [number if is_write else 0] * count
            reached = number
        check(good is not None, self.explain(found))
        lost = self.number - good
        self.state, self.history, self.durable = found, [], 0
        return lost

    @staticmethod
    def is_partly_trimmed(found, before, first, count):
        """A trim of many extents may be done in part after a crash (docs/LIMITS.md)."""
        end = first + count
        return (found[:first] == before[:first] and found[end:] == before[end:]
                and all(found[i] in (0, before[i]) for i in range(first, end)))

    def explain(self, found):
        expected = list(self.state)
        for number, first, count, is_write in self.history:
            if number <= self.durable:
                expected[first:first + count] = [number if is_write else 0] * count
        wrong = [(block, found[block], expected[block]) for block in range(BLOCKS)
                 if found[block] != expected[block]]
        return (f"the volume is no state that the commands made: durable up to {self.durable}, "
                f"sent up to {self.number}; (block, found, expected if exactly the durable ones "
                f"survived): {wrong[:20]}")


def rounds(make_server, pool, volume, count, longest, seed=None):
    """Crashes `count` times, each time at a random moment, and judges what is left."""
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    load = Load(volume, seed)
    for number in range(count):
        with make_server(f"round-{number}") as server:
            load.write_until_crash(server, load.random.uniform(0.1, longest))
        sent = len(load.history)
        if not load.history:
            continue
        fsck(pool)
        with make_server(f"judge-{number}") as server:
            lost = load.verify(server)
            server.power_off()
        fsck(pool)
        print(f"round {number}: {sent} commands sent, the last {lost} not kept", flush=True)
