# SPDX-License-Identifier: Apache-2.0
"""XXH64, after the xxHash specification's "XXH64 algorithm description"."""
import struct

MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (11400714785074694791, 14029467366897019727, 1609587929392839161,
                      9650029242287828579, 2870177450012600261)


def rotate(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & MASK


def mix(lane, value):
    return rotate((lane + value * P2) & MASK, 31) * P1 & MASK


def stripes(data, length, seed):
    """The part for whole stripes of 32 bytes."""
    a, b, c, d = (seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK
    words = struct.unpack(f"<{length // 8}Q", data[:length])
    for i in range(0, len(words), 4):
        a = mix(a, words[i])
        b = mix(b, words[i + 1])
        c = mix(c, words[i + 2])
        d = mix(d, words[i + 3])
    value = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) & MASK
    for lane in (a, b, c, d):
        value = ((value ^ mix(0, lane)) * P1 + P4) & MASK
    return value


def xxh64(data, seed=0):
    whole = len(data) // 32 * 32
    value = stripes(data, whole, seed) if whole else (seed + P5) & MASK
    value = (value + len(data)) & MASK
    place = whole
    while place + 8 <= len(data):
        word = struct.unpack_from("<Q", data, place)[0]
        value = (rotate(value ^ mix(0, word), 27) * P1 + P4) & MASK
        place += 8
    if place + 4 <= len(data):
        value ^= struct.unpack_from("<I", data, place)[0] * P1 & MASK
        value = (rotate(value, 23) * P2 + P3) & MASK
        place += 4
    for byte in data[place:]:
        value = rotate(value ^ byte * P5 & MASK, 11) * P1 & MASK
    value = (value ^ value >> 33) * P2 & MASK
    value = (value ^ value >> 29) * P3 & MASK
    return value ^ value >> 32
