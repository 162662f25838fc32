"""Text keeps within its width, loses nothing that fits, and cannot steer a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from emu.report.tables import cells, clean, clip, labelled, table, wrap


@given(st.text(max_size=200), st.integers(20, 100))
def test_wrapped_lines_keep_within_the_width_and_lose_no_word(text, width):
    lines = wrap(text, width, "label: ", "   ")
    assert all(cells(line) <= width for line in lines)
    joined = lines[0].removeprefix("label: ") + "".join(line.removeprefix("   ") for line in lines[1:])
    assert joined.replace(" ", "") == clean(text).replace(" ", "")


def test_words_are_kept_whole_where_they_fit():
    assert labelled("ran", "one two three four", 20) == ["ran       one two", "          three four"]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrap("", 10, "x ") == ["x "]


@given(st.text(max_size=40), st.integers(4, 30))
def test_clip_keeps_within_the_width(text, width):
    clipped = clip(text, width)
    assert cells(clipped) <= width
    assert clipped == clean(text) or clipped.endswith("..")


def test_wide_and_combining_characters_count_as_they_show():
    assert cells("ab") == 2
    assert cells("\u6f22\u5b57") == 4
    assert cells("e\u0301") == 1


def test_control_characters_are_shown_not_obeyed():
    assert clean("a\x1b[31mb\x07\r\n\tc\u202e") == "a?[31mb?   c?"


CELL = st.text(max_size=12)


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=4), st.integers(40, 90))
def test_tables_keep_within_the_width(rows, width):
    lines = table(("name", "a", "b", "c"), rows, width)
    assert len(lines) == len(rows) + 1
    assert all(cells(line) <= width for line in lines)


def test_columns_line_up_and_the_first_gives_way():
    assert table(("name", "n"), [("zone->lock", "12"), ("x", "3")], 80) == [
        "  name         n", "  zone->lock  12", "  x            3"]
    assert table(("name", "n"), [("a-very-long-name", "12")], 14, 0) == ["name         n", "a-very-lo.. 12"]
    assert table(("name", "n"), [], 80) == []
