#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manual pages and shell completion: made from the tables, whole in both languages, without faults of form, and
bash completes by them."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import PROGRAM, Skip  # noqa: E402

CHINESE = os.path.join(lib.ROOT, "deploy/manual/zh_CN.po")


def tidegate(*arguments, code=0):
    result = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=60)
    assert result.returncode == code, (arguments, result.returncode, result.stdout + result.stderr)
    return (result.stdout + result.stderr).decode()


def pages():
    for section in ("1", "5"):
        yield f"English {section}", tidegate("manual", section)
        yield f"Chinese {section}", tidegate("manual", section, "--translation", CHINESE)


def plain(page):
    """The text of a page, as far as roff's escapes hide it."""
    text = re.sub(r"\\f[BIR]", "", page)
    return text.replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'").replace("\\(dq", '"')


def verbs():
    return re.findall(r"^  (\w+) ", tidegate("--help"), re.M)


def complete(*words):
    """What bash would offer for the last of the words."""
    script = ('source <("$0" completion bash)\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n_tidegate\n'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "--norc", "-euc", script, PROGRAM, "tidegate", *words], capture_output=True,
                            timeout=30, cwd=lib.ROOT)
    assert result.returncode == 0 and not result.stderr, (words, result)
    return set(result.stdout.decode().split())


# ---- manual ----


def test_every_sentence_has_a_translation_and_every_translation_a_sentence():
    told = subprocess.run([PROGRAM, "manual", "--missing", "--translation", CHINESE], capture_output=True, timeout=60)
    assert told.returncode == 0, (
        "a sentence of a table is new or changed: append these to deploy/manual/zh_CN.po with their Chinese text, "
        "and remove there what nobody says any more:\n" + told.stdout.decode() + told.stderr.decode())


def test_a_new_sentence_and_one_that_is_gone_are_both_told():
    path = os.path.join(lib.tempfile.mkdtemp(prefix="tidegate-manual-"), "zh.po")
    try:
        with open(CHINESE, encoding="utf-8") as file:
            text = file.read()
        assert 'msgid "The file to check."' in text
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace('msgid "The file to check."', 'msgid "The file to cheque."'))
        told = tidegate("manual", "--missing", "--translation", path, code=1)
        assert 'msgid "The file to check."\nmsgstr ""' in told, told
        assert '# nobody says this any more: "The file to cheque."' in told, told
        with open(path, "a", encoding="utf-8") as file:
            file.write('\nmsgid "Only this vendor."\nmsgstr "x"\nmsgid "one more"\nmsgstr "y"\n')
        assert "stands here twice" in tidegate("manual", "--translation", path, code=1)
        with open(path, "w", encoding="utf-8") as file:
            file.write('msgid "a\n')
        assert "line 1:" in tidegate("manual", "--translation", path, code=1)
    finally:
        shutil.rmtree(os.path.dirname(path))


def test_pages_have_no_fault_of_form():
    if not shutil.which("groff"):
        raise Skip("no groff: deploy/setup --tests installs groff-base")
    for name, page in pages():
        for device in ("utf8", "ascii") if name.startswith("English") else ("utf8",):
            result = subprocess.run(["groff", "-ww", "-man", "-Kutf8", f"-T{device}", "-z"], input=page.encode(),
                                    capture_output=True, timeout=60)
            assert result.returncode == 0 and not result.stderr, (name, result.stderr.decode()[:2000])


def test_every_verb_action_and_option_stands_in_both_languages():
    found = 0
    for language, page in ((name, plain(page)) for name, page in pages() if name.endswith("1")):
        for verb in verbs():
            text = tidegate(verb, "--help")
            actions = re.findall(rf"^  {verb} ([\w-]+) ", text, re.M) if "\nActions:" in text else []
            helps = [text] + [tidegate(verb, action, "--help") for action in actions]
            for name in re.findall(r"^  --([\w-]+)", "\n".join(helps), re.M):
                assert name == "help" or f"--{name}" in page, (language, verb, name)
                found += 1
            assert f".SS tidegate {verb}" in page, (language, verb)
    assert found > 100, found


def test_every_option_of_the_reference_stands_in_both_languages():
    names = set(re.findall(r"^(?:#?  +|)#?([a-z0-9_]+):", tidegate("validate", "--reference"), re.M))
    assert len(names) > 100, names
    for language, page in ((name, plain(page)) for name, page in pages() if name.endswith("5")):
        missing = [name for name in names if not re.search(rf"^{name}$|^\.SS {name}:", page, re.M)]
        assert not missing, (language, missing)


def test_the_chinese_pages_are_chinese():
    for name, page in pages():
        if name.startswith("Chinese"):
            share = len(re.findall("[一-鿿]", page)) / len(page)
            assert share > 0.15, (name, share)
            said = re.sub(r"^\.nf\n.*?^\.fi$", "", page, flags=re.M | re.S)
            assert "`" not in said, name


# ---- completion ----


def test_bash_completes_verbs_actions_options_and_values():
    assert set(verbs()) <= complete("")
    assert complete("va") == {"validate"}
    assert {"ls", "verify", "show"} <= complete("journal", "")
    assert complete("journal", "ver") == {"verify"}
    assert {"--config", "--data", "--help"} <= complete("run", "--")
    assert complete("run", "--conf") == {"--config"}
    assert complete("sim", "--mqtt", "") == {"3.1.1", "5"}
    assert complete("sim", "--json", "--qu") == {"--quiet"}
    assert {"ls", "--from", "--sink"} <= complete("replay", "")
    assert complete("replay", "ls", "--ad") == {"--admin", "--admin-ca"}


def test_bash_completes_files_where_files_are_wanted():
    assert "CMakeLists.txt" in complete("run", "--config", "CMakeL")
    assert "CMakeLists.txt" in complete("validate", "--config", "CMakeL")
    assert complete("run", "--listen", "CMakeL") == set()
    assert "CMakeLists.txt" in complete("decode", "CMakeL")


def test_bash_completes_what_is_no_word_of_ours_with_nothing():
    for word in ("$(touch x)", "`id`", "a*b", "-", "'", "\\"):
        complete(word, "")
    assert not os.path.exists(os.path.join(lib.ROOT, "x"))
    assert complete("nosuchverb", "--") <= {"--help", "--version"}


if __name__ == "__main__":
    lib.run(globals())
