#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
# Goal: the same under AddressSanitizer and UBSan, fewer of each: no memory error on any way out.
set -e
sim="$BUILD/asan/lfsx-sim"
"$sim" --mode random --seeds 101-108 --cuts 60
"$sim" --mode exhaustive --ops 1 --seeds 0-9999
"$sim" --mode memory --seeds 20-21
"$sim" --mode device --seeds 21-21
"$sim" --mode silent --seeds 21-22
