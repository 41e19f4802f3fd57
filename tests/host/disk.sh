#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a real block device works as an image does: it is formatted, served, discarded and checked,
# and refused while it is mounted or served.
set -euo pipefail
BUILD=${BUILD:-build}
TEST_DIR=${TEST_DIR:-$(mktemp -d -t holdfast-disk-XXXXXX)}
bin=$BUILD/asan/bin
disk=
daemon=

clean_up() {
    if [ -n "$daemon" ]; then
        kill -KILL "$daemon" || true
        cat "$TEST_DIR/log" >&2
    fi
    if mountpoint -q "$TEST_DIR/mount"; then
        umount "$TEST_DIR/mount"
    fi
    if [ -n "$disk" ]; then
        losetup -d "$disk"
    fi
}
trap clean_up EXIT

expect_failure() {
    local message=$1
    shift
    if "$@" > "$TEST_DIR/refusal" 2>&1; then
        echo "this should have failed: $*" >&2
        exit 1
    fi
    grep "$message" "$TEST_DIR/refusal"
}

for program in losetup mkfs.ext4 nbdcopy; do
    command -v "$program" > /dev/null || { echo "$program is not installed"; exit 77; }
done
truncate -s 128M "$TEST_DIR/backing"
disk=$(losetup -f --show "$TEST_DIR/backing") || { echo "no loop device can be had"; exit 77; }

mkfs.ext4 -q "$disk"
mkdir -p "$TEST_DIR/mount"
if mount "$disk" "$TEST_DIR/mount"; then
    expect_failure "in use" "$bin/mkfs.lfsx" -f --volume demo=32M "$disk"
    expect_failure "in use" "$bin/holdfastd" --nbd "unix:$TEST_DIR/nbd" "$disk"
    umount "$TEST_DIR/mount"
fi

"$bin/mkfs.lfsx" -f --volume demo=32M "$disk"
"$bin/holdfastd" --nbd "unix:$TEST_DIR/nbd" "$disk" > "$TEST_DIR/log" 2>&1 &
daemon=$!
for _ in $(seq 600); do
    if grep -q '^holdfastd: ready$' "$TEST_DIR/log"; then
        break
    fi
    kill -0 "$daemon"
    sleep 0.05
done
expect_failure "in use" "$bin/mkfs.lfsx" -f --volume demo=32M "$disk"
expect_failure "in use" "$bin/fsck.lfsx" -n "$disk"

uri="nbd+unix:///demo?socket=$TEST_DIR/nbd"
head -c 32M /dev/urandom > "$TEST_DIR/data"
nbdcopy --flush "$TEST_DIR/data" "$uri"
nbdcopy "$uri" "$TEST_DIR/back"
cmp "$TEST_DIR/data" "$TEST_DIR/back"
number=$daemon
kill -TERM "$daemon"
daemon=
wait "$number"
"$bin/fsck.lfsx" -n "$disk"
