#!/usr/bin/env python3
"""Fails when a source of Segue breaks a rule of the layout.

    protocol <- router <- backfill <- proxy

A folder includes itself and what is left of it. Engines (protocol/<engine>, backfill/<engine>) know each other
never, and the cores around them do not know the engines. Besides: libraries only where they belong, no
file above 500 lines, no forbidden calls, no default: in a switch over an enumeration of our own.
"""

import os
import re
import sys

FOLDERS = ["protocol", "router", "backfill", "proxy"]  # In the arrow's order.
SOURCE = re.compile(r"\.(cpp|hpp)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
LINES_MAX = 500

# Only registries name the engines.
REGISTRIES = {"protocol/registry.cpp", "backfill/registry.cpp"}

# (library's headers, where they may be included). Everything else of the tree must not.
LIBRARIES = [
    (re.compile(r"^(boost/|asio)"), re.compile(r"^proxy/")),
    (re.compile(r"^spdlog/"), re.compile(r"^proxy/")),
    (re.compile(r"^(CLI/|toml\+\+/|nlohmann/)"), re.compile(r"^proxy/")),
    (re.compile(r"^(libpq-fe\.h|pqxx/)"), re.compile(r"^backfill/[a-z]+/")),
    (re.compile(r"^pg_query"), re.compile(r"^protocol/postgres/(parse_tree\.hpp|redacted\.cpp)$")),
    (re.compile(r"^openssl/"), re.compile(r"^(proxy/|protocol/(crypto|hash)\.cpp$|backfill/postgres/input_at_hand\.cpp$)")),
    # What logic without I/O has no use for.
    (re.compile(r"^(thread|mutex|shared_mutex|condition_variable|future|fstream|iostream|unistd\.h|sys/|netinet/)"),
     re.compile(r"^(backfill|proxy)/")),
]

ENGINE_NAMES = re.compile(r"postgres|\bpq|mysql|mariadb|redis|volt|tablestore|\blsn\b|\bgtid\b", re.IGNORECASE)

FORBIDDEN = [
    (re.compile(r"\bstd::system\s*\("), "std::system: start a process without a shell"),
    (re.compile(r"(?<![\w:.>])::system\s*\("), "system(): start a process without a shell"),
    (re.compile(r"\basio::detached\b"), "asio::detached hides exceptions: give co_spawn a handler"),
]


def blank(text):
    """The same text with comments, strings and characters blanked, so that positions stay."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    raw = r'R"([A-Za-z0-9_]*)\((?:.|\n)*?\)\1"'
    return re.sub(raw + r"|//[^\n]*|/\*(?:.|\n)*?\*/|\"(?:\\.|[^\"\\\n])*\"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
                  spaces, text)


def engine_of(path):
    """'postgres' for protocol/postgres/x.hpp and backfill/postgres/x.hpp; '' for what is not in an engine's folder."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] in ("protocol", "backfill") else ""


def check_include(path, included):
    """The reason why `path` must not include `included` (from the root), or None."""
    folder, other = path.split("/")[0], included.split("/")[0]
    if other not in FOLDERS:
        return "production code includes what is not production code"
    if FOLDERS.index(other) > FOLDERS.index(folder):
        return f"the arrow points the other way: {folder} does not know {other}"
    engine = engine_of(included)
    if not engine or folder == "proxy" or path in REGISTRIES:
        return None
    if folder == "router":
        return "router knows no engine"
    if not engine_of(path):
        return f"the core of {folder} knows no engine"
    if engine != engine_of(path):
        return "engines do not know each other"
    return None


def check_includes(path, text, exists):
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        included = match.group(2)
        if match.group(1) == '"':
            if not exists(included):
                yield line, f'"{included}": paths are from the root'
            elif reason := check_include(path, included):
                yield line, f'"{included}": {reason}'
            continue
        for library, where in LIBRARIES:
            if library.search(included) and not where.search(path):
                yield line, f"<{included}> does not belong here"


def switches(code):
    """(position, body) of every switch, nested ones cut out of the body of those around them."""
    for match in re.finditer(r"\bswitch\s*\(", code):
        start = code.find("{", match.end())
        depth, at = 0, start
        while 0 <= at < len(code):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            if depth == 0:
                break
            at += 1
        body = code[start + 1:at]
        while inner := re.search(r"\bswitch\s*\([^{}]*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", body):
            body = body[:inner.start()] + re.sub(r"[^\n]", " ", inner.group(0)) + body[inner.end():]
        yield match.start(), body


def check_code(path, text):
    code = blank(text)
    for pattern, reason in FORBIDDEN:
        for match in pattern.finditer(code):
            yield code.count("\n", 0, match.start()) + 1, reason
    # Our enumerations are scoped, so their labels are qualified; a library's codes are not, and
    # a message's `tag` is a byte of the peer's.
    for position, body in switches(code):
        if re.search(r"\bdefault\s*:", body) and re.search(r"\bcase\s+(?:\w+::)+(?!tag\b)\w+", body):
            yield code.count("\n", 0, position) + 1, "default: in a switch over an enumeration of ours"
    if path.startswith("router/"):
        for match in ENGINE_NAMES.finditer(code):
            yield code.count("\n", 0, match.start()) + 1, f"router names an engine: {match.group(0)}"


def check(path, text, exists):
    """Every (line, reason) for which a source is refused."""
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield lines, f"{lines} lines; the limit is {LINES_MAX}"
    if path.startswith("tests/"):
        return
    yield from check_includes(path, text, exists)
    yield from check_code(path, text)


def sources(root):
    for top in FOLDERS + ["tests"]:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if SOURCE.search(name):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main(root):
    refused = checked = 0
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        checked += 1
        for line, reason in check(path, text, lambda name: os.path.isfile(os.path.join(root, name))):
            print(f"{path}:{line}: {reason}")
            refused += 1
    print(f"{checked} sources, {refused} refused")
    return 1 if refused or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
