#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: `make run` refuses what cannot work with a sentence that says what to do instead."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from appliance import BUILD, check, path, run


def refuses(*options, because):
    output = run("tools/run/holdfast-run", "--build", BUILD, "--run-dir", path("run"), "--port",
                 "0", *options, expect=1)
    check(because in output, f"{options}: {output}")
    check("Traceback" not in output, output)


refuses("--disk-bus", "ahci", because="no AHCI driver yet")
refuses("--disk-bus", "scsi", because="nvme")
refuses("--nic", "rtl8139", because="e1000 or e1000e")
refuses("--disk", path("absent.img"), because="mkfs.lfsx --size")
refuses("--build", path("nowhere"), because="make kernel")
refuses("--pool-size", "many", because="not a size")
with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    refuses("--port", str(port), because=f"NBD_PORT={port + 1}")
check(not os.path.exists(path("run/pool.img")), "a refused run made a pool")
