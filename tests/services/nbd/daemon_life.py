#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: holdfastd starts and ends as its --help says: with clients attached in every state, at the
second signal, and with a clear message and exit code for what it cannot do."""
import struct

from nbd_raw import *


def stops_with_clients_in_every_state():
    """Regression class: use after free when the server stops with clients attached. What was
    acknowledged is there afterwards."""
    server = Server()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        server.start()
        fresh = Raw(server, greet=False)
        greeted = Raw(server)
        in_option = Raw(server)
        in_option.send(b"IHAVEOPT" + struct.pack(">II", OPT_GO, 100) + b"part")
        idle, in_payload, busy, deaf = (Raw(server) for _ in range(4))
        for client in (idle, in_payload, busy, deaf):
            client.go("demo")
        in_payload.send_request(WRITE, 0, MAX_IO, 0, bytes(1000))
        for i in range(200):
            deaf.send_request(READ, 0, MAX_IO)
            busy.send_request(WRITE, i * 4096, 4096, 0, b"done" * 1024)
        acknowledged = [busy.reply() for _ in range(20)]
        begin = time.monotonic()
        server.process.send_signal(signal_)
        try:
            while True:
                acknowledged.append(busy.reply())
        except (ConnectionError, OSError):
            pass
        equal(server.process.wait(20), 0, "the exit code")
        check("Sanitizer" not in server.output(), server.output())
        check(time.monotonic() - begin < 12, "the stop took too long")
        del fresh, greeted, in_option, idle, in_payload, deaf
        server.start()
        with Raw(server) as client:
            client.go("demo")
            done = sum(client.request(READ, i * 4096, 4096)[1] == b"done" * 1024
                       for i in range(200))
            good = sum(error == 0 for error, _ in acknowledged)
            check(done >= good, f"{good} writes were acknowledged, {done} are there")
        server.stop()


def second_signal_ends_at_once():
    """While the first waits for a client that takes nothing."""
    server = Server()
    server.start()
    deaf = Raw(server, receive_buffer=4096)
    deaf.go("demo")
    for _ in range(20):
        deaf.send_request(READ, 0, MAX_IO)
    time.sleep(0.5)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    check(server.process.poll() is None, "the first signal did not wait for the client")
    server.process.send_signal(signal.SIGTERM)
    equal(server.process.wait(2), 1, "the exit code")


def listens_where_it_is_told():
    path = os.path.join(TEST_DIR, "socket")
    with Server(options=("--nbd", f"unix:{path}", "--cache", "16M")) as server:
        check(f"NBD on unix:{path}" in server.output(), server.output())
        check('volume "demo", 64 MiB' in server.output(), server.output())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            equal(client.recv(8), b"NBDMAGIC")
        server.alive()
    check(not os.path.exists(path), "the socket is still there")


def run(*arguments):
    done = subprocess.run([f"{BUILD}/asan/bin/holdfastd", *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=30, text=True)
    check("Sanitizer" not in done.stderr, done.stderr)
    return done.returncode, done.stdout, done.stderr


def refuses(wanted, message, *arguments):
    code, _, text = run(*arguments)
    equal(code, wanted, f"the exit code of {arguments}")
    check(message in text, f"{arguments}: {text!r} does not say {message!r}")


def says_what_is_wrong():
    server = Server(name="errors")
    image, here = server.image, "127.0.0.1:0"
    junk = os.path.join(TEST_DIR, "junk")
    with open(junk, "wb") as file:
        file.write(os.urandom(1 << 20))
    refuses(2, "which device", "--nbd", here)
    refuses(2, "where to listen", image)
    refuses(2, "only one device", "--nbd", here, image, image)
    refuses(2, "not a size", "--nbd", here, "--cache", "much", image)
    refuses(2, "not a size", "--nbd", here, "--cache", "99999999999E", image)
    refuses(2, "--help", "--bogus", image)
    refuses(1, "does not exist", "--nbd", here, os.path.join(TEST_DIR, "nowhere"))
    refuses(1, "neither a disk nor a file", "--nbd", here, TEST_DIR)
    refuses(1, "holds no LFSX pool", "--nbd", here, junk)
    refuses(1, "HOST:PORT", "--nbd", "nonsense", image)
    with server:
        refuses(1, "in use", "--nbd", here, image)
        other = Server(name="errors2")
        refuses(1, "cannot listen", "--nbd", f"127.0.0.1:{server.port}", other.image)
    code, text, _ = run("--help")
    check(code == 0 and text.startswith("Usage: holdfastd"), text)
    code, text, _ = run("--version")
    check(code == 0 and text.startswith("holdfastd"), text)


stops_with_clients_in_every_state()
second_signal_ends_at_once()
listens_where_it_is_told()
says_what_is_wrong()
