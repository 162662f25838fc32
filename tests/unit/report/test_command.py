"""The printed command, given back to a shell, is the recorded one."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.report.command import command_lines, quoted
from emu.report.tables import cells

WORD = st.one_of(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=150),
                 st.text("ab '\"\\$\n", max_size=120))


@settings(max_examples=25)
@given(st.lists(WORD, min_size=1, max_size=6), st.integers(60, 100))
def test_a_shell_reads_back_the_exact_arguments(argv, width):
    lines = command_lines(argv, width, "printf '%s\\0' ")
    assert all(cells(line) <= width for line in lines)
    out = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True,
                         env={"LC_ALL": "C.UTF-8"}).stdout
    assert out.decode().split("\0")[:-1] == argv


def test_a_short_command_is_one_plain_line():
    assert command_lines(["emu", "run", "a b.toml"], 80, "repeat: ") == ["repeat: emu run 'a b.toml'"]


def test_a_long_command_continues_behind_a_backslash():
    assert command_lines(["emu", "run", "x" * 50, "--set", "y" * 30], 59, "repeat: ") == [
        "repeat: emu run \\", "  " + "x" * 50 + " \\", "  --set " + "y" * 30]


def test_bytes_that_are_no_text_are_spelled_out():
    assert quoted("caf\udce9") == "$'caf\\xe9'"
    assert quoted("a\tb'") == "$'a\\x09b\\x27'"
    assert quoted("") == "''"
