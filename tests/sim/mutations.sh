#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
# Goal: the simulator finds what it is there to find. Each tests/sim/mutations/*.sed makes a bug in
# a copy of one file of the core; the simulator with that copy must report a violation, or none if
# it says so, being no bug but a hardship.
set -u
fail=0
count=0
objects=$(find base storage host/sim tests/sim -name '*.c' | sed "s|^|$BUILD/host/|; s|\.c\$|.o|")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# header NAME FILE: what the mutation's comment says under that name
header() {
    sed -n "s/^# $1: //p" "$2"
}

# wrong TEXT: says it and goes on
wrong() {
    echo "$1"
    fail=$((fail + 1))
}

for mutation in tests/sim/mutations/${1:-*}.sed; do
    name=$(basename "$mutation" .sed)
    source=$(header file "$mutation")
    sed -f "$mutation" "$source" >"$folder/mutant.c"
    count=$((count + 1))
    if cmp -s "$source" "$folder/mutant.c"; then
        wrong "$name: changes nothing in $source any more"
        continue
    fi
    if ! ${CC:-gcc} -std=gnu11 -O2 -g -I. -D_GNU_SOURCE -fno-strict-aliasing -w -c \
        "$folder/mutant.c" -o "$folder/mutant.o"; then
        wrong "$name: does not compile"
        continue
    fi
    # shellcheck disable=SC2086
    ${CC:-gcc} ${objects//$BUILD\/host\/${source%.c}.o/$folder/mutant.o} -pthread \
        -o "$folder/mutant" || exit 1
    # shellcheck disable=SC2046
    timeout 120 "$folder/mutant" $(header run "$mutation") >"$folder/log" 2>&1
    status=$?
    report=$(grep -a -m 1 -E 'VIOLATION|assertion failed' "$folder/log")
    if [ "$(header finds "$mutation")" = nothing ]; then
        [ "$status" = 0 ] || wrong "$name: $report; $(grep -a -m 1 repeat "$folder/log")"
    elif [ "$status" = 0 ] || [ -z "$report" ]; then
        wrong "$name: not found by $(header run "$mutation")"
    else
        echo "$name: $(grep -a -m 1 -o 'seeds [0-9]*' "$folder/log"): ${report:0:110}"
    fi
done
echo "$((count - fail)) passed, $fail failed"
[ "$count" -gt 0 ] && [ "$fail" = 0 ]
