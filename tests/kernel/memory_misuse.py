#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: a double free, and a free of what was not allocated, stop the kernel at the culprit."""
from image import fault

fault("fault-double-free", r"kfree\(0x[0-9a-f]+\): double free of an object of 128 bytes",
      "backtrace:", r"slab_free\+", r"kfree\+", r"fault_double_free\+")
fault("fault-double-free-pages", r"page_free\(0x[0-9a-f]+, 3\): double free", "backtrace:",
      r"page_free\+", "fault_double_free_pages")
fault("fault-free-inside", r"kfree\(0x[0-9a-f]+\): inside of an object of 1024 bytes",
      "backtrace:", "fault_free_inside")
