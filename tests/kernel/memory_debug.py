#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
"""Goal: a build with MEMORY_DEBUG=1 also finds writes behind an object, writes to freed objects and
pages, and leaks; and still does everything else."""
import os
import subprocess

from image import BUILD, check, fault, selftest

DEBUG = os.path.join(BUILD, "memory-debug")
subprocess.run(["make", "--no-print-directory", "-j2", f"BUILD={DEBUG}", "MEMORY_DEBUG=1",
                f"LWIP={BUILD}/third_party/lwip", "kernel"], check=True)
image = os.path.join(DEBUG, "holdfast.elf")

fault("fault-write-behind", r"kfree\(0x\w+\): written behind its 100 bytes", "fault_write_behind",
      image=image)
fault("fault-write-freed", r"kmalloc: 0x\w+ was written after kfree", "fault_write_freed",
      image=image)
fault("fault-write-freed-page", r"page_alloc: the free page at 0x\w+ was written after page_free",
      "fault_write_freed_page", image=image)
fault("fault-double-free", r"kfree\(0x\w+\): double free", "fault_double_free", image=image)
text = selftest("leaks", image=image)
check("in use: 12345 bytes from leaks_are_reported+0x" in text, "the leak's place is not named")
selftest("memory", image=image)
