#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
# Goal: the same under AddressSanitizer and UBSan, fewer of each: no memory error on any way out.
set -e
sim="$BUILD/asan/lfsx-sim"
"$sim" --mode random --seeds 101-104 --cuts 60
"$sim" --mode exhaustive --seeds 301-310
"$sim" --mode memory --seeds 21-22
"$sim" --mode device --seeds 21-21
"$sim" --mode silent --seeds 21-22
