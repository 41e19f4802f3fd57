#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what `make run` does works: it makes a pool, boots, serves, and goes off cleanly on SIGTERM
and on SIGINT; the second boot finds the first one's pool and data."""
import signal

import appliance
from appliance import check, run
from nbd_client import Client

machine = appliance.Machine()
with machine:
    listing = run("nbdinfo", "--list", machine.uri())
    check('export="demo"' in listing, f"nbdinfo does not list the volume demo:\n{listing}")
    size = run("nbdinfo", "--size", machine.uri("demo")).strip()
    check(size == str(1 << 30), f"demo has {size} bytes, not 1 GiB")
    run("nbdinfo", machine.uri("nothing"), expect=1)
    with Client(machine.port, "demo") as client:
        client.write(12345, b"kept without any flush")
    print(f"off after {machine.power_off(signal.SIGTERM):.1f} s")
pool = machine.run_dir + "/pool.img"
appliance.fsck(pool)

with machine:
    machine.start()
    with Client(machine.port, "demo") as client:
        check(client.read(12345, 22) == b"kept without any flush", "the write was lost")
        check(client.read(1 << 29, 65536) == bytes(65536), "what was never written is not zero")
    print(f"off after {machine.power_off(signal.SIGINT):.1f} s")
appliance.fsck(pool)
