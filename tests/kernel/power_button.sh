#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: pressing the power button takes the appliance down and switches the machine off.
. tests/kernel/machine.sh
# Local sockets have short names only, which the test's directory may exceed.
monitor=/tmp/holdfast-power-$$
trap 'rm -f "$monitor"' EXIT

boot 60 "" -qmp "unix:$monitor,server=on,wait=off" &
qemu=$!
for _ in $(seq 200); do
    grep -q "main: no network device was found" "$console" 2>/dev/null && break
    sleep 0.1
done
python3 - "$monitor" <<'PYTHON' || fail "the monitor does not answer"
import socket, sys
with socket.socket(socket.AF_UNIX) as monitor:
    monitor.settimeout(10)
    monitor.connect(sys.argv[1])
    answers = monitor.makefile()
    answers.readline()
    for command in ("qmp_capabilities", "system_powerdown"):
        monitor.sendall(b'{"execute": "%s"}' % command.encode())
        while "return" not in answers.readline():
            pass
PYTHON
wait "$qemu"
code=$?
[ "$code" = 0 ] || fail "QEMU ended with $code: the machine did not switch itself off"
must_show "acpi: power button pressed" "main: power off"
