"""The table keeps to 80 columns and marks a missed aim, on the right side of it."""

import pytest

from emu.bench.catalogue import Bench, Host
from emu.bench.measure import Figure, Spread
from emu.bench.table import figure_text, foot_lines, head_lines, row_lines, skipped_line


def figure(value, unit="ns", excess=None, notes=()):
    spread = Spread(value, value / 2, value * 2)
    return Figure(unit, spread, spread, 1.0, notes, excess and Spread(excess, excess, excess))


def bench(unit="ns", aim=8.0, excess=False):
    return Bench("name", "refill/2core", unit, aim, run=None, excess=excess)


@pytest.mark.parametrize("value, text", [
    (0.254, "0.25"), (9.994, "9.99"), (10.04, "10.0"), (99.94, "99.9"), (213.4, "213"), (123456.0, "123456"),
])
def test_figures_have_three_digits_that_matter(value, text):
    assert figure_text(value) == text


@pytest.mark.parametrize("row, value, missed", [
    (bench(), figure(8.0), False), (bench(), figure(8.1), True),
    (bench("M/s", 40), figure(40.0, "M/s"), False), (bench("M/s", 40), figure(39.0, "M/s"), True),
    (bench("us", 1, excess=True), figure(15.0, "us", excess=0.9), False),
    (bench("us", 1, excess=True), figure(15.0, "us", excess=1.1), True),
    (bench(aim=None), figure(1e9), False),
])
def test_a_median_beyond_the_aim_is_marked(row, value, missed):
    (line,) = row_lines(row, value, judged=True)
    assert line.endswith("!") == missed
    (unjudged,) = row_lines(row, value, judged=False)
    assert not unjudged.endswith("!")


@pytest.mark.parametrize("far", [1, None])
def test_no_line_is_wider_than_80_columns(far):
    host = Host(near=0, far=far, rounds=100, quick=True)
    wide = Spread(123456.0, 123456.0, 1234567.0)
    lines = list(head_lines(host, "A processor with a very long name " * 5, "numba 0.68.1, Python 3.11.7", wide,
                            wide if far else None, interpreted=True))
    lines += row_lines(bench("M/s", 640), figure(123456.0, "M/s", notes=("a note",)), judged=True)
    lines += [skipped_line(bench()), *foot_lines(host)]
    assert max(map(len, lines)) <= 80
    assert any("interpreted" in line for line in lines)


def test_notes_follow_their_row():
    row, note = row_lines(bench(), figure(1.0, notes=("measured beside it",)), judged=True)
    assert row.split()[0] == "refill/2core" and note == "    measured beside it"
