"""A loop beside its bare twin, A B A B, and what comes of it: medians, ranges, and the ratio by round.

Holds   Sides (two loops that can be sampled), measure(), Figure.
Rule    one round is one sample of each, close together in time, so that a host which changes its pace between
        rounds changes both. The ratio is the median of the rounds' ratios, not the ratio of medians. All sizes are
        fixed before the first round.
Limits  the clock is read outside of the loop, so a sample must be long against a call from Python (0.3 us).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

SAMPLE_NS = 20_000_000
CALIBRATE_NS = 1_000_000
SIZE_MAX = 1 << 30


class Sides(Protocol):
    """Two loops over the same number of items. `step`: n is a multiple of it. small: a size that shows it runs."""

    step: int
    small: int

    def sample(self, n: int) -> int:
        """Nanoseconds that the loop takes for n items."""

    def sample_bare(self, n: int) -> int:
        """Nanoseconds that its bare twin takes."""


@dataclass
class OneCore:
    """Two compiled loops (seg, n) on this process's core."""

    seg: object
    loop: Callable
    bare: Callable
    setup: Callable[[], None] = field(default=lambda: None)  # before each sample
    step: int = 1
    small: int = 64

    def sample(self, n: int) -> int:
        return self._timed(self.loop, n)

    def sample_bare(self, n: int) -> int:
        return self._timed(self.bare, n)

    def _timed(self, loop: Callable, n: int) -> int:
        self.setup()
        start = time.perf_counter_ns()
        loop(self.seg, n)
        return time.perf_counter_ns() - start


@dataclass(frozen=True)
class Spread:
    """Median, least and most of a figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        values = list(values)
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Figure:
    """One row of the table. unit: "ns" or "us" per item, "M/s" items; ratio: time of the loop / time of its twin."""

    unit: str
    value: Spread
    bare: Spread
    ratio: float
    notes: tuple[str, ...] = ()
    excess: Spread | None = None  # loop - bare, where the aim is set on that


def choose_size(sides: Sides, quick: bool) -> int:
    """Items per sample: `small` when quick, else as many as take about SAMPLE_NS, in whole steps."""
    if quick:
        return -(-sides.small // sides.step) * sides.step
    n = sides.step
    while (took := max(1, sides.sample(n))) < CALIBRATE_NS and n < SIZE_MAX:
        n *= 4
    return max(1, n * SAMPLE_NS // took // sides.step) * sides.step


def in_unit(unit: str, elapsed_ns: float, n: int) -> float:
    """A sample in the unit of its row."""
    per_item = max(1, elapsed_ns) / n
    return {"ns": per_item, "us": per_item / 1000, "M/s": 1000 / per_item}[unit]


def measure(sides: Sides, unit: str, rounds: int, quick: bool) -> Figure:
    """Sample both sides alternately, `rounds` times."""
    sides.sample(sides.step)  # compiled, and warm
    sides.sample_bare(sides.step)
    n = choose_size(sides, quick)
    pairs = [(sides.sample(n), sides.sample_bare(n)) for _ in range(rounds)]
    return Figure(
        unit=unit,
        value=Spread.of(in_unit(unit, ours, n) for ours, _ in pairs),
        bare=Spread.of(in_unit(unit, bare, n) for _, bare in pairs),
        ratio=median(ours / max(1, bare) for ours, bare in pairs),
    )
