"""Log-linear histograms, recorded from compiled code, read by Python: HdrHistogram's buckets.

Holds   HIST (name -> index), HIST_UNITS, hist_record(), hist_record_n(), hist_count() and the class Histogram.
Rule    values 0..255 have a bucket each; above, each power of two is cut into 128 equal buckets: the
        bucket's width is below 1 % of its values. These are the buckets of HdrHistogram with lowest 1, two
        significant figures and highest HIST_MAX, so percentiles agree with every other implementation.
        One block of all histograms per process, written by that process alone (relaxed load and store).
Limits  values above HIST_MAX (73 minutes in ns) are recorded as HIST_MAX, negative ones as 0; both are
        counted in `clamped`, so a report can say so. A process killed inside hist_record() leaves at most
        that one value half recorded: a Histogram takes its total from the counts, which are what percentiles use.
After   HdrHistogram (G. Tene).
"""

from collections.abc import Iterator
from typing import NamedTuple

from emu.arch import fls64, jit, load_relaxed, store_relaxed, wrap64
from emu.errors import ResultError
from emu.shm import HEADER, MAP, line, record, region, struct

# name -> unit. The order is the layout.
HIST_UNITS = {
    "kvfree_call_ns": "ns",  # one kvfree_rcu() call, as its caller felt it
    "fallback_window_ns": "ns",  # first miss to next hit on a CPU
    "fallback_window_objects": "objects",  # objects that took the fallback in one window
    "refill_doorbell_ns": "ns",  # miss to bell rung: lock dropped, hrtimer hop
    "refill_wake_ns": "ns",  # bell rung (and section over) to worker on its CPU
    "refill_aside_ns": "ns",  # bell rung, but the CPU in a section: the worker stood aside
    "refill_alloc_ns": "ns",  # worker on its CPU to first page published
    "refill_hit_ns": "ns",  # first page published to first page taken
    "refill_total_ns": "ns",  # miss to first page taken: the sum of the five above
    "gp_ns": "ns",  # a grace period, start to end
    "gp_request_ns": "ns",  # request to the end of the grace period that serves it
    "bnode_age_ns": "ns",  # last record of a bnode to its objects freed: the youngest object's age
    "object_age_ns": "ns",  # retired to freed; spread evenly between first and last of a bnode or list
    "bnode_fill_records": "records",  # pointers in a bnode when it is reclaimed
    "batch_work_ns": "ns",  # reclaiming one batch
    "arrival_lateness_ns": "ns",  # due time to service: the open loop's own error
    "sync_wait_ns": "ns",  # one-argument fallback: time in synchronize_rcu()
    "reader_ns": "ns",  # read-side critical sections
    "zone_lock_hold_ns": "ns",
    "drain_all_ns": "ns",  # drain_all_pages(), with the wait for other CPUs
    "zone_lock_wait_ns": "ns",  # waiting for it, when it was held
    "krc_lock_hold_ns": "ns",  # of the monitor's sections; calls are too short to be timed
    "krc_lock_wait_ns": "ns",
    "pcp_lock_wait_ns": "ns",
    "list_lock_wait_ns": "ns",
    "pool_lock_hold_ns": "ns",  # locks of sources: mempool, shared reserve, barn
    "pool_lock_wait_ns": "ns",
    "direct_reclaim_ns": "ns",  # a caller in one round of direct reclaim, throttle included
    "reclaim_throttle_ns": "ns",  # a caller held back for kswapd
    "kswapd_run_ns": "ns",  # one run of kswapd
    "app_fault_ns": "ns",  # an application's touch of a page that was not there
    "kill_to_exit_ns": "ns",  # a kill to the last page given back
    "noise_gap_ns": "ns",  # gaps that the host tears into a spinning process
    "mempool_wait_ns": "ns",  # a caller asleep until an element of the mempool is freed
    "throttle_ns": "ns",  # a flooding one-argument caller held back for a page or a grace period
    "grow_ns": "ns",  # a pool found empty to the pool grown
    "low_stock_ns": "ns",  # stock below its threshold to refilled by softirq or worker
    "user_alloc_ns": "ns",  # another user's request for pages, served or not
    "user_free_ns": "ns",  # another user's giving back of a block
    "hog_preempted_ns": "ns",  # a hog off its core while it wanted to burn it
    "pages_per_refill": "pages",  # pages one refill run brought
}
HIST_NAMES = tuple(HIST_UNITS)

SUB_BITS = 8  # 256 values of unit width: the smallest power of two that resolves two significant figures
HALF_BITS = SUB_BITS - 1
SUB_MASK = (1 << SUB_BITS) - 1
TOP_BITS = 42
HIST_MAX = (1 << TOP_BITS) - 1
HIST_COUNTS = (TOP_BITS - SUB_BITS + 2) << HALF_BITS

HIST = record("histograms", *HIST_NAMES)
# One histogram: its figures, then its counts, from a line of its own.
HDR = struct(
    "histogram",
    line("the process itself", "total", "sum", "min", "max", "clamped"),
    line("the process itself", ("counts", HIST_COUNTS)),
)
HIST_WORDS = HDR.SIZE
HIST_BLOCK = HIST.SIZE * HIST_WORDS


@jit
def hist_record(seg, me, which, value):
    """Record one value in `me`'s histogram `which` (of HIST). Process `me` alone; wait-free."""
    hist_record_n(seg, me, which, value, 1)


@jit
def hist_record_n(seg, me, which, value, n):
    """Record a value n times (n >= 1) at the price of one. Process `me` alone; wait-free."""
    base = region(seg, MAP.histograms) + me * HIST_BLOCK + which * HIST_WORDS
    if value < 0 or value > HIST_MAX:
        store_relaxed(seg, base + HDR.clamped, load_relaxed(seg, base + HDR.clamped) + n)
        value = 0 if value < 0 else HIST_MAX
    # relaxed throughout: one writer, and readers accept figures that are one value apart
    total = load_relaxed(seg, base + HDR.total)
    store_relaxed(seg, base + HDR.total, total + n)
    store_relaxed(seg, base + HDR.sum, wrap64(load_relaxed(seg, base + HDR.sum) + value * n))
    if total == 0 or value < load_relaxed(seg, base + HDR.min):
        store_relaxed(seg, base + HDR.min, value)
    if value > load_relaxed(seg, base + HDR.max):
        store_relaxed(seg, base + HDR.max, value)
    i = base + HDR.counts + hist_index(value)
    store_relaxed(seg, i, load_relaxed(seg, i) + n)


@jit
def hist_index(value):
    """The bucket of a value, 0 <= value <= HIST_MAX."""
    shift = fls64(value | SUB_MASK) - SUB_BITS
    return (shift << HALF_BITS) + (value >> shift)


@jit
def hist_count(seg, me, which):
    """Values recorded so far in `me`'s histogram `which`. Any process, any time."""
    base = region(seg, MAP.histograms) + me * HIST_BLOCK + which * HIST_WORDS
    return load_relaxed(seg, base + HDR.total)


def histograms_words(nr_procs: int) -> int:
    """Words that the histograms of `nr_procs` processes take; pages never recorded to stay untouched."""
    return nr_procs * HIST_BLOCK


def bucket_low(index: int) -> int:
    """Lowest value of a bucket."""
    shift = max(0, (index >> HALF_BITS) - 1)
    return (index - (shift << HALF_BITS)) << shift


def bucket_high(index: int) -> int:
    """Highest value of a bucket: what percentiles report."""
    return bucket_low(index) + (1 << max(0, (index >> HALF_BITS) - 1)) - 1


class Bucket(NamedTuple):
    """Values low..high (both included), seen `times`."""

    low: int
    high: int
    times: int


class Histogram:
    """A histogram taken out of the segment (or a result file): counts by bucket, and exact sum, min and max.

    Attributes: unit; counts, a dict bucket index -> count, zeroes left out; sum, min, max, clamped as recorded.
    min and max are exact, percentiles are to the bucket. Plain data of one process; no concurrency.
    """

    __slots__ = ("unit", "counts", "total", "sum", "min", "max", "clamped")

    def __init__(self, unit: str = "ns"):
        self.unit = unit
        self.counts: dict[int, int] = {}
        self.total = self.sum = self.min = self.max = self.clamped = 0

    @classmethod
    def from_segment(cls, seg, me: int, which: int) -> "Histogram":
        """Process `me`'s histogram `which` as it stands. Any process, any time.

        Read while its owner records, sum, min and max may lack the latest value; counts and total agree always.
        """
        name = HIST_NAMES[which]
        self = cls(HIST_UNITS[name])
        base = region(seg, MAP.histograms) + me * HIST_BLOCK + which * HIST_WORDS
        total, value_sum, low, high, clamped = seg.words[base : base + HDR.clamped + 1].tolist()
        if total == 0:
            return self  # without a look at the counts, which may be pages that nobody has touched
        counts = seg.words[base + HDR.counts : base + HDR.counts + HIST_COUNTS].tolist()
        self._take_counts({i: n for i, n in enumerate(counts) if n})
        self.sum, self.clamped = value_sum, clamped
        if self.counts:  # a value half recorded may have left min and max behind: keep them inside its bucket
            first, last = min(self.counts), max(self.counts)
            self.min = min(max(low, bucket_low(first)), bucket_high(first))
            self.max = min(max(high, bucket_low(last)), bucket_high(last))
        return self

    @classmethod
    def merged(cls, parts) -> "Histogram":
        """The union of histograms of one unit; an empty sequence gives an empty histogram of "ns"."""
        parts = list(parts)
        whole = cls(parts[0].unit if parts else "ns")
        for part in parts:
            whole.merge(part)
        return whole

    def _take_counts(self, counts: dict[int, int]) -> None:
        self.counts = counts
        self.total = sum(counts.values())

    @property
    def count(self) -> int:
        """Number of values recorded."""
        return self.total

    @property
    def mean(self) -> float:
        """Exact mean, 0.0 when empty."""
        return self.sum / self.total if self.total else 0.0

    def merge(self, other: "Histogram") -> None:
        """Add another histogram's values to this one. The unit must be the same."""
        assert other.unit == self.unit, f"a histogram of {other.unit} merged into one of {self.unit}"
        if other.total:
            self.min = min(self.min, other.min) if self.total else other.min
            self.max = max(self.max, other.max)
        for index, n in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + n
        self.total += other.total
        self.sum += other.sum
        self.clamped += other.clamped

    def percentile(self, percent: float) -> int:
        """The value below or at which `percent` (0..100) of the values lie: the highest of its bucket; 0 when empty.

        As HdrHistogram: the wanted rank is rounded to the nearest, at least 1, and percent 0 gives the lowest
        value of the first bucket.
        """
        return self.percentiles((percent,))[0]

    def percentiles(self, percents) -> list[int]:
        """One value per entry of `percents`, in their order, with one pass over the counts."""
        wanted = sorted((min(p, 100.0), at) for at, p in enumerate(percents))
        values = [0] * len(wanted)
        items = iter(sorted(self.counts.items()))
        seen = index = 0
        for percent, at in wanted:
            rank = min(max(1, int(percent * self.total / 100 + 0.5)), self.total)
            while seen < rank:
                index, n = next(items)
                seen += n
            if self.total:
                values[at] = bucket_high(index) if percent else bucket_low(index)
        return values

    def count_above(self, value: int) -> int:
        """Number of values in buckets that lie wholly above `value`."""
        return sum(n for index, n in self.counts.items() if bucket_low(index) > value)

    def buckets(self) -> Iterator[Bucket]:
        """The buckets that hold anything, from the lowest."""
        for index, n in sorted(self.counts.items()):
            yield Bucket(bucket_low(index), bucket_high(index), n)

    def to_sparse(self) -> dict:
        """Plain data for a result file; from_sparse() takes it back without loss."""
        return {
            "unit": self.unit, "total": self.total, "sum": self.sum, "min": self.min, "max": self.max,
            "clamped": self.clamped, "counts": [[index, n] for index, n in sorted(self.counts.items())],
        }

    @classmethod
    def from_sparse(cls, data: dict) -> "Histogram":
        """The histogram that to_sparse() wrote. Raises ResultError for anything else."""
        try:
            self = cls(data["unit"])
            self._take_counts(dict(data["counts"]))
            self.sum, self.min, self.max = int(data["sum"]), int(data["min"]), int(data["max"])
            self.clamped = int(data["clamped"])
            sound = all(0 <= index < HIST_COUNTS and n > 0 for index, n in self.counts.items())
            total = data["total"]
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(f"histogram: {error!r}: must have unit, total, sum, min, max, clamped and counts as "
                              f"[bucket, count] pairs; the file is not ours or damaged") from None
        if not sound or total != self.total:
            raise ResultError(f"histogram: total {total}, its {len(self.counts)} buckets hold {self.total}: must agree,"
                              f" with buckets 0..{HIST_COUNTS - 1} and counts above 0; the file is damaged")
        return self

    def __eq__(self, other) -> bool:
        return isinstance(other, Histogram) and self.to_sparse() == other.to_sparse()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        p50, p99 = self.percentiles((50, 99))
        return f"<Histogram {self.total} values, p50 {p50}, p99 {p99}, max {self.max} {self.unit}>"


def read_histogram(seg, which: int, procs=None) -> Histogram:
    """Histogram `which` (of HIST) over `procs` (indices; None: every process of the segment), merged."""
    merged = Histogram(HIST_UNITS[HIST_NAMES[which]])
    for me in range(seg[HEADER.nr_procs]) if procs is None else procs:
        merged.merge(Histogram.from_segment(seg, me, which))
    return merged


def read_histograms(seg, procs=None) -> dict[str, Histogram]:
    """Every histogram over `procs` (None: all), by name, empty ones included."""
    procs = None if procs is None else list(procs)
    return {name: read_histogram(seg, which, procs) for which, name in enumerate(HIST_NAMES)}
