# SPDX-License-Identifier: Apache-2.0
"""For tests of the NBD server: a holdfastd under AddressSanitizer on a fresh pool, and a raw client
that can say anything, right or wrong, byte by byte. Written from the protocol's text."""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BUILD", "build")
TEST_DIR = os.environ.get("TEST_DIR") or tempfile.mkdtemp(prefix="holdfast-nbd-")

MAX_IO = 32 << 20
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO = 1, 2, 3, 5, 6, 7
OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_EXTENDED = 8, 9, 10, 11
REP_ACK, REP_SERVER, REP_INFO = 1, 2, 3
ERR_UNSUP, ERR_INVALID, ERR_UNKNOWN, ERR_TOO_BIG = (0x80000001, 0x80000003, 0x80000006, 0x80000009)
INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, ESHUTDOWN = 1, 5, 12, 22, 28, 108
FLAGS_WRITABLE = 0x0001 | 0x0004 | 0x0008 | 0x0020 | 0x0040 | 0x0100


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, wanted, what="value"):
    check(got == wanted, f"{what}: {got!r} instead of {wanted!r}")


class Server:
    """holdfastd on a fresh pool with the given volumes (name -> size)."""

    def __init__(self, volumes=None, size="256M", options=(), name="pool"):
        self.image = os.path.join(TEST_DIR, name + ".img")
        self.log = os.path.join(TEST_DIR, name + ".log")
        self.volumes = volumes or {"demo": "64M"}
        self.options = list(options)
        command = [f"{BUILD}/asan/bin/mkfs.lfsx", "-f", "--size", size]
        for volume, bytes_ in self.volumes.items():
            command += ["--volume", f"{volume}={bytes_}"]
        if os.path.exists(self.image):
            os.unlink(self.image)
        subprocess.run([*command, self.image], check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.process.kill()
                self.process.wait()
        if kind is not None:
            sys.stderr.write(self.output())

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [f"{BUILD}/asan/bin/holdfastd", "--nbd", "127.0.0.1:0", *self.options, self.image],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not re.search(r"^holdfastd: ready$", self.output(), re.M):
            check(self.process.poll() is None and time.monotonic() < deadline,
                  f"holdfastd does not serve:\n{self.output()}")
            time.sleep(0.01)
        self.port = int(re.search(r"NBD on 127\.0\.0\.1:(\d+)", self.output())[1])

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self, within=20):
        """Ends it as an administrator would; sanitizers' findings are exit codes."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(within)
        equal(self.process.returncode, 0, "holdfastd's exit code")
        check("Sanitizer" not in self.output() and "runtime error" not in self.output(),
              "a sanitizer complained")

    def alive(self):
        """Still serves others, whatever happened."""
        check(self.process.poll() is None, f"holdfastd died with {self.process.returncode}")
        with Raw(self) as client:
            client.go(next(iter(self.volumes)))
            equal(client.request(READ, 0, 4096)[0], 0, "a read's error")
            client.send_request(DISC, 0, 0)


class Raw:
    """One connection. Nothing is sent that was not asked for."""

    def __init__(self, server, greet=True, flags=3, timeout=30, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.cookie = 0
        if greet:
            equal(self.receive(18), b"NBDMAGICIHAVEOPT\0\3", "the greeting")
            self.send(struct.pack(">I", flags))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, size):
        pieces = bytearray()
        while len(pieces) < size:
            piece = self.socket.recv(min(size - len(pieces), 1 << 20))
            if not piece:
                raise ConnectionError(f"closed after {len(pieces)} of {size} bytes")
            pieces += piece
        return bytes(pieces)

    def closed(self):
        """The server ends the connection, without a word more."""
        try:
            equal(self.socket.recv(1), b"", "what comes where the end should")
        except ConnectionResetError:
            pass

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # ---- options ----

    def send_option(self, option, payload=b"", length=None):
        self.send(b"IHAVEOPT" + struct.pack(">II", option, len(payload) if length is None
                                            else length) + payload)

    def option_reply(self, option):
        magic, echo, kind, length = struct.unpack(">QIII", self.receive(20))
        equal(magic, 0x3e889045565a9, "the option reply's magic")
        equal(echo, option, "the option that is answered")
        return kind, self.receive(length)

    def option(self, option, payload=b"", length=None):
        """All replies up to the final one: [(type, payload)]."""
        self.send_option(option, payload, length)
        replies = [self.option_reply(option)]
        while replies[-1][0] in (REP_SERVER, REP_INFO):
            replies.append(self.option_reply(option))
        return replies

    @staticmethod
    def info_payload(name, types=()):
        name = name.encode() if isinstance(name, str) else name
        return (struct.pack(">I", len(name)) + name
                + struct.pack(f">H{len(types)}H", len(types), *types))

    def go(self, name, types=()):
        replies = self.option(OPT_GO, self.info_payload(name, types))
        equal(replies[-1][0], REP_ACK, "the answer to GO")
        return {struct.unpack(">H", payload[:2])[0]: payload[2:] for kind, payload in replies[:-1]}

    # ---- requests ----

    def send_request(self, command, offset, length, flags=0, data=b"", magic=0x25609513):
        self.cookie += 1
        self.send(struct.pack(">IHHQQI", magic, flags, command, self.cookie, offset, length) + data)
        return self.cookie

    def reply(self):
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        equal(magic, 0x67446698, "the reply's magic")
        return error, cookie

    def request(self, command, offset, length, flags=0, data=b""):
        """(error, data) of one request."""
        sent = self.send_request(command, offset, length, flags, data)
        error, cookie = self.reply()
        equal(cookie, sent, "the reply's cookie")
        return error, self.receive(length) if command == READ and error == 0 else b""
