#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: Holdfast serves and goes off on the machines that `make run` can be asked for: one CPU and
four, little and much memory, both network cards, two disks."""
import appliance
from appliance import check
from nbd_client import Client

VARIANTS = {
    "one CPU": ["--smp", "1"],
    "four CPUs": ["--smp", "4"],
    "128 MiB": ["--memory", "128M"],
    "5 GiB": ["--memory", "5G"],
    "e1000e": ["--nic", "e1000e"],
}

for name, options in VARIANTS.items():
    image = appliance.path("pool.img")
    appliance.mkfs(image, "1G", {"first": "300M", "second volume": "1T"})
    with appliance.Machine([image], name.replace(" ", "-"), options) as machine:
        check(machine.state["volumes"] == ["first", "second volume"],
              f"{name}: the volumes are {machine.state['volumes']}")
        data = bytes(range(256)) * 4096
        with Client(machine.port, "second volume") as client:
            client.write((1 << 40) - len(data), data)
            check(client.read((1 << 40) - len(data), len(data)) == data, f"{name}: wrong data")
        machine.power_off()
    appliance.fsck(image)
    print(f"{name}: good")
