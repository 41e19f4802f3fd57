#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
"""Goal: what a network driver publishes keeps base/netdev.h's promises on the wire. The real image
boots in QEMU with selftest=net (kernel/selftest/selftest_net.c); this script is the other end of
its cable and compares every byte. Once for each model of network card."""
import os
import random
import select
import struct
import sys
import time

from image import IMAGE, check
from netdev_machine import Machine

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
MAC = bytes.fromhex("525400aabb01")
PEER = bytes.fromhex("525400ccdd02")
TEST_TYPE = b"\x88\xb5"
ECHO, SEND, HOLD, COUNTERS, LATER, RESTART, QUIT, REPORT = range(1, 9)
SHORTEST, LONGEST = 60, 1514
RING = 512  # descriptors of the driver's rings
CHECKSUM_MODELS = ("e1000e",)  # QEMU's e1000 never looks at the checksums of what it receives

COUNTER_NAMES = ("rx_frames", "rx_bytes", "rx_dropped", "rx_errors", "tx_frames", "tx_bytes",
                 "tx_dropped", "tx_errors", "interrupts", "link_changes", "lost")


# ---- frames ----

def frame(command, body=b"", to=MAC):
    return (to + PEER + TEST_TYPE + bytes([command]) + body).ljust(SHORTEST, b"\0")


def echo_frame(source, length):
    return frame(ECHO, source.randbytes(length - 15))[:length]


def echoed(sent):
    return PEER + MAC + sent[12:]


def ones_sum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def ipv4_packet(source, protocol, payload_length, addresses=(MAC, PEER)):
    """An Ethernet frame with IPv4 and TCP or UDP: (with the pseudo header's sum in the checksum
    field, with the right checksum there, offset of that field)."""
    header_length, field = (20, 16) if protocol == 6 else (8, 6)
    l4_length = header_length + payload_length
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + l4_length, source.getrandbits(16), 0x4000, 64,
                     protocol, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    ip = ip[:10] + struct.pack(">H", 0xffff ^ ones_sum(ip)) + ip[12:]
    ports = source.randbytes(4)
    if protocol == 6:
        l4 = ports + source.randbytes(8) + b"\x50\x10" + source.randbytes(2) + bytes(4)
    else:
        l4 = ports + struct.pack(">HH", l4_length, 0)
    l4 += source.randbytes(payload_length)
    pseudo = ones_sum(ip[12:20] + bytes([0, protocol]) + struct.pack(">H", l4_length))
    start = addresses[1] + addresses[0] + b"\x08\x00" + ip
    asked = l4[:field] + struct.pack(">H", pseudo) + l4[field + 2:]
    right = 0xffff ^ ones_sum(asked)
    done = l4[:field] + struct.pack(">H", right or 0xffff) + l4[field + 2:]
    return start + asked, start + done, field


# ---- the cable ----

class Cable:
    """Frames are datagrams of local sockets, which neither lose nor reorder them."""

    def __init__(self, machine):
        self.machine = machine
        self.socket = machine.cable
        self.socket.setblocking(False)

    def send(self, data):
        while True:
            try:
                return self.socket.sendto(data, self.machine.card_path)
            except BlockingIOError:
                select.select([], [self.socket], [], 0.01)

    def receive(self, timeout=5.0):
        """The next frame, None if none comes."""
        end = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            data = self.socket.recv(65536)
            if data[12:14] in (TEST_TYPE, b"\x08\x00"):
                return data

    def drain(self, quiet=0.3):
        while self.receive(quiet) is not None:
            pass

    def exchange(self, frames, timeout=5.0, window=3000):
        """Sends all frames as fast as they are taken, and returns what comes back. At most `window`
        are on their way, as QEMU drops what its queue of 10,000 does not hold."""
        answers, sent, last = [], 0, time.monotonic()
        while len(answers) < len(frames) and time.monotonic() - last < timeout:
            can_send = sent < len(frames) and sent - len(answers) < window
            readable, writable, _ = select.select([self.socket],
                                                  [self.socket] if can_send else [], [], 0.05)
            try:
                for _ in range(64 if writable else 0):
                    if sent < len(frames):
                        self.socket.sendto(frames[sent], self.machine.card_path)
                        sent += 1
            except BlockingIOError:
                pass
            try:
                for _ in range(256 if readable else 0):
                    data = self.socket.recv(65536)
                    last = time.monotonic()
                    if data[12:14] in (TEST_TYPE, b"\x08\x00"):
                        answers.append(data)
            except BlockingIOError:
                pass
        return answers

    def counters(self):
        self.send(frame(COUNTERS))
        answer = self.receive()
        check(answer is not None, "the counters do not come back")
        return dict(zip(COUNTER_NAMES, struct.unpack_from(">11Q", answer, 15)))


def compare(sent, answers, what):
    check(len(answers) == len(sent), f"{what}: {len(answers)} of {len(sent)} frames came back")
    for i, (want, got) in enumerate(zip(sent, answers)):
        check(got == want, f"{what}: frame {i} differs:\n{want.hex()}\n{got.hex()}")


# ---- the promises ----

def every_size_arrives_unchanged(cable, source):
    frames = [echo_frame(source, n) for n in range(SHORTEST, LONGEST + 1)]
    compare([echoed(f) for f in frames], cable.exchange(frames), "every size")


def bursts_arrive_in_order(cable, source):
    frames = [echo_frame(source, source.randint(SHORTEST, LONGEST)) for _ in range(12 * RING)]
    before = cable.counters()
    began = time.monotonic()
    answers = cable.exchange(frames)
    seconds = time.monotonic() - began
    compare([echoed(f) for f in frames], answers, "bursts")
    after = cable.counters()
    interrupts = after["interrupts"] - before["interrupts"]
    megabytes = sum(map(len, frames)) / 1e6
    print(f"  {len(frames) / seconds:.0f} frames/s, {megabytes / seconds:.1f} MB/s each way, "
          f"{interrupts / len(frames):.2f} interrupts per frame")


def split(source, data):
    """Random pieces, some of them empty."""
    cuts = sorted(source.randint(0, len(data)) for _ in range(source.randint(0, 12)))
    return [end - start for start, end in zip([0] + cuts, cuts + [len(data)])]


def send_command(source, data, offload=0, start=0, offset=0):
    lengths = split(source, data)
    head = struct.pack(">BHHBB", offload, start, offset, len(lengths), 0)
    return frame(SEND, head + struct.pack(f">{len(lengths)}H", *lengths) + data)


def pieces_and_checksums_are_sent_right(cable, source):
    commands, wanted = [], []
    for _ in range(4 * RING):
        kind = source.choice((6, 6, 6, 17, 17, None))
        if kind is None:
            data = PEER + MAC + TEST_TYPE + source.randbytes(source.randint(46, 1300))
            commands.append(send_command(source, data))
            wanted.append(data)
        else:
            asked, right, field = ipv4_packet(source, kind, source.randint(30, 1300))
            commands.append(send_command(source, asked, 1, 34, field))
            wanted.append(right)
    compare(wanted, cable.exchange(commands), "scattered frames with checksums")


def received_checksums_are_judged(cable, source, model):
    good = 0
    for i in range(60):
        _, packet, field = ipv4_packet(source, source.choice((6, 17)), source.randint(30, 1400),
                                       (PEER, MAC))
        spoil = (None, 34 + field, 24)[i % 3]
        if spoil is not None:
            packet = packet[:spoil] + bytes([packet[spoil] ^ 0x5a]) + packet[spoil + 1:]
        cable.send(packet)
        answer = cable.receive()
        check(answer is not None and answer[14] == REPORT, "no report of an IPv4 frame")
        said, length = struct.unpack_from(">BH", answer, 15)
        check(length == len(packet), f"{length} bytes arrived of {len(packet)}")
        check(answer[18:18 + 60] == packet[:60], "the head of an IPv4 frame changed")
        check(not (said and spoil), f"a bad checksum at {spoil} was called good")
        good += said
    check(good == (20 if model in CHECKSUM_MODELS else 0), f"{good} of 20 checksums called good")


def only_own_and_broadcast_frames_pass(cable, source):
    before = cable.counters()
    for to in ("525400aabb02", "01005e000001", "333300000001"):
        cable.send(frame(ECHO, b"other", bytes.fromhex(to)))
    cable.send(MAC + PEER + TEST_TYPE + bytes([ECHO]) + bytes(1600))
    cable.send(frame(ECHO, b"all", b"\xff" * 6))
    answer = cable.receive()
    check(answer == echoed(frame(ECHO, b"all")), "not the broadcast frame came back")
    after = cable.counters()
    arrived = after["rx_frames"] - before["rx_frames"]
    check(arrived == 2, f"{arrived} frames passed the filter, not the broadcast and the command")


def lent_frames_do_not_stop_reception(cable, source):
    frames = [echo_frame(source, source.randint(SHORTEST, LONGEST)) for _ in range(5 * RING)]
    cable.send(frame(HOLD, struct.pack(">xH", len(frames))))
    compare([echoed(f) for f in frames], cable.exchange(frames, window=len(frames)), "held frames")


def link_changes_are_told(cable, source, machine):
    changes = cable.counters()["link_changes"]
    cable.send(frame(LATER, struct.pack(">xH", 100)))
    time.sleep(0.2)
    machine.set_link(False)
    machine.wait_for("link down 0", "sent 100 frames")
    cable.drain(0.1)
    machine.set_link(True)
    machine.wait_for("link up 1000")
    counters = cable.counters()
    check(counters["link_changes"] == changes + 2, f"link changes counted: {counters}")
    check(counters["tx_dropped"] >= 100, f"frames sent without a link are not counted: {counters}")
    frames = [echo_frame(source, 500) for _ in range(RING)]
    compare([echoed(f) for f in frames], cable.exchange(frames), "after the link came back")


def device_restarts(cable, source, machine):
    for _ in range(3):
        cable.send(frame(RESTART))
        machine.wait_for("restarted: success", "link up 1000")  # of two threads
        frames = [echo_frame(source, 700) for _ in range(RING + 7)]
        compare([echoed(f) for f in frames], cable.exchange(frames), "after a restart")


def counters_are_exact(cable, source):
    frames = [echo_frame(source, source.randint(SHORTEST, LONGEST)) for _ in range(1000)]
    before = cable.counters()
    compare([echoed(f) for f in frames], cable.exchange(frames), "counted frames")
    after = cable.counters()
    # The command for the counters and its answer are frames themselves.
    for name, want in (("rx_frames", 1001), ("rx_bytes", sum(map(len, frames)) + SHORTEST),
                       ("rx_dropped", 0), ("rx_errors", 0), ("tx_errors", 0), ("tx_dropped", 0)):
        check(after[name] - before[name] == want, f"{name}: {after[name] - before[name]}")
    check(after["tx_frames"] - before["tx_frames"] in (1000, 1001, 1002), "tx_frames")


def lack_of_memory_drops_frames_only(cable, source):
    """More is kept than the machine has memory for."""
    count = 65000
    cable.send(frame(HOLD, struct.pack(">xH", count)))
    for _ in range(count):
        cable.send(echo_frame(source, SHORTEST))
    cable.drain(5.0)
    counters = cable.counters()
    print(f"  {counters['rx_dropped']} frames dropped for lack of memory")
    check(counters["rx_dropped"] > 0, "nothing was dropped: the machine has too much memory")
    frames = [echo_frame(source, LONGEST) for _ in range(4 * RING)]
    compare([echoed(f) for f in frames], cable.exchange(frames), "after memory was short")


# ---- running ----

def run(name, promise, *arguments):
    began = time.monotonic()
    promise(*arguments)
    print(f"  {name}: {time.monotonic() - began:.1f} s", flush=True)


def test_model(model):
    print(f"{model}, seed {SEED}", flush=True)
    source = random.Random(SEED)
    with Machine(model, MAC, cpus=2, mebibytes=160) as machine:
        machine.wait_for("net is ready", "link up 1000")
        cable = Cable(machine)
        cable.drain(0.1)
        run("every size", every_size_arrives_unchanged, cable, source)
        run("bursts", bursts_arrive_in_order, cable, source)
        run("pieces and checksums", pieces_and_checksums_are_sent_right, cable, source)
        run("received checksums", received_checksums_are_judged, cable, source, model)
        run("filter", only_own_and_broadcast_frames_pass, cable, source)
        run("lent frames", lent_frames_do_not_stop_reception, cable, source)
        run("link", link_changes_are_told, cable, source, machine)
        run("restart", device_restarts, cable, source, machine)
        run("counters", counters_are_exact, cable, source)
        run("no memory", lack_of_memory_drops_frames_only, cable, source)
        cable.send(frame(QUIT))
        machine.wait_passed()


if not os.path.exists(IMAGE):
    print("skipped: there is no kernel image")
    sys.exit(77)
for card in sys.argv[1:] or ("e1000", "e1000e"):
    test_model(card)
