#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: a stack that overflows hits its guard page and is reported as that, though the fault finds
no stack to be reported on."""
from image import fault

fault("fault-stack", r"double fault: stack pointer 0xffffffff8\w+; last page fault at 0x\w+: "
      r"guard page under the boot stack: stack overflow", r"#0 +0x\w+ recurse",
      r"#5 +0x\w+ recurse")
fault("fault-thread-stack", r"page fault: write to 0xfffff0\w+, not mapped: "
      r"guard page under a stack: stack overflow", "fault_thread_stack")
