#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: os.h's memory is whole in any number of pages, says NULL when there is none, asks caches to
# shrink; os_random differs, with the processor's entropy and without.
. tests/kernel/machine.sh
selftest os
must_show "hardware entropy: yes"
selftest os -cpu max,-rdrand,-rdseed -m 64
must_show "hardware entropy: no"
