#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: the processor refuses to write what can be executed and to execute what can be written:
text, its alias in the direct map, constants, data and heap. That no other mapping is both is part
of selftest=memory."""
from image import fault

fault("fault-write-text", r"write to 0xffffffff8\w+, forbidden: kernel text")
fault("fault-write-text-alias",
      r"write to 0xffff8000\w+, forbidden: the kernel's text or constants in the direct map")
fault("fault-write-rodata", r"write to 0xffffffff8\w+, forbidden: kernel constants")
fault("fault-execute-data", r"execution of 0xffffffff8\w+, forbidden: kernel data")
fault("fault-execute-heap", r"execution of 0xffff8\w+, forbidden: memory in the direct map")
