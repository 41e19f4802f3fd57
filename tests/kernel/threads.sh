#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: thousands of threads come and go, share the CPU by slice and class, sleep, and are woken
# from the timer interrupt, on one CPU and with more of them in the machine.
. tests/kernel/machine.sh
selftest sched
selftest sched -smp 3 -accel tcg,thread=multi
