#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: QEMU's client works with the volumes: images converted and compared, odd ranges, zeroes,
# trim.
# shellcheck source=tests/services/nbd/nbd_daemon.sh
. tests/services/nbd/nbd_daemon.sh
need qemu-img qemu-io

serve demo=64M

head -c $((64 << 20)) /dev/urandom > "$TEST_DIR/data"
qemu-img convert -n -f raw -O raw -W -m 16 "$TEST_DIR/data" "$(uri demo)"
qemu-img compare -f raw -F raw "$TEST_DIR/data" "$(uri demo)"

commands=(-c 'write -P 0x5a 1000 70000' -c 'read -P 0x5a 1000 70000'
          -c 'write -f -P 0x11 1M 3M' -c 'read -P 0x11 1M 3M'
          -c 'write -z 2M 1M' -c 'read -P 0 2M 1M' -c 'read -P 0x11 1M 1M' -c 'read -P 0x11 3M 1M'
          -c 'write -z -u 10000 20000' -c 'read -P 0 10000 20000' -c 'read -P 0x5a 1000 9000'
          -c 'discard 8M 8M' -c 'read -P 0 8M 8M' -c flush
          -c 'aio_write -P 1 20M 4M' -c 'aio_write -P 2 24M 4M' -c 'aio_flush'
          -c 'read -P 1 20M 4M' -c 'read -P 2 24M 4M')
output=$(qemu-io -f raw "${commands[@]}" "$(uri demo)")
if grep -E 'failed|error' <<< "$output"; then
    exit 1
fi

finish
