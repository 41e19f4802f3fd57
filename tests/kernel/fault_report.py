#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: an exception, and a broken assertion, are reported with what happened, the registers and a
backtrace with names, and with panic=exit the machine is left."""
from image import fault

fault("fault-null", r"page fault: write to 0x0000000000000008, not mapped: null pointer",
      r"rip ffffffff8\w+  rsp ", r"cr4 ", r"#0 +0xffffffff8\w+ fault_null\+0x",
      r"#\d+ +0x\w+ kernel_main\+0x", r"boot_start\+0x", "has stopped on CPU 0")
fault("fault-divide", r"exception 0: divide error", r"#0 +0x\w+ fault_divide\+0x")
fault("fault-assert",
      r'kernel/selftest/selftest\.c:\d+: assertion failed: command_line_get\("selftest"\)',
      "backtrace:", r"selftest_run\+0x")
