#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: libnbd, with every request in flight at once, gets right data and right errors."""
import random
import sys

try:
    import nbd
except ImportError:
    print("python3-libnbd is not installed")
    sys.exit(77)

from nbd_raw import *

SIZE = 64 << 20


def connect(server):
    handle = nbd.NBD()
    handle.set_full_info(True)
    handle.connect_uri(f"nbd://127.0.0.1:{server.port}/demo")
    return handle


def negotiates(handle):
    equal(handle.get_size(), SIZE)
    equal(handle.get_canonical_export_name(), "demo")
    equal(handle.get_block_size(nbd.SIZE_MINIMUM), 1)
    equal(handle.get_block_size(nbd.SIZE_PREFERRED), 4096)
    equal(handle.get_block_size(nbd.SIZE_MAXIMUM), MAX_IO)
    check(not handle.get_structured_replies_negotiated(), "structured replies")


def runs_many_at_once(handle):
    """1,000 commands in flight, each on a block of its own."""
    blocks = {i: random.randbytes(4096) for i in range(1000)}
    cookies = [handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), i * 8192)
               for i, data in blocks.items()]
    while cookies:
        handle.poll(-1)
        cookies = [cookie for cookie in cookies if not handle.aio_command_completed(cookie)]
    reads = {i: (buffer := nbd.Buffer(4096), handle.aio_pread(buffer, i * 8192)) for i in blocks}
    for i, (buffer, cookie) in reads.items():
        while not handle.aio_command_completed(cookie):
            handle.poll(-1)
        equal(bytes(buffer.to_bytearray()), blocks[i], f"block {i}")


def gets_errors(handle):
    """With libnbd's own checks off, so that the server's are seen."""
    handle.set_strict_mode(0)
    for act, wanted in ((lambda: handle.pread(512, SIZE), "EINVAL"),
                        (lambda: handle.pwrite(bytes(512), SIZE), "ENOSPC"),
                        (lambda: handle.zero(512, SIZE), "ENOSPC"),
                        (lambda: handle.trim(512, SIZE), "EINVAL"),
                        (lambda: handle.cache(512, 0), "EINVAL")):
        try:
            act()
        except nbd.Error as error:
            equal(error.errno, wanted)
        else:
            raise AssertionError(f"no {wanted}")
    equal(bytes(handle.pread(512, 4096)), bytes(512))


with Server() as target:
    session = connect(target)
    negotiates(session)
    runs_many_at_once(session)
    gets_errors(session)
    session.shutdown()
