#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: random writes with many in flight, over several connections, read back as they were written.
# shellcheck source=tests/services/nbd/nbd_daemon.sh
. tests/services/nbd/nbd_daemon.sh
need fio
if ! fio --enghelp | grep -qw nbd; then
    echo "fio was built without ioengine=nbd"
    exit 77
fi

serve demo=128M

seed=$RANDOM
echo "seed $seed"
fio --name=verify --ioengine=nbd --uri="$(uri demo)" --rw=randwrite --bsrange=512-128k \
    --verify_state_save=0 \
    --blockalign=512 --size=32m --numjobs=4 --offset_increment=32m --iodepth=32 --randseed="$seed" \
    --verify=crc32c --verify_backlog=256 --fsync=100 --serialize_overlap=1 --group_reporting \
    --output="$TEST_DIR/fio.txt" || { cat "$TEST_DIR/fio.txt"; exit 1; }

finish
