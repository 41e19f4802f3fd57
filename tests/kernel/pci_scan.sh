#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the PCI scan finds what the machine has: on q35 through memory-mapped configuration space,
# behind a PCI Express port too, and on an old machine through the ports.
. tests/kernel/machine.sh
devices=(-drive if=none,id=d0,driver=null-co,size=1G -device e1000)

boot 10 "" "${devices[@]}" -device nvme,drive=d0,serial=x -device pcie-root-port,id=p1,chassis=1 \
    -device e1000e,bus=p1
must_show "pci: 0000:00:00.0 8086:29c0 class 060000" "pci: 0000:00:1f.0 8086:2918 class 060100" \
    "pci: 0000:00:0[0-9].0 8086:100e class 020000" "pci: 0000:00:0[0-9].0 1b36:0010 class 010802" \
    "pci: 0000:01:00.0 8086:10d3 class 020000"
grep -q "through ports" "$console" && fail "q35 has an MCFG table, which was not used"

boot 10 "" -machine pc "${devices[@]}" -device nvme,drive=d0,serial=x
must_show "configuration space through ports" "pci: 0000:00:00.0 8086:1237 class 060000" \
    "pci: 0000:00:0[0-9].0 8086:100e class 020000" "pci: 0000:00:0[0-9].0 1b36:0010 class 010802"
