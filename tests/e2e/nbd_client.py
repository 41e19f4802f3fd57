# SPDX-License-Identifier: Apache-2.0
"""A small NBD client for tests that must see each single answer: one request at a time, simple
replies, written from the protocol's text and not from the server."""
import socket
import struct

NBD_OPT_GO = 7
NBD_REP_ACK, NBD_REP_INFO = 1, 3
NBD_INFO_EXPORT = 0
NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES = (
    0, 1, 2, 3, 4, 6)
NBD_CMD_FLAG_FUA = 1
EIO = 5


class Refused(Exception):
    """The server does not let this client have the export."""


class NbdError(Exception):
    """The server answered a command with this error number."""

    def __init__(self, number):
        super().__init__(f"NBD error {number}")
        self.number = number


class Client:
    def __init__(self, port, export, timeout=30):
        self.cookie = 0
        self.connection = socket.create_connection(("127.0.0.1", port), timeout)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        magic, option_magic, flags = struct.unpack(">8s8sH", self.receive(18))
        if (magic, option_magic) != (b"NBDMAGIC", b"IHAVEOPT"):
            raise ConnectionError("this is not an NBD server")
        self.connection.sendall(struct.pack(">I", flags & 3))
        self.go(export.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def receive(self, size):
        pieces = bytearray()
        while len(pieces) < size:
            piece = self.connection.recv(min(size - len(pieces), 1 << 20))
            if not piece:
                raise ConnectionError("the server closed the connection")
            pieces += piece
        return bytes(pieces)

    def go(self, name):
        payload = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
        self.connection.sendall(b"IHAVEOPT" + struct.pack(">II", NBD_OPT_GO, len(payload))
                                + payload)
        while True:
            _, _, kind, size = struct.unpack(">QIII", self.receive(20))
            answer = self.receive(size)
            if kind == NBD_REP_ACK:
                return
            if kind != NBD_REP_INFO:
                raise Refused(f"NBD_OPT_GO was refused with {kind:#x}: {answer!r}")
            if struct.unpack(">H", answer[:2])[0] == NBD_INFO_EXPORT:
                self.size, self.flags = struct.unpack(">QH", answer[2:12])

    def send(self, command, offset, length, flags=0, data=b""):
        self.cookie += 1
        self.connection.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, self.cookie,
                                            offset, length) + data)

    def answer(self):
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        if magic != 0x67446698 or cookie != self.cookie:
            raise ConnectionError(f"a reply of {magic:#x} to {cookie}, not to {self.cookie}")
        if error:
            raise NbdError(error)

    def read(self, offset, length):
        self.send(NBD_CMD_READ, offset, length)
        self.answer()
        return self.receive(length)

    def write(self, offset, data, flags=0):
        self.send(NBD_CMD_WRITE, offset, len(data), flags, data)
        self.answer()

    def trim(self, offset, length):
        self.send(NBD_CMD_TRIM, offset, length)
        self.answer()

    def flush(self):
        self.send(NBD_CMD_FLUSH, 0, 0)
        self.answer()
