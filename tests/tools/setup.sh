#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: setup says what is missing before it installs, uses sudo only when it must, and is quick and
# silent when nothing is missing. dpkg-query, apt-get, sudo and id are replaced on its PATH: the
# machine is not to be changed by a test.
set -eu

fail() { echo "failed: $*"; exit 1; }
fake=$TEST_DIR/bin
calls=$TEST_DIR/calls
mkdir -p "$fake"
: > "$calls"
for tool in awk sed dirname sh env cat; do ln -s "$(command -v $tool)" "$fake/$tool"; done
write() { printf '#!/bin/sh\n%s\n' "$2" > "$fake/$1"; chmod +x "$fake/$1"; }
everything() { awk '/^[a-z]/ { print "installed:" $2 }' third_party/packages; }
setup() { PATH=$fake tools/run/setup "$@" > "$TEST_DIR/out" 2>&1; }

write apt-get "echo apt-get \"\$@\" >> $calls"
write id 'echo 0'

# Nothing is missing: silent, and apt is not called.
everything > "$TEST_DIR/installed"
write dpkg-query "cat $TEST_DIR/installed"
setup run test || fail "nothing missing, status $?"
[ ! -s "$TEST_DIR/out" ] || fail "nothing missing, yet it says: $(cat "$TEST_DIR/out")"
[ ! -s "$calls" ] || fail "nothing missing, yet it called $(cat "$calls")"

# As root, without sudo: says the missing ones, installs exactly them.
everything | grep -v -e ':fio$' -e ':patch$' > "$TEST_DIR/installed"
setup run test || fail "as root: status $?"
grep -q '^  fio ' "$TEST_DIR/out" || fail "fio is not named: $(cat "$TEST_DIR/out")"
grep -q 'apt-get install .* patch fio$' "$calls" || fail "wrong install: $(cat "$calls")"

# The run group does not bring what only tests need.
: > "$calls"
setup run || fail "run group: status $?"
! grep -q fio "$calls" || fail "setup run installs fio"

# Removed packages whose configuration is left are missing, too.
: > "$calls"
everything | sed 's/installed:gcc$/config-files:gcc/' > "$TEST_DIR/installed"
setup run || fail "config-files: status $?"
grep -q 'install .* gcc$' "$calls" || fail "gcc counts as installed: $(cat "$calls")"

# Neither root nor sudo: says what to run as root, and fails.
: > "$calls"
write id 'echo 1000'
if setup run; then fail "no root, no sudo, and it succeeds"; fi
grep -q 'run this as root' "$TEST_DIR/out" || fail "it does not say what to do"
[ ! -s "$calls" ] || fail "it called apt without being root"

# With sudo: through it.
write sudo "echo sudo \"\$@\" >> $calls"
setup run || fail "with sudo: status $?"
grep -q '^sudo .*apt-get install .* gcc$' "$calls" || fail "not through sudo: $(cat "$calls")"

# On this machine, where everything is there: under 0.2 s.
started=$(date +%s%N)
tools/run/setup run test > "$TEST_DIR/out" || fail "on this machine: status $?"
took=$((($(date +%s%N) - started) / 1000000))
[ "$took" -lt 200 ] || fail "setup took $took ms with nothing missing"
