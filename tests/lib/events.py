# SPDX-License-Identifier: Apache-2.0
"""Checks every log_event in the tree against the table in gateway/base/log_events.c: the name has a row, the
level is one of the row's, facts are key=value, no key comes twice or is one of the head's; and that every row
has somebody who writes it. layers.py runs it.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = "gateway/base/log_events.c"
ROW = re.compile(r'\{"(\w+)",\s*([A-Z_ |\n]+?),\s*"', re.S)
STRING = r'"(?:\\.|[^"\\])*"'
HEAD = {"time", "level", "event", "text", "cut", "log_lines_dropped"}
CONVERSION = re.compile(r"%[-+ #0-9.*]*(?:hh|h|ll|l|z|j|t)?(.)")
KEY = re.compile(r'(?:^| )([a-z0-9_]+)=("[^"]*"|[^ ]*)')


def rows(text):
    """name -> levels, in the order of the table."""
    return {name: set(re.findall(r"LEVEL_(\w+)", levels)) for name, levels in ROW.findall(text)}


def arguments(text, at):
    """The arguments of a call whose parenthesis opens at `at`, split at its commas."""
    depth, begin, parts, i = 0, at + 1, [], at
    while i < len(text):
        byte = text[i]
        if byte == '"':
            i = re.compile(STRING).match(text, i).end()
            continue
        if byte in "([{":
            depth += 1
        elif byte in ")]}":
            depth -= 1
            if depth == 0:
                return parts + [text[begin:i]]
        elif byte == "," and depth == 1:
            parts.append(text[begin:i])
            begin = i + 1
        i += 1
    raise ValueError("a call does not end")


def unquote(literals):
    """Literals that stand side by side, as one text; PRIu64 and its like between them as `lu`."""
    out = ""
    for piece in re.findall(STRING + r"|PRI\w+", literals):
        out += re.sub(r"\\(.)", r"\1", piece[1:-1]) if piece[0] == '"' else "l" + piece[3]
    return out


def check_format(text):
    keys = [key for key, _ in KEY.findall(text)]
    for key in keys:
        if key in HEAD - {"text"} or keys.count(key) > 1:
            yield f"the key `{key}` is taken"
    for letter in CONVERSION.findall(text):
        if letter not in "diuxfgsc%":
            yield f"the conversion %{letter} is not one of log.h"
    if re.search(r'=""|= |=$', text.replace('="%s"', "=x")):
        yield "a key without a value"


def check_file(path, text, table, seen):
    for call in re.finditer(r"\blog_(event|lines)\(", text):
        where = f"{path}:{text.count(chr(10), 0, call.start()) + 1}"
        parts = arguments(text, call.end() - 1)
        if re.match(r"\s*enum log_level", parts[0]):
            continue  # its own definition
        names = re.findall(r'"(\w+)"', parts[1])
        if not names:
            # A variable: whatever the file gives to it as a word of the table.
            names = [name for name in re.findall(r'"(\w+)"', text) if name in table]
        levels = set(re.findall(r"LOG_(\w+)", parts[0]))
        for name in names:
            seen.add(name)
            if name not in table:
                yield f"{where}: event {name} has no row in {TABLE}"
            elif len(names) == 1 and not levels <= table[name]:
                yield f"{where}: event {name} at level {'/'.join(sorted(levels - table[name]))}, which its row lacks"
        if call.group(1) == "event":
            for fault in check_format(unquote(parts[2])):
                yield f"{where}: {fault}"


def check():
    """Lines of what is wrong."""
    with open(os.path.join(ROOT, TABLE), encoding="utf-8") as file:
        table = rows(file.read())
    found, seen = [], {"log_held_back"}  # that one log.c writes itself
    for top in ("gateway", "codecs", "sinks"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), ROOT)
                if name.endswith((".c", ".cc")) and path not in (TABLE, "gateway/base/log.c"):
                    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                        found.extend(check_file(path, file.read(), table, seen))
    found += [f"{TABLE}: nobody writes event {name}" for name in table if name not in seen]
    if list(table) != sorted(table):
        found.append(f"{TABLE}: the rows are not sorted by name")
    return found + blind(table)


def blind(table):
    """The check must be able to fail."""
    cases = ['log_event(LOG_INFO, "no_such_event", "a=%d", 1);', 'log_event(LOG_DEBUG, "ready", "a=%d", 1);',
             'log_event(LOG_INFO, "ready", "a=%d a=%d", 1, 2);', 'log_event(LOG_INFO, "ready", "a=%p", 1);',
             'log_event(LOG_INFO, "ready", "time=%d", 1);']
    return [f"events.py does not see the fault in {case}" for case in cases
            if not list(check_file("planted", case, table, set()))]


if __name__ == "__main__":
    for line in check():
        print(line)
    sys.exit(1 if check() else 0)
