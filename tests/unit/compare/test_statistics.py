"""Medians and their intervals, against samples whose answer is known."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.compare.statistics import against, bootstrap_medians, estimate, smallest_p

FIGURES = st.floats(-1e12, 1e12, allow_nan=False)
ABOVE_ZERO = st.floats(1e-3, 1e12)


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_the_interval_holds_the_median_and_keeps_within_the_sample(values):
    found = estimate(values)
    assert found.n == len(values)
    assert found.median == pytest.approx(statistics.median(values))
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


@given(st.lists(ABOVE_ZERO, min_size=1, max_size=10), st.lists(ABOVE_ZERO, min_size=1, max_size=10))
def test_the_interval_against_the_reference_holds_the_value(values, reference):
    found = against(values, reference)
    assert found.kind == "ratio"
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(statistics.median(values) / statistics.median(reference))


@given(FIGURES, st.integers(1, 12), st.integers(1, 12))
def test_identical_samples_are_never_different(figure, n, m):
    found = against([figure] * n, [figure] * m)
    assert not found.significant
    assert found.low == found.value == found.high == (1.0 if found.kind == "ratio" else 0.0)


def test_more_samples_narrow_the_interval():
    spread = [(i * 37 % 100) / 10 for i in range(100)]
    widths = [(found := estimate(spread[:n])).high - found.low for n in (5, 20, 100)]
    assert widths[0] > widths[1] > widths[2] > 0


def test_the_same_values_give_the_same_interval():
    assert estimate([3.0, 1.0, 2.0, 9.0]) == estimate([3.0, 1.0, 2.0, 9.0])


def test_medians_of_two_values_have_the_shares_that_counting_gives():
    medians = bootstrap_medians([0.0, 1.0]).tolist()  # 00, 01, 10, 11: a quarter, a half, a quarter
    shares = {figure: medians.count(figure) / len(medians) for figure in (0.0, 0.5, 1.0)}
    assert shares == {0.0: pytest.approx(0.25, abs=0.05), 0.5: pytest.approx(0.5, abs=0.05),
                      1.0: pytest.approx(0.25, abs=0.05)}


def test_the_interval_of_a_normal_median_has_the_known_width():
    """Standard error of the median of n values of a normal law: 1.2533 / sqrt(n)."""
    n = 400
    values = [statistics.NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    found = estimate(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.2533 / math.sqrt(n), rel=0.2)


def test_samples_far_apart_are_different_from_four_runs_on():
    for n in range(1, 8):
        found = against([100.0 + i for i in range(n)], [1.0 + i for i in range(n)])
        assert found.significant == (n >= 4)
        assert found.too_few == (n < 4)


def test_overlapping_samples_are_not_different():
    assert not against([9.0, 10.0, 11.0, 12.0, 8.0], [10.0, 9.5, 11.5, 8.5, 12.0]).significant


def test_a_zero_makes_it_a_difference():
    found = against([0.0, 0.0, 0.0, 0.0], [5.0, 6.0, 7.0, 6.0])
    assert (found.kind, found.value, found.significant) == ("difference", -6.0, True)


def test_the_smallest_p_is_that_of_the_permutation_test():
    assert [round(smallest_p(n, n), 4) for n in (1, 2, 3, 4, 5)] == [1.0, 0.3333, 0.1, 0.0286, 0.0079]
