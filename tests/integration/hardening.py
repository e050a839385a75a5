# SPDX-License-Identifier: Apache-2.0
"""What the compiler and linker put into the program against faults that nobody has found yet: read from the program
itself with readelf, because a flag that is given is not always a flag that works.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import gateway as lib


def readelf(*options):
    result = subprocess.run(["readelf", "-W", *options, lib.PROGRAM], capture_output=True, check=True, timeout=120)
    return result.stdout.decode()


def imports():
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms")))


def unsanitized():
    if any(name.startswith(("__asan", "__tsan", "__ubsan")) for name in imports()):
        raise lib.Skip("a build with a sanitizer has other means")


def test_it_lies_at_a_random_address():
    assert re.search(r"Type:\s+DYN \(Position-Independent Executable", readelf("-h"))
    assert "PIE" in readelf("-d")


def test_its_tables_are_read_only_after_the_start_and_its_stack_is_no_code():
    unsanitized()
    segments = readelf("-l")
    assert "GNU_RELRO" in segments
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack and "RWE" not in segments, stack
    assert re.search(r"\bNOW\b", readelf("-d")), "functions are looked up late, so their table stays writable"


def test_stack_frames_and_copies_are_checked():
    unsanitized()
    names = imports()
    assert "__stack_chk_fail" in names
    checked = {name for name in names if name.endswith("_chk")}
    assert {"__memcpy_chk", "__snprintf_chk", "__vsnprintf_chk"} <= checked, checked


def test_jumps_go_where_they_may():
    unsanitized()
    if "X86-64" not in readelf("-h"):
        raise lib.Skip("the mark is of x86-64")
    # The linker sets the mark only when every object of the program has it.
    notes = readelf("-n")
    if "IBT" not in notes:
        objects = subprocess.run(["objdump", "-d", "--no-show-raw-insn", lib.PROGRAM], capture_output=True,
                                 timeout=300).stdout
        assert objects.count(b"endbr64") > 1000, notes


def test_nothing_is_loaded_from_unusual_places_and_no_forbidden_function_is_there():
    assert not re.search(r"\((RPATH|RUNPATH)\)", readelf("-d"))
    assert not imports() & {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "mktemp", "tmpnam", "system", "popen"}


if __name__ == "__main__":
    lib.run(globals())
