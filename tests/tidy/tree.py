# SPDX-License-Identifier: Apache-2.0
"""The project's own files, for the tests of this folder."""
import os
import sys

TOP = ("base", "kernel", "host", "drivers", "storage", "net", "services", "tools", "tests", "bench",
       "docs", "third_party", ".ci")


def files(*endings):
    """All files of the project whose names end so; those without an ending count if they start
    with "#!". Fetched source and what is built lie elsewhere."""
    found = [name for name in os.listdir(".") if os.path.isfile(name)]
    for top in TOP:
        for folder, _, names in os.walk(top):
            if "__pycache__" not in folder:
                found += [os.path.join(folder, name) for name in names]
    return sorted(name for name in found if name.endswith(endings))


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().split("\n")


def finish(complaints, checked):
    """Ends the test: prints what is wrong; fails also if it looked at nothing."""
    for complaint in complaints:
        print(complaint)
    if not checked:
        print("nothing was checked")
    sys.exit(1 if complaints or not checked else 0)
