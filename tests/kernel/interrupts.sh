#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a vector reaches its handler once per message and no more after it was given back; a storm
# is masked at its source, told about, and tried again; all vectors taken is an answer.
. tests/kernel/machine.sh
selftest irq
must_show "irq: storm on vector [0-9]+ \(stormy\): 4096 of 4096 interrupts unhandled"
