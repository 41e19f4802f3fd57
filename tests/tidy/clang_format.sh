#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: all C source is laid out as .clang-format says.
set -eu
find base kernel host drivers storage net services tools tests bench -name '*.[ch]' -print0 |
    xargs -0 clang-format --dry-run -Werror
