"""Numbers print with three figures, the unit that fits, and never as more or less than they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.report.numbers import NBSP, count, duration, grouped, pages_size, per_second, ranges, share, significant


def plain(text):
    return text.replace(NBSP, " ")


@pytest.mark.parametrize(("ns", "text"), [
    (None, "-"), (0, "0 ns"), (0.0, "0 ns"), (1, "1 ns"), (640, "640 ns"), (999, "999 ns"), (999.6, "1.00 us"),
    (1_000, "1.00 us"), (1_234, "1.23 us"), (12_345, "12.3 us"), (999_499, "999 us"), (999_500, "1.00 ms"),
    (123_456_789, "123 ms"), (4_217_000_000, "4.22 s"), (99_950_000_000, "100 s"), (86_400 * 10**9, "86 400 s"),
    (0.25, "0.250 ns"), (12.34, "12.3 ns"), (-1_500, "-1.50 us"),
])
def test_durations(ns, text):
    assert plain(duration(ns)) == text


@given(st.integers(0, 2**63))
def test_a_duration_is_right_to_half_a_unit_of_its_third_figure(ns):
    number, unit = re.fullmatch(r"([\d.\xa0]+)\xa0(ns|us|ms|s)", duration(ns)).groups()
    shown = float(number.replace(NBSP, "")) * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert abs(shown - ns) <= 0.00501 * ns


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (0.5, "0.500"), (0.00123, "0.00123"), (0.000012, "1.2e-05"), (0.9999, "1.00"), (1.2, "1.20"),
    (9.996, "10.0"), (45.64, "45.6"), (99.96, "100"), (999.4, "999"), (999.6, "1 000"), (1234.5, "1 234"), (None, "-"),
    (-45.64, "-45.6"),
])
def test_three_significant_figures(number, text):
    assert plain(significant(number)) == text


@given(st.floats(1e-3, 998))
def test_significant_has_three_figures(number):
    figures = significant(number).replace(".", "").lstrip("0")
    assert len(figures) == 3
    assert float(significant(number)) == pytest.approx(number, rel=0.00501)


def test_counts_are_exact_to_ten_digits_and_short_after():
    assert plain(count(4_812_331)) == plain(grouped(4_812_331)) == "4 812 331"
    assert plain(count(9_999_999_999)) == "9 999 999 999"
    assert [plain(count(10**power)) for power in (10, 12, 16, 19)] == ["10.0 G", "1.00 T", "10.0 P", "10.0 E"]
    assert count(None) == grouped(None) == "-"


@given(st.integers(-(2**64), 2**64))
def test_a_grouped_number_is_the_number(number):
    assert int(grouped(number).replace(NBSP, "")) == number
    assert len(count(number)) <= 14


def test_shares_and_rates():
    assert plain(share(12, 432)) == "2.78 %"
    assert plain(share(0, 5)) == "0 %"
    assert share(1, 0) == share(None, 5) == "-"
    assert plain(per_second(43_200, 10**10)) == "4 320 per s"
    assert per_second(1, 0) == "-"


@given(st.integers(1, 10**6), st.integers(1, 2**62))
def test_a_share_that_is_not_zero_never_prints_as_zero(part, whole):
    assert float(share(part, whole).replace(NBSP, "").rstrip("%")) > 0


def test_pages_as_sizes():
    assert [plain(pages_size(pages)) for pages in (0, 23, 0.5, 256, 473_600, None)] == [
        "0 KiB", "92 KiB", "2.00 KiB", "1.00 MiB", "1.81 GiB", "-"]


@given(st.sets(st.integers(0, 40)))
def test_ranges_name_exactly_the_set(numbers):
    text = ranges(numbers)
    found = set()
    for part in text.split(",") if numbers else []:
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers
    assert numbers or text == "-"
