#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: thousands of threads come and go, share the CPU by slice and class, sleep, and are woken
# from the timer interrupt. On one processor: with more, shares are what the host gives each.
. tests/kernel/machine.sh
selftest sched
