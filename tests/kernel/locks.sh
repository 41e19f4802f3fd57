#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: mutex, condition, read-write lock and completion keep their promises under many threads with
# preemption: nothing gets in together that must not, and no wake-up is lost.
. tests/kernel/machine.sh
selftest locks
words=cpus=all selftest locks -smp 2 -accel tcg,thread=multi
