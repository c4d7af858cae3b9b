#!/usr/bin/env python3
"""Fails when a code that `segue explain` knows is used by no check.

That a check uses no code which `explain` does not know is the compiler's part (backfill/finding_code.hpp).
"""

import glob
import os
import re
import sys


def codes_of(text):
    """The first string of every entry of a table of finding texts."""
    return re.findall(r'\{\s*"([a-z0-9_]+)",', text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def unused(tables, sources):
    used = "\n".join(sources)
    return [code for table in tables for code in codes_of(table) if f'"{code}"' not in used]


def main(root):
    tables = sorted(glob.glob(os.path.join(root, "backfill/finding_texts_*.hpp")))
    sources = [path for pattern in ("backfill/*.cpp", "backfill/postgres/*.cpp", "proxy/*.cpp")
               for path in glob.glob(os.path.join(root, pattern))]
    texts = [read(path) for path in tables]
    assert unused(['{"nobody_uses_it",'], ["x"]) == ["nobody_uses_it"]  # It must be able to fail.
    lost = unused(texts, [read(path) for path in sources])
    for code in lost:
        print(f"{code}: explained, and used by no check")
    count = sum(len(codes_of(text)) for text in texts)
    print(f"{count} codes, {len(lost)} unused")
    return 1 if lost or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
