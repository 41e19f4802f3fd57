# SPDX-License-Identifier: Apache-2.0
"""What the tests of the decoder do to pools: random operations over NBD, and what they should have
made of the volumes."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from nbd_client import NBD_CMD_FLAG_FUA, Client

BLOCK = 4096


class Scene:
    def __init__(self, chance, volumes):
        self.chance = chance
        self.contents = {name: bytearray(size) for name, size in volumes.items()}

    def data(self, length):
        """Bytes that compress well, so that images can be kept."""
        word = self.chance.randbytes(2)
        return (word * length)[:length]

    def operate(self, port, count, durable):
        """Random writes and trims. With `durable` each is known to be durable when it returns."""
        for name, content in self.contents.items():
            with Client(port, name) as client:
                for _ in range(count):
                    self.step(client, content, durable)
                if durable:
                    client.flush()

    def step(self, client, content, durable):
        chance = self.chance
        unit = chance.choice([1, 512, BLOCK, BLOCK, BLOCK])
        offset = chance.randrange(len(content)) // unit * unit
        length = min(unit * chance.choice([1, 1, 2, 5, 17]), len(content) - offset)
        if chance.random() < 0.15:
            begin, end = -(-offset // BLOCK) * BLOCK, (offset + length) // BLOCK * BLOCK
            if begin < end:
                client.trim(begin, end - begin)
                content[begin:end] = bytes(end - begin)
            return
        data = self.data(length)
        client.write(offset, data, NBD_CMD_FLAG_FUA if durable and chance.random() < 0.5 else 0)
        content[offset:offset + length] = data


def served_contents(port, sizes):
    """What a server shows of each volume."""
    contents = {}
    for name, size in sizes.items():
        with Client(port, name) as client:
            contents[name] = b"".join(client.read(at, min(1 << 20, size - at))
                                      for at in range(0, size, 1 << 20))
    return contents
