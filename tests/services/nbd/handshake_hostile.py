#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever a stranger says before the transmission phase, the server lives, serves others,
and answers or hangs up as the protocol says. Each function is named after a class of bug that other
servers shipped."""
import random
import struct
import threading

from nbd_raw import *

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def option_length_plus_one_overflows(server):
    for option in (OPT_EXPORT_NAME, OPT_INFO, OPT_GO, OPT_LIST, 4711):
        for length in (0xffffffff, 0xfffffffe, 0x80000000, 0x7fffffff):
            with Raw(server) as client:
                client.send_option(option, b"", length)
                client.closed()


def option_payload_longer_than_the_buffer(server):
    """Up to a limit the payload is read away and the option refused; nothing is written past the
    buffer, and nothing of the payload is taken for an option."""
    trap = b"IHAVEOPT" + struct.pack(">II", OPT_ABORT, 0)
    with Raw(server) as client:
        for length in (8193, 10000, 65536, 1 << 20):
            payload = (trap * (length // len(trap) + 1))[:length]
            for option in (OPT_GO, OPT_INFO, OPT_LIST, OPT_STARTTLS, 4711):
                equal(client.option(option, payload)[0][0], ERR_TOO_BIG, f"{length} bytes")
        client.go("demo")


def export_name_longer_than_the_buffer(server):
    for length in (256, 257, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192, 8193, 65536):
        name = b"n" * length
        with Raw(server) as client:
            client.send_option(OPT_EXPORT_NAME, name)
            client.closed()
        with Raw(server) as client:
            wanted = ERR_UNKNOWN if length <= 4096 else ERR_TOO_BIG
            for option in (OPT_INFO, OPT_GO):
                equal(client.option(option, client.info_payload(name))[0][0], wanted,
                      f"a name of {length} bytes")
            client.go("demo")


def error_text_for_a_maximal_name(server):
    """The refusal's text is short however long the name is, and holds nothing of it."""
    with Raw(server) as client:
        for name in (b"%s%n" * 1024, b"\xff" * 4096, b"\n" * 4096):
            kind, text = client.option(OPT_GO, client.info_payload(name))[0]
            equal(kind, ERR_UNKNOWN)
            check(0 < len(text) < 200 and b"%" not in text and b"\n" not in text, f"text {text!r}")


def lengths_inside_the_payload_lie(server):
    payloads = [b"", b"\0", b"\0" * 5, struct.pack(">I", 0xffffffff) + b"\0\0",
                struct.pack(">I", 0xfffffffe) + b"\0\0demo", struct.pack(">I", 1) + b"\0\0",
                struct.pack(">IH", 0, 1), struct.pack(">IH", 0, 0xffff),
                struct.pack(">I4sH", 4, b"demo", 3) + b"\0\0", struct.pack(">I4sHx", 4, b"demo", 0),
                struct.pack(">I", 4) + b"dem", struct.pack(">I", 4) + b"demo\0"]
    with Raw(server) as client:
        for payload in payloads:
            for option in (OPT_INFO, OPT_GO):
                equal(client.option(option, payload)[0][0], ERR_INVALID, f"payload {payload!r}")
        client.go("demo")


def unknown_export_kills_the_server(server):
    for _ in range(20):
        with Raw(server) as client:
            client.send_option(OPT_EXPORT_NAME, b"nowhere")
            client.closed()


def port_scanner(server):
    for hello in (b"", HTTP, b"\0", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 500,
                  b"SSH-2.0-scan\r\n", b"\xff" * 1000, b"NBDMAGIC"):
        for reset in (False, True):
            client = Raw(server, greet=False)
            client.send(hello)
            if reset:
                client.reset()
            else:
                client.socket.shutdown(1)
                while client.socket.recv(4096):
                    pass
                client.socket.close()


def commands_in_the_wrong_order(server):
    with Raw(server) as client:  # a request where an option must be
        client.send(struct.pack(">IHHQQI", 0x25609513, 0, READ, 1, 0, 512))
        client.closed()
    with Raw(server, greet=False) as client:  # an option instead of the client's flags
        client.receive(18)
        client.send_option(OPT_LIST)
        client.closed()
    with Raw(server) as client:  # an option where a request must be
        client.go("demo")
        client.send_option(OPT_LIST)
        client.send(bytes(100))
        client.closed()
    with Raw(server) as client:  # options before GO's answer was read
        client.send_option(OPT_GO, client.info_payload("nowhere"))
        client.send_option(OPT_LIST)
        equal(client.option_reply(OPT_GO)[0], ERR_UNKNOWN)
        equal(client.option_reply(OPT_LIST)[0], REP_SERVER)


def options_kept_across_starttls(server):
    """STARTTLS is refused; what was sent behind it in clear text is an option of its own, and
    nothing that was said before it counts as chosen."""
    with Raw(server) as client:
        client.send_option(OPT_STARTTLS)
        client.send_option(OPT_LIST)
        equal(client.option_reply(OPT_STARTTLS)[0], ERR_UNSUP)
        equal(client.option_reply(OPT_LIST)[0], REP_SERVER)


def unknown_client_flags(server):
    for flags in (4, 0x80000000, 0xffffffff):
        with Raw(server, flags=flags) as client:
            client.closed()


def closing_in_every_state(server):
    """The whole of a good session, cut after each byte, by an end and by a reset."""
    session = (struct.pack(">I", 3)
               + b"IHAVEOPT" + struct.pack(">II", OPT_LIST, 0)
               + b"IHAVEOPT" + struct.pack(">II", OPT_GO, 10) + Raw.info_payload("demo")
               + struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 16) + b"x" * 16
               + struct.pack(">IHHQQI", 0x25609513, 0, READ, 2, 0, 16))
    for cut in range(len(session) + 1):
        client = Raw(server, greet=False)
        client.send(session[:cut])
        if cut % 2:
            client.reset()
        else:
            client.socket.close()


def endless_options(server):
    with Raw(server) as client:
        try:
            for _ in range(1000):
                client.option(OPT_LIST)
            raise AssertionError("options without an end are allowed")
        except (ConnectionError, BrokenPipeError):
            pass


def random_bytes(server):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    for _ in range(200):
        greet = source.random() < 0.8
        with Raw(server, greet=greet) as client:
            if greet and source.random() < 0.3:
                client.go("demo")
            try:
                for _ in range(source.randrange(1, 5)):
                    client.send_option(source.randrange(0, 12),
                                       source.randbytes(source.randrange(0, 300)))
                    client.send(source.randbytes(source.randrange(0, 60)))
            except (ConnectionError, BrokenPipeError):
                pass


def handshake_takes_for_ever(server):
    """Who is silent, who drips, and who does not read is ended after 10 s; meanwhile others are
    served."""
    begin = time.monotonic()
    silent = Raw(server, greet=False)
    dripping = Raw(server, greet=False)
    deaf = Raw(server, receive_buffer=4096)
    deaf.socket.setblocking(False)
    ended = []

    def drip():
        try:
            dripping.send(b"\0\0\0\3IHAVEOPT" + struct.pack(">II", OPT_INFO, 8192))
            while time.monotonic() - begin < 20:
                dripping.send(b"x")
                time.sleep(0.003)
        except (ConnectionError, BrokenPipeError):
            ended.append(time.monotonic() - begin)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        while True:
            deaf.send_option(OPT_LIST)
    except (BlockingIOError, ConnectionError):
        pass
    server.alive()
    silent.receive(18)
    silent.closed()
    check(8 < time.monotonic() - begin < 15, f"silence took {time.monotonic() - begin:.1f} s")
    thread.join()
    check(ended and ended[0] < 15, f"dripping took {ended} s")
    deaf.socket.close()


def many_strangers(server):
    """A crowd that never negotiates does not keep a client out."""
    crowd = [Raw(server, greet=False) for _ in range(700)]
    server.alive()
    for stranger in crowd:
        stranger.socket.close()


with Server({"demo": "64M", "other": "1M"}) as target:
    for attack in (option_length_plus_one_overflows, option_payload_longer_than_the_buffer,
                   export_name_longer_than_the_buffer, error_text_for_a_maximal_name,
                   lengths_inside_the_payload_lie, unknown_export_kills_the_server, port_scanner,
                   commands_in_the_wrong_order, options_kept_across_starttls, unknown_client_flags,
                   closing_in_every_state, endless_options, random_bytes, many_strangers,
                   handshake_takes_for_ever):
        attack(target)
        target.alive()
