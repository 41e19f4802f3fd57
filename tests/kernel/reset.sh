#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a reset restarts the machine (which -no-reboot turns into an end of QEMU with code 0, as the
# self-test's own ends never are).
. tests/kernel/machine.sh
boot 60 "selftest=reset"
code=$?
[ "$code" = 0 ] || fail "QEMU ended with $code, not 0"
must_show "pci: 0000:00:1f.0"
grep -q "selftest reset:" "$console" && fail "acpi_reset() came back"
exit 0
