#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the kernel's own memory and string functions do what ISO C says
(kernel/selftest/selftest_library.c compares them with the plainest code)."""
from image import selftest

selftest("library")
