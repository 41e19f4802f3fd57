#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: libnbd's tools see the volumes as they are, and a copy through many connections with many
# requests in flight comes back bit for bit.
# shellcheck source=tests/services/nbd/nbd_daemon.sh
. tests/services/nbd/nbd_daemon.sh
need nbdinfo nbdcopy

serve demo=64M other=12M

list=$(nbdinfo --list "nbd+unix://?socket=$socket")
grep -q 'export="demo"' <<< "$list"
grep -q 'export="other"' <<< "$list"
[ "$(nbdinfo --size "$(uri demo)")" = $((64 << 20)) ]
for can in flush fua multi-conn trim zero write; do
    nbdinfo --can "$can" "$(uri demo)"
done
for cannot in cache df fast-zero read-only; do
    if nbdinfo --can "$cannot" "$(uri demo)"; then
        echo "it can $cannot?" >&2
        exit 1
    fi
done

head -c $((64 << 20)) /dev/urandom > "$TEST_DIR/data"
dd if=/dev/zero of="$TEST_DIR/data" bs=1M seek=10 count=20 conv=notrunc status=none
nbdcopy --flush --connections=4 --requests=32 "$TEST_DIR/data" "$(uri demo)"
nbdcopy --connections=4 --requests=32 "$(uri demo)" "$TEST_DIR/back"
cmp "$TEST_DIR/data" "$TEST_DIR/back"
nbdcopy --destination-is-zero --synchronous "$TEST_DIR/data" "$(uri demo)"
nbdcopy --synchronous "$(uri demo)" "$TEST_DIR/back"
cmp "$TEST_DIR/data" "$TEST_DIR/back"

finish
