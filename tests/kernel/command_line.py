#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the kernel reads its command line: values, words without one, quotes, repeated keys, and a
line that is longer than any buffer somebody might have thought of."""
from image import selftest

LINE = 'one=1 flag  two=  quoted="a b=c" many=x many=y  selftest=command-line many=z'
selftest("command-line", LINE)
padding = " ".join(f"key{i}={'v' * 50}" for i in range(30))
selftest("command-line", f"{padding} {LINE}")
