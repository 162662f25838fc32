"""Medians of few runs, with bootstrap intervals: what differs, and what only looks as if it did.

Holds   Estimate, Against, estimate(), against(), bootstrap_medians().
Rule    the figure of an arm is the median of its runs. Its interval is the percentile bootstrap of that median: draw
        as many runs with replacement, take the median, RESAMPLES times; between the 2.5th and the 97.5th percentile.
        Two arms are resampled apart and compared draw by draw: as a ratio where every value is above zero, else as a
        difference. A difference counts as significant when its interval leaves out "no difference" AND so many runs
        could show one at all: a rank test of n against m runs cannot go below 2 / C(n + m, n), which two or three
        repeats do not bring under 5 %. The seed is fixed: the same values give the same intervals.
Limits  intervals of few runs are rough, and run to the extremes of what was seen. Of twenty figures one leaves
        its interval by chance; nothing is corrected for that.
After   B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

import math
from typing import NamedTuple

RESAMPLES = 2000
LEVEL = 0.95
SEED = 20_200_918


class Estimate(NamedTuple):
    """A median and its interval; n: how many values it stands on."""

    n: int
    median: float
    low: float
    high: float


class Against(NamedTuple):
    """An arm against the reference. kind: "ratio" (arm / reference) or "difference" (arm - reference)."""

    kind: str
    value: float
    low: float
    high: float
    significant: bool
    too_few: bool


def bootstrap_medians(values, seed=SEED):
    """RESAMPLES medians of samples drawn from `values` with replacement, as a numpy array."""
    import numpy as np

    rng = np.random.default_rng(seed)
    sample = np.asarray(values, dtype=float)
    return np.median(sample[rng.integers(0, len(sample), (RESAMPLES, len(sample)))], axis=1)


def _interval(draws):
    import numpy as np

    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _median(values):
    row = sorted(values)
    middle = len(row) // 2
    return float(row[middle]) if len(row) % 2 else (row[middle - 1] + row[middle]) / 2


def estimate(values) -> Estimate:
    """Median and interval of one arm's values (at least one). One value alone has no spread: its interval is itself."""
    assert values
    median = _median(values)
    if len(values) == 1:
        return Estimate(1, median, median, median)
    low, high = _interval(bootstrap_medians(values))
    return Estimate(len(values), median, min(low, median), max(high, median))


def smallest_p(n, m):
    """The smallest p-value that a two-sided rank test of n against m values can reach."""
    return 2 / math.comb(n + m, n)


def against(values, reference) -> Against:
    """`values` of one arm held against those of the reference arm, each at least one."""
    ours, theirs = _median(values), _median(reference)
    draws, others = bootstrap_medians(values, SEED + 1), bootstrap_medians(reference, SEED + 2)
    ratio = min(values) > 0 and min(reference) > 0
    low, high = _interval(draws / others if ratio else draws - others)
    value, same = (ours / theirs, 1.0) if ratio else (ours - theirs, 0.0)
    low, high = min(low, value), max(high, value)
    too_few = smallest_p(len(values), len(reference)) > 1 - LEVEL + 1e-12
    return Against("ratio" if ratio else "difference", value, low, high,
                   not too_few and not low <= same <= high, too_few)
