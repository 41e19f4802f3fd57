#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: documents name only files and make targets that exist."""
import os
import re

import tree

TOPS = "|".join(re.escape(top) for top in tree.TOP)
PATH = re.compile(rf"(?<![\w/.-])((?:{TOPS})/[\w./*{{}},-]*[\w/*}}])|\]\(([^)#:]+)(?:#[^)]*)?\)")


def targets():
    rules = "\n".join(line for path in tree.files("Makefile", ".mk") for line in tree.lines(path))
    return set(re.findall(r"^([a-zA-Z_-]+):", rules, re.M))


def exists(name, document):
    if "*" in name or "{" in name or re.search(r"\b[A-Z]+/", name):
        return True  # a pattern, or a word in capitals that stands for any name
    return os.path.exists(name) or os.path.exists(os.path.join(os.path.dirname(document), name))


def main():
    complaints = []
    documents = tree.files(".md")
    for document in documents:
        for number, line in enumerate(tree.lines(document), 1):
            for match in PATH.finditer(line):
                name = match[1] or match[2]
                if not exists(name, document):
                    complaints.append(f"{document}:{number}: {name} does not exist")
            for target in re.findall(r"`make ([a-z-]+)", line):
                if target not in targets():
                    complaints.append(f"{document}:{number}: there is no target {target}")
    tree.finish(complaints, documents)


main()
