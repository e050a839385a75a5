# SPDX-License-Identifier: Apache-2.0
"""Checks #include lines against the arrows of gateway/README.md, and who makes disk calls.

base <- model <- codecs;  model <- reading <- sinks;  model <- journal <- sources;  gateway uses all. One codec, sink
or source never includes another one's folder. CMake's link lines state the arrows too, but a header
alone needs no link line. Then events.py, which checks the log's events in the same way.
"""
import os
import re
import sys

import events

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# layer -> layers it may include beside itself
ARROWS = {
    "base": set(),
    "model": {"base"},
    "codecs": {"base", "model"},
    "reading": {"base", "model"},
    "sinks": {"base", "model", "reading"},
    "journal": {"base", "model"},
    "sources": {"base", "model", "journal"},
    "sim": {"base", "model"},
    "gateway": {"base", "model", "codecs", "reading", "sinks", "journal", "sources", "sim"},
}
FOLDERS = [
    ("gateway/base/", "base"),
    ("gateway/model/", "model"),
    ("gateway/journal/", "journal"),
    ("gateway/sources/", "sources"),
    ("gateway/sim/", "sim"),
    ("gateway/", "gateway"),
    ("codecs/reading/", "reading"),
    ("codecs/", "codecs"),
    ("sinks/", "sinks"),
]
# Folders below which each folder is an island.
ISLANDS = ("codecs/", "sinks/", "gateway/sources/")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
# Calls that change what is on disk belong to base/disk.c. The file's own words, as calls.
DISK_CALL = re.compile(
    r"(?<![\w.>])(pwrite|pwritev|fdatasync|fsync|sync_file_range|fallocate|posix_fallocate|ftruncate|"
    r"rename|renameat|renameat2|unlink|unlinkat|mkdir|mkdirat|rmdir|link|linkat|openat|creat|open)\s*\("
)
# Reading /proc or the zone files is nobody's data.
FOPEN_WRITE = re.compile(r'fopen\([^;]*?,\s*"[^"]*[wa+]')
# Files that write what need not survive: the simulator's ledger is a client's file, not the gateway's.
DISK_ALLOWED = ("gateway/base/disk", "gateway/sim/", "gateway/cli/")


def layer_of(path):
    for prefix, layer in FOLDERS:
        if path.startswith(prefix):
            return layer
    return None


def island_of(path):
    for prefix in ISLANDS:
        if path.startswith(prefix):
            rest = path[len(prefix):].split("/")
            return prefix + rest[0] if len(rest) > 1 else None
    return None


def sources():
    for top in ("gateway", "codecs", "sinks"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if re.search(r"\.(c|h|cc)$", name) and "fuzz" not in name:
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def resolve(path, include):
    """The file that an include line names, or None when it is not ours."""
    for base in ("", "gateway/", os.path.dirname(path) + "/"):
        candidate = os.path.normpath(base + include)
        if os.path.exists(os.path.join(ROOT, candidate)):
            return candidate
    return None


def strip(text):
    """Without comments and strings, so that words in them are not calls."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.S)


def check_file(path, text):
    layer, island = layer_of(path), island_of(path)
    registry = re.fullmatch(r"(codecs|sinks)/registry\.c", path)
    for include in INCLUDE.findall(text):
        target = resolve(path, include)
        if target is None:
            yield f"{path}: includes {include}, which is not in the tree"
            continue
        other = layer_of(target)
        if other != layer and other not in ARROWS[layer]:
            yield f"{path}: layer {layer} includes {target} of layer {other}"
        if not registry and other == layer and island_of(target) not in (None, island):
            if island is not None or layer != "gateway":
                yield f"{path}: includes {target}, another island"
    if path.endswith(".h") or path.startswith(DISK_ALLOWED):
        return
    begin = r"^\s*" if path.endswith(".cc") else "^"  # methods are indented
    own = set(re.findall(begin + r"[a-z][^;(=]*?\b(\w+)\([^;]*$", text, re.M))  # functions of the same name
    for call in DISK_CALL.finditer(strip(text)):
        if call.group(1) not in own:
            yield f"{path}: calls {call.group(1)}(), which only base/disk.c does"
    if FOPEN_WRITE.search(text):
        yield f"{path}: opens a file to write, which only base/disk.c does"


def self_check():
    """The check must be able to fail."""
    cases = [
        ("gateway/base/arena.c", '#include "journal/journal.h"\n'),
        ("codecs/codec.c", '#include "sinks/sink.h"\n'),
        ("gateway/model/batch.c", "void f(void) { fdatasync(3); }\n"),
    ]
    return [path for path, text in cases if not list(check_file(path, text))]


def main():
    blind = self_check()
    found, count = [], 0
    for path in sources():
        count += 1
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            found.extend(check_file(path, file.read()))
    found.extend(events.check())
    for line in found + [f"layers.py does not see a planted fault in {path}" for path in blind]:
        print(line)
    print(f"{count} files")
    return 1 if found or blind or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
