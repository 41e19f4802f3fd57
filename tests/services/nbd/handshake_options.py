#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: every option of the fixed newstyle negotiation is answered as the protocol says, and after
each answer, also a refusal, the negotiation goes on."""
import struct

from nbd_raw import *


def lists_volumes(server):
    with Raw(server) as client:
        replies = client.option(OPT_LIST)
        names = set()
        for kind, payload in replies[:-1]:
            equal(kind, REP_SERVER)
            equal(struct.unpack(">I", payload[:4])[0], len(payload) - 4, "the name's length")
            names.add(payload[4:].decode())
        equal(names, {"demo", "zwölf"}, "the list")
        equal(client.option(OPT_LIST, b"x")[0][0], ERR_INVALID, "LIST with a payload")


def describes_exports(server):
    with Raw(server) as client:
        types = (INFO_NAME, INFO_BLOCK_SIZE, INFO_DESCRIPTION, 4711)
        for option in (OPT_INFO, OPT_GO):
            replies = client.option(option, client.info_payload("zwölf", types))
            equal(replies[-1], (REP_ACK, b""), "the end")
            infos = {struct.unpack(">H", payload[:2])[0]: payload[2:]
                     for _, payload in replies[:-1]}
            equal(struct.unpack(">QH", infos[INFO_EXPORT]), (12 << 20, FLAGS_WRITABLE), "EXPORT")
            equal(infos[INFO_NAME].decode(), "zwölf", "NAME")
            equal(struct.unpack(">III", infos[INFO_BLOCK_SIZE]), (1, 4096, MAX_IO), "BLOCK_SIZE")
            equal(len(infos), 3, "the number of informations")
        equal(client.request(READ, 0, 512), (0, bytes(512)), "a read after GO")
    with Raw(server) as client:
        equal(set(client.go("demo")), {INFO_EXPORT}, "what comes unasked")


def chooses_by_export_name(server):
    for flags, zeroes in ((3, 0), (1, 124), (0, 124)):
        with Raw(server, flags=flags) as client:
            client.send_option(OPT_EXPORT_NAME, b"demo")
            size, transmission = struct.unpack(">QH", client.receive(10))
            equal((size, transmission), (64 << 20, FLAGS_WRITABLE), "the export")
            equal(client.receive(zeroes), bytes(zeroes), "the zeroes")
            equal(client.request(READ, 4096, 512), (0, bytes(512)), "a read")
            client.send_request(DISC, 0, 0)
            client.closed()


def has_no_default_among_two(server):
    with Raw(server) as client:
        equal(client.option(OPT_GO, client.info_payload(""))[-1][0], ERR_UNKNOWN, "GO without name")
    with Raw(server) as client:
        client.send_option(OPT_EXPORT_NAME, b"")
        client.closed()


def serves_the_only_volume_by_default(server):
    with Raw(server) as client:
        infos = client.go("", (INFO_NAME,))
        equal(infos[INFO_NAME], b"lonely", "the canonical name")
        equal(client.request(READ, 0, 512), (0, bytes(512)))
    with Raw(server) as client:
        client.send_option(OPT_EXPORT_NAME, b"")
        equal(struct.unpack(">QH", client.receive(10)), (1 << 20, FLAGS_WRITABLE))


def refuses_what_it_does_not_have(server):
    """Payloads of refused options are read away, so that the next option is understood."""
    with Raw(server) as client:
        for option in (0, 4, OPT_STARTTLS, OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT,
                       OPT_SET_META_CONTEXT, OPT_EXTENDED, 12, 0xffffffff):
            for payload in (b"", b"x" * 100, b"y" * 8192):
                equal(client.option(option, payload)[0][0], ERR_UNSUP, f"option {option}")
        equal(client.option(OPT_GO, client.info_payload("nowhere"))[0][0], ERR_UNKNOWN)
        equal(client.option(OPT_INFO, client.info_payload("de\0mo"))[0][0], ERR_UNKNOWN)
        client.go("demo")
        equal(client.request(FLUSH, 0, 0)[0], 0, "a flush")


def aborts(server):
    with Raw(server) as client:
        equal(client.option(OPT_ABORT), [(REP_ACK, b"")])
        client.closed()


with Server({"demo": "64M", "zwölf": "12M"}) as two:
    lists_volumes(two)
    describes_exports(two)
    chooses_by_export_name(two)
    has_no_default_among_two(two)
    refuses_what_it_does_not_have(two)
    aborts(two)
with Server({"lonely": "1M"}, name="single") as single:
    serves_the_only_volume_by_default(single)
