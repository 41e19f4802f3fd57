#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=180
"""Goal: a client that lies, stalls or vanishes in the transmission phase costs nobody else
anything. Each function is named after a class of bug that other servers shipped, or a promise of
the fault model."""
import random
import struct
import threading

from nbd_raw import *

MIB = 1 << 20


def wrong_request_magic(server):
    for magic in (0, 0x67446698, 0xffffffff):
        with Raw(server) as client:
            client.go("demo")
            client.send_request(READ, 0, 512, magic=magic)
            client.closed()


def write_longer_than_the_maximum(server):
    """More than the advertised maximum is not even read away; the maximum is, if refused."""
    for length in (MAX_IO + 1, 0x80000000, 0xffffffff):
        with Raw(server) as client:
            client.go("demo")
            client.send_request(WRITE, 0, length)
            client.closed()
    with Raw(server) as client:
        client.go("demo")
        equal(client.request(WRITE, 1 << 63, MAX_IO, 0, bytes(MAX_IO))[0], ENOSPC)
        equal(client.request(READ, 0, 512)[0], 0)


def pipelined_large_reads_then_reset(server):
    for _ in range(5):
        client = Raw(server)
        client.go("demo")
        client.send(b"".join(struct.pack(">IHHQQI", 0x25609513, 0, READ, i, i % 32 * MIB, 8 * MIB)
                             for i in range(500)))
        client.receive(3 * MIB)
        client.reset()
        server.alive()


def pipelined_writes_then_reset(server):
    """Some of them may be done, none half."""
    for round_ in range(5):
        client = Raw(server)
        client.go("demo")
        pattern = bytes([round_ + 1])
        for i in range(50):
            client.send_request(WRITE, i * 65536, 65536, FUA if i % 7 == 0 else 0, pattern * 65536)
        client.send_request(WRITE, 50 * 65536, 65536)
        client.send(pattern * 30000)
        client.reset()
        with Raw(server) as reader:
            reader.go("demo")
            for i in range(50):
                _, data = reader.request(READ, i * 65536, 65536)
                check(data == data[:1] * 65536, f"write {i} is torn")
            check(pattern not in reader.request(READ, 50 * 65536, 65536)[1][:30000],
                  "a write whose payload never came was done")


def disconnect_inside_of_everything(server):
    request = struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 4096) + bytes(4096)
    for cut in (*range(30), 1000, 4123):
        client = Raw(server)
        client.go("demo")
        client.send(request[:cut])
        if cut % 2:
            client.reset()
        else:
            client.socket.close()


def stalled_reader_delays_nobody(server):
    """Ten clients ask for 32 MiB again and again and read nothing; a client that begins afterwards
    is served at once."""
    stalled = []
    for _ in range(10):
        client = Raw(server, receive_buffer=4096)
        client.go("demo")
        for i in range(64):
            client.send_request(READ, 0, MAX_IO)
        stalled.append(client)
    time.sleep(1)
    with Raw(server) as client:
        client.go("demo")
        for i in range(100):
            begin = time.monotonic()
            equal(client.request(READ, i * 4096, 4096)[0], 0)
            check(time.monotonic() - begin < 20, "a read waited for a stalled client")
        equal(client.request(WRITE, 0, MIB, 0, bytes(MIB))[0], 0)
        equal(client.request(FLUSH, 0, 0)[0], 0)
    for client in stalled:
        client.reset()


def stalled_writer_delays_nobody(server):
    """Ten clients announce 32 MiB and send a part."""
    stalled = []
    for _ in range(10):
        client = Raw(server)
        client.go("demo")
        client.send_request(WRITE, 0, MAX_IO)
        client.send(bytes(10000))
        stalled.append(client)
    with Raw(server) as client:
        client.go("demo")
        equal(client.request(WRITE, 0, MIB, FUA, bytes(MIB))[0], 0)
        equal(client.request(READ, 0, MIB), (0, bytes(MIB)))
    for client in stalled:
        client.socket.close()


def idle_client_stays(server):
    """Between requests a client may be silent for longer than a handshake may take."""
    with Raw(server) as client:
        client.go("demo")
        time.sleep(11)
        equal(client.request(READ, 0, 512)[0], 0)


def random_requests(server):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    for _ in range(100):
        with Raw(server) as client:
            client.go("demo")
            try:
                for _ in range(source.randrange(1, 30)):
                    length = source.choice((0, 1, 512, 4096, 100000, MAX_IO, 0xffffffff))
                    offset = source.getrandbits(64) >> source.randrange(64)
                    flags = source.choice((0, 0, 1, 2, source.getrandbits(16)))
                    client.send_request(source.randrange(9), offset, length, flags)
                    client.send(source.randbytes(source.choice((0, 0, min(length, 200000)))))
            except (ConnectionError, BrokenPipeError):
                pass


def many_connections_at_once(server):
    failures = []

    def work(number):
        try:
            with Raw(server) as client:
                client.go("demo")
                for i in range(20):
                    data = struct.pack(">II", number, i) * 512
                    equal(client.request(WRITE, number * 65536, 4096, 0, data)[0], 0)
                    equal(client.request(READ, number * 65536, 4096), (0, data))
        except Exception as problem:  # reported below, whatever it is
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"{failures}")


with Server() as target:
    for attack in (wrong_request_magic, write_longer_than_the_maximum,
                   pipelined_large_reads_then_reset, pipelined_writes_then_reset,
                   disconnect_inside_of_everything, stalled_reader_delays_nobody,
                   stalled_writer_delays_nobody, idle_client_stays, random_requests,
                   many_connections_at_once):
        begin_ = time.monotonic()
        attack(target)
        target.alive()
        print(f"{attack.__name__}: {time.monotonic() - begin_:.1f} s")
