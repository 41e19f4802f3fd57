#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: each command does what the protocol says, at any alignment, and each wrong request gets its
one right error, after which the connection goes on."""
import random
import struct

from nbd_raw import *

SIZE = 64 << 20


def reads_what_was_written(client):
    """Random commands against a model of the volume's first MiB."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    model = bytearray(1 << 20)
    for _ in range(400):
        offset = source.randrange(len(model))
        length = min(source.choice((1, 511, 512, 4096, 5000, 70000, 300000)), len(model) - offset)
        command = source.choice((READ, READ, WRITE, WRITE, TRIM, WRITE_ZEROES))
        flags = source.choice((0, 0, FUA))
        if command == READ:
            equal(client.request(READ, offset, length), (0, bytes(model[offset:offset + length])))
        elif command == WRITE:
            data = source.randbytes(length)
            equal(client.request(WRITE, offset, length, flags, data)[0], 0)
            model[offset:offset + length] = data
        elif command == WRITE_ZEROES:
            flags |= source.choice((0, NO_HOLE))
            equal(client.request(WRITE_ZEROES, offset, length, flags)[0], 0)
            model[offset:offset + length] = bytes(length)
        else:
            equal(client.request(TRIM, offset, length, flags)[0], 0)
            first, end = -(-offset // 4096) * 4096, (offset + length) // 4096 * 4096
            if first < end:
                model[first:end] = bytes(end - first)
    equal(client.request(FLUSH, 0, 0)[0], 0)
    equal(client.request(READ, 0, len(model)), (0, bytes(model)), "all of it")


def carries_the_largest_requests(client):
    data = random.randbytes(MAX_IO)
    equal(client.request(WRITE, SIZE - MAX_IO, MAX_IO, FUA, data)[0], 0, "a write of 32 MiB")
    check(client.request(READ, SIZE - MAX_IO, MAX_IO) == (0, data), "what it reads differs")
    equal(client.request(WRITE_ZEROES, 0, SIZE)[0], 0, "zeroes over everything")
    equal(client.request(TRIM, 0, SIZE)[0], 0, "a trim of everything")


def refuses_wrong_requests(client):
    top = (1 << 64) - 1
    for command, offset, length, flags, error in (
            (READ, 0, 0, 0, EINVAL), (READ, SIZE, 1, 0, EINVAL), (READ, SIZE - 1, 2, 0, EINVAL),
            (READ, top, 1, 0, EINVAL), (READ, top - 4094, 4096, 0, EINVAL),
            (READ, 0, MAX_IO + 1, 0, EINVAL), (READ, 0, 0xffffffff, 0, EINVAL),
            (READ, 0, 512, DF, EINVAL), (READ, 0, 512, NO_HOLE, EINVAL),
            (READ, 0, 512, 1 << 15, EINVAL), (WRITE, 0, 0, 0, EINVAL),
            (WRITE, SIZE, 512, 0, ENOSPC), (WRITE, SIZE - 511, 512, 0, ENOSPC),
            (WRITE, top, 512, 0, ENOSPC), (WRITE, 0, 512, NO_HOLE, EINVAL),
            (WRITE, SIZE, MAX_IO, 0, ENOSPC), (WRITE, top - 511, 65536, FUA, ENOSPC),
            (TRIM, SIZE - 511, 512, 0, EINVAL), (TRIM, 1, 0xffffffff, 0, EINVAL),
            (TRIM, 0, 0, 0, EINVAL), (TRIM, 0, 512, NO_HOLE, EINVAL),
            (WRITE_ZEROES, SIZE - 1, 2, 0, ENOSPC),
            (WRITE_ZEROES, 0, 512, FAST_ZERO, EINVAL),
            (WRITE_ZEROES, top, 0xffffffff, 0, ENOSPC),
            (FLUSH, 512, 0, 0, EINVAL), (FLUSH, 0, 512, 0, EINVAL), (CACHE, 0, 4096, 0, EINVAL),
            (BLOCK_STATUS, 0, 4096, REQ_ONE, EINVAL), (8, 0, 0, 0, EINVAL),
            (0xffff, 0, 512, 0, EINVAL)):
        data = b"\x25\x60\x95\x13" * (length // 4 + 1) if command == WRITE else b""
        got = client.request(command, offset, length, flags, data[:length])[0]
        equal(got, error, f"command {command} of {length} at {offset:#x}, flags {flags:#x}")
    equal(client.request(READ, 0, 4096), (0, bytes(4096)), "nothing was written")


def accepts_fua_with_every_command(client):
    for command, length in ((READ, 512), (FLUSH, 0), (TRIM, 4096), (WRITE_ZEROES, 4096)):
        equal(client.request(command, 0, length, FUA)[0], 0, f"command {command} with FUA")


def answers_pipelined_requests(client):
    """200 in flight: each gets one answer, with its own data, in whatever order."""
    blocks = {}
    for i in range(200):
        blocks[client.send_request(WRITE, i * 4096, 4096, 0, bytes([i]) * 4096)] = i
    while blocks:
        error, cookie = client.reply()
        equal(error, 0)
        del blocks[cookie]
    for i in range(200):
        blocks[client.send_request(READ, i * 4096, 4096)] = i
    while blocks:
        error, cookie = client.reply()
        equal((error, client.receive(4096)), (0, bytes([blocks.pop(cookie)]) * 4096))


def answers_what_came_before_disc(server):
    for ending in ("disc", "half-close"):
        with Raw(server) as client:
            client.go("demo")
            for i in range(50):
                client.send_request(READ, i * 65536, 65536)
            if ending == "disc":
                client.send_request(DISC, 0, 0)
            else:
                client.socket.shutdown(1)
            for _ in range(50):
                equal(client.reply()[0], 0)
                client.receive(65536)
            client.closed()


def shares_between_connections(server):
    """CAN_MULTI_CONN: what one wrote the other reads, and its flush covers it."""
    with Raw(server) as one, Raw(server) as other:
        one.go("demo")
        other.go("demo")
        equal(one.request(WRITE, 8192, 5, 0, b"hello")[0], 0)
        equal(other.request(READ, 8192, 5), (0, b"hello"))
        equal(other.request(FLUSH, 0, 0)[0], 0)
    server.process.kill()
    server.process.wait()
    server.start()
    with Raw(server) as one:
        one.go("demo")
        equal(one.request(READ, 8192, 5), (0, b"hello"), "after a crash")


def serves_read_only(server):
    with Raw(server) as client:
        infos = client.go("demo")
        flags = struct.unpack(">QH", infos[INFO_EXPORT])[1]
        check(flags & 2, "READ_ONLY is not advertised")
        check(not flags & 0x60, "TRIM or WRITE_ZEROES is advertised")
        equal(client.request(WRITE, 0, 4, 0, b"evil")[0], EPERM)
        equal(client.request(TRIM, 0, 4096)[0], EPERM)
        equal(client.request(WRITE_ZEROES, 0, 4096)[0], EPERM)
        equal(client.request(FLUSH, 0, 0)[0], 0)
        equal(client.request(READ, 8192, 5), (0, b"hello"))


with Server() as target:
    with Raw(target) as session:
        session.go("demo")
        reads_what_was_written(session)
        carries_the_largest_requests(session)
        refuses_wrong_requests(session)
        accepts_fua_with_every_command(session)
        answers_pipelined_requests(session)
    answers_what_came_before_disc(target)
    shares_between_connections(target)
    target.stop()
    with open(target.image, "rb") as image:
        before = image.read()
    target.options.append("--read-only")
    target.start()
    serves_read_only(target)
    target.stop()
    with open(target.image, "rb") as image:
        check(image.read() == before, "serving read-only changed the image")
