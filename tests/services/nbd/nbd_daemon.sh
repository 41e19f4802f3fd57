# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests with real clients: sourced; serves a fresh pool under AddressSanitizer on a unix socket.
# serve VOLUME=SIZE... starts it; finish stops it and wants a clean end and a clean check.

set -euo pipefail
BUILD=${BUILD:-build}
TEST_DIR=${TEST_DIR:-$(mktemp -d -t holdfast-nbd-XXXXXX)}
image=$TEST_DIR/pool.img
socket=$TEST_DIR/nbd
log=$TEST_DIR/holdfastd.log
daemon=

need() {
    local program
    for program in "$@"; do
        command -v "$program" > /dev/null || { echo "$program is not installed"; exit 77; }
    done
}

kill_daemon() {
    if [ -n "$daemon" ]; then
        kill -KILL "$daemon" 2> /dev/null || true
        cat "$log" >&2
    fi
}
trap kill_daemon EXIT

serve() {
    local volume volumes=()
    for volume in "$@"; do
        volumes+=(--volume "$volume")
    done
    "$BUILD/asan/bin/mkfs.lfsx" -f --size 512M "${volumes[@]}" "$image" > /dev/null
    "$BUILD/asan/bin/holdfastd" --nbd "unix:$socket" "$image" > "$log" 2>&1 &
    daemon=$!
    for _ in $(seq 600); do
        if grep -q '^holdfastd: ready$' "$log"; then
            return
        fi
        kill -0 "$daemon"
        sleep 0.05
    done
    echo "holdfastd is not ready" >&2
    exit 1
}

# The URI of a volume.
uri() {
    echo "nbd+unix:///$1?socket=$socket"
}

finish() {
    local number=$daemon
    kill -TERM "$daemon"
    daemon=
    wait "$number"
    if grep -E 'Sanitizer|runtime error' "$log"; then
        exit 1
    fi
    "$BUILD/asan/bin/fsck.lfsx" -n "$image"
}
