"""Sparse HdrHistogram buckets: merge, percentile, mean, without the segment they were recorded in.

Holds   the arithmetic of log-linear buckets (lowest value 1, 2 significant figures, so 256 sub-buckets of
        which 128 are new in each further bucket), and Buckets, a distribution of one or many processes.
Rule    values below 256 have a bucket of their own; from there each doubling has 128 buckets, so a value is
        known to 1/128. A percentile is the highest value that its bucket stands for, as HdrHistogram says.
        Sum, min and max are exact, and so is the mean.
Limits  values 0 .. 2**42 - 1 (73 minutes in ns); the recorder clamps what lies outside and counts it.
After   the published description of HdrHistogram; checked against the `hdrhistogram` package in the tests.
"""

from collections import Counter
from itertools import accumulate
from typing import NamedTuple

HALF_MAGNITUDE = 7
HALF = 1 << HALF_MAGNITUDE  # sub-buckets that a doubling adds
SUB_BUCKETS = 2 * HALF
HIGHEST_TRACKABLE = 2**42 - 1
COUNTS_LEN = (HIGHEST_TRACKABLE.bit_length() - HALF_MAGNITUDE + 1) * HALF


def index_of(value):
    """The bucket of `value`, a whole number in 0 .. HIGHEST_TRACKABLE."""
    assert 0 <= value <= HIGHEST_TRACKABLE
    shift = max(value.bit_length() - HALF_MAGNITUDE - 1, 0)
    return (shift << HALF_MAGNITUDE) + (value >> shift)


def _shift_of(index):
    return max((index >> HALF_MAGNITUDE) - 1, 0)


def lowest_of(index):
    """The lowest value that bucket `index` stands for."""
    shift = _shift_of(index)
    return (index - (shift << HALF_MAGNITUDE)) << shift


def highest_of(index):
    """The highest value that bucket `index` stands for."""
    return lowest_of(index) + (1 << _shift_of(index)) - 1


class Buckets(NamedTuple):
    """A distribution: exact total, sum, min and max, and (index, count) pairs in rising order.

    `unit` is that of the values. `clamped` counts values that lay outside the range. An empty one has
    total 0; its percentiles and mean are None. Immutable; merging makes a new one.
    """

    unit: str = "ns"
    total: int = 0
    sum: int = 0
    min: int = 0
    max: int = 0
    clamped: int = 0
    counts: tuple = ()

    @classmethod
    def from_sparse(cls, sparse, unit="ns"):
        """One process's histogram, as it stands in a record."""
        return cls.merged([sparse], unit)

    @classmethod
    def merged(cls, parts, unit="ns"):
        """The histograms of several processes (sparse, as in a record) as one distribution."""
        counts = Counter()
        total = sum_ = clamped = highest = 0
        lowest = None
        for part in parts:
            clamped += part["clamped"]
            if part["total"] <= 0:
                continue
            for index, count in part["counts"]:
                counts[index] += count
            total += part["total"]
            sum_ += part["sum"]
            lowest = part["min"] if lowest is None else min(lowest, part["min"])
            highest = max(highest, part["max"])
        return cls(unit, total, sum_, lowest or 0, highest, clamped, tuple(sorted(counts.items())))

    @property
    def mean(self):
        """Exact mean, or None when nothing was recorded."""
        return self.sum / self.total if self.total else None

    def percentile(self, percent):
        """The value that `percent` of all values do not exceed, to bucket precision; None when empty.

        Ranks count what the buckets hold: a process killed inside a recording may have a total one apart.
        """
        recorded = sum(count for _, count in self.counts)
        if not recorded:
            return None
        rank = max(int(min(percent, 100.0) * recorded / 100 + 0.5), 1)
        seen = accumulate(count for _, count in self.counts)
        index = next(index for (index, _), reached in zip(self.counts, seen, strict=True) if reached >= rank)
        return highest_of(index) if percent else lowest_of(index)

    def shown(self, percent):
        """As percentile(), but never above the largest value seen: a p99 above the maximum reads as a fault."""
        value = self.percentile(percent)
        return value if value is None else min(value, max(self.max, lowest_of(self.counts[0][0])))
