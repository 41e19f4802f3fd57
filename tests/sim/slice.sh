#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
# Goal: more than 100,000 simulated power cuts, all workloads of one step and a part of those of two
# cut at every write with every choice, and every allocation and request of some workloads failing
# in turn, violate nothing that is promised.
set -e
sim="$BUILD/host/lfsx-sim"
"$sim" --mode random --seeds 1-42 --progress
"$sim" --mode exhaustive --ops 1 --seeds 0-9999 --progress
"$sim" --mode exhaustive --ops 2 --seeds 0-279 --progress
"$sim" --mode memory --seeds 1-6
"$sim" --mode device --seeds 1-6
"$sim" --mode pairs --seeds 0-3
"$sim" --mode silent --seeds 1-20
"$sim" --mode progress --seeds 1-20
