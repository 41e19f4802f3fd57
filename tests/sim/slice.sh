#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
# Goal: 100,000 simulated power cuts, small workloads cut at every write with every choice, and
# every allocation and request of some workloads failing in turn, violate nothing that is promised.
set -e
sim="$BUILD/host/lfsx-sim"
"$sim" --mode random --seeds 1-100 --progress
"$sim" --mode exhaustive --seeds 1-200 --ops 1
"$sim" --mode exhaustive --seeds 1-40 --ops 2
"$sim" --mode memory --seeds 1-12
"$sim" --mode device --seeds 1-12
"$sim" --mode silent --seeds 1-20
