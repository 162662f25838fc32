"""Histograms: HdrHistogram's buckets and percentiles, one block per process, whole after a kill."""

import msgpack
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emu.arch import JIT, private_words
from emu.errors import ResultError
from emu.shm import LINE_WORDS, MAP, MAP_BASE, region
from emu.stats import (
    HIST,
    HIST_BLOCK,
    HIST_COUNTS,
    HIST_MAX,
    HIST_NAMES,
    HIST_UNITS,
    HIST_WORDS,
    Histogram,
    hist_count,
    hist_index,
    hist_record,
    hist_record_n,
    read_histogram,
    read_histograms,
)
from emu.stats.histogram import HDR, bucket_high, bucket_low

EXAMPLES = 60 if JIT else 25
PERCENTS = (0, 1e-3, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 100)
WHICH = HIST.gp_ns

edges = st.integers(0, 41).flatmap(lambda bit: st.sampled_from([(1 << bit) - 1, 1 << bit, (1 << bit) + 1]))
values = st.lists(st.one_of(st.integers(0, 600), st.integers(0, HIST_MAX), edges), max_size=40)


def one_block():
    """The words of one process's histograms up to WHICH: all that these tests record into."""
    seg = private_words(MAP_BASE + MAP.SIZE + (WHICH + 1) * HIST_WORDS)
    seg[MAP_BASE + MAP.histograms] = MAP_BASE + MAP.SIZE
    return seg


def recorded(*numbers) -> Histogram:
    seg = one_block()
    for value in numbers:
        hist_record(seg, 0, WHICH, value)
    return Histogram.from_segment(seg, 0, WHICH)


def reference(numbers) -> HdrHistogram:
    other = HdrHistogram(1, HIST_MAX, 2)
    for value in numbers:
        assert other.record_value(value)
    return other


def test_there_are_as_many_buckets_as_in_the_reference_implementation():
    assert HdrHistogram(1, HIST_MAX, 2).counts_len == HIST_COUNTS
    assert hist_index(HIST_MAX) == HIST_COUNTS - 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(values)
@example([])
@example([HIST_MAX, 0])
def test_counts_and_percentiles_are_those_of_the_reference_implementation(numbers):
    mine, other = recorded(*numbers), reference(numbers)
    assert mine.counts == {i: n for i in range(HIST_COUNTS) if (n := other.get_count_at_index(i))}
    assert [mine.percentile(p) for p in PERCENTS] == [other.get_value_at_percentile(p) for p in PERCENTS]
    assert mine.percentiles(PERCENTS[::-1]) == [mine.percentile(p) for p in PERCENTS[::-1]]
    assert mine.count == other.get_total_count() == len(numbers)


@settings(max_examples=EXAMPLES, deadline=None)
@given(values.filter(bool))
def test_sum_mean_min_and_max_are_exact(numbers):
    mine = recorded(*numbers)
    assert (mine.sum, mine.min, mine.max, mine.clamped) == (sum(numbers), min(numbers), max(numbers), 0)
    assert mine.mean == pytest.approx(sum(numbers) / len(numbers))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, HIST_MAX))
@example(HIST_MAX)
def test_a_value_lies_in_its_bucket_and_buckets_are_narrow(value):
    index = hist_index(value)
    low, high = bucket_low(index), bucket_high(index)
    other = HdrHistogram(1, HIST_MAX, 2)
    assert low <= value <= high
    assert low == other.get_value_from_index(index) == other.get_lowest_equivalent_value(value)
    assert high == other.get_highest_equivalent_value(value)
    assert high - low <= value / 100


def test_buckets_cover_every_value_once():
    assert bucket_low(0) == 0 and bucket_high(HIST_COUNTS - 1) == HIST_MAX
    assert all(bucket_high(i) + 1 == bucket_low(i + 1) for i in range(HIST_COUNTS - 1))


def test_values_out_of_range_are_clamped_and_counted():
    mine = recorded(-1, -(1 << 62), 5, HIST_MAX, HIST_MAX + 1, (1 << 63) - 1)
    assert mine.clamped == 4
    assert mine.counts == {0: 2, 5: 1, HIST_COUNTS - 1: 3}
    assert (mine.min, mine.max, mine.sum) == (0, HIST_MAX, 5 + 3 * HIST_MAX)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, HIST_MAX + 3), st.integers(1, 5)), max_size=10))
def test_recording_n_times_is_recording_n_values(pairs):
    seg = one_block()
    for value, n in pairs:
        hist_record_n(seg, 0, WHICH, value, n)
    assert Histogram.from_segment(seg, 0, WHICH) == recorded(*(value for value, n in pairs for _ in range(n)))
    assert hist_count(seg, 0, WHICH) == sum(n for _, n in pairs)


@settings(max_examples=EXAMPLES, deadline=None)
@given(values, values)
def test_merging_is_recording_into_one(first, second):
    assert Histogram.merged([recorded(*first), recorded(*second)]) == recorded(*first, *second)


def test_histograms_of_different_units_do_not_merge():
    with pytest.raises(AssertionError, match="records merged into one of ns"):
        Histogram("ns").merge(Histogram("records"))


def test_an_empty_histogram_has_figures_too():
    empty = Histogram("pages")
    assert (empty.count, empty.mean, empty.min, empty.max, empty.percentile(99)) == (0, 0.0, 0, 0, 0)
    assert list(empty.buckets()) == []
    assert Histogram.merged([]) == Histogram("ns")


def test_buckets_come_in_order_with_their_bounds():
    assert list(recorded(1000, 3, 1001, 3).buckets()) == [(3, 3, 2), (1000, 1003, 2)]


def test_count_above_leaves_out_the_bucket_of_the_limit():
    mine = recorded(10, 1000, 1003, 1004, 5000)
    assert [mine.count_above(limit) for limit in (9, 10, 1000, 1003, 5000)] == [5, 4, 2, 2, 0]


def test_histograms_do_not_touch_each_other_nor_other_processes(stats_segment):
    seg = stats_segment(2)
    for which in range(HIST.SIZE):
        hist_record_n(seg, 1, which, HIST_MAX, which + 1)
        hist_record_n(seg, 1, which, 0, 1)
    whole = read_histograms(seg)
    assert {name: h.count for name, h in whole.items()} == {name: getattr(HIST, name) + 2 for name in HIST_NAMES}
    assert {name: h.unit for name, h in whole.items()} == HIST_UNITS
    assert all(h.count == 0 for h in read_histograms(seg, procs=[0]).values())
    assert HIST_WORDS % LINE_WORDS == HIST_BLOCK % LINE_WORDS == 0


def test_reading_over_processes_merges_them(stats_segment):
    seg = stats_segment(3)
    for me in range(3):
        hist_record(seg, me, WHICH, 10 + me)
    assert read_histogram(seg, WHICH) == recorded(10, 11, 12)
    assert read_histogram(seg, WHICH, procs=[0, 2]) == recorded(10, 12)


@pytest.mark.parametrize("written", [("total",), ("total", "sum"), ("total", "sum", "min", "max")])
def test_a_writer_killed_within_its_first_value_leaves_an_empty_histogram(written):
    seg = one_block()
    base = region(seg, MAP.histograms) + WHICH * HIST_WORDS
    for field in written:
        seg[base + getattr(HDR, field)] = 1 if field == "total" else 700
    half = Histogram.from_segment(seg, 0, WHICH)
    assert (half.count, half.counts, half.percentile(50), half.min, half.max) == (0, {}, 0, 0, 0)


def test_counts_ahead_of_the_figures_keep_min_and_max_within_the_buckets():
    """What a live reader may meet: the counts of a value whose sum, min and max it read just before."""
    seg = one_block()
    hist_record(seg, 0, WHICH, 1000)
    base = region(seg, MAP.histograms) + WHICH * HIST_WORDS
    seg[base + HDR.counts + hist_index(7)] += 1
    seg[base + HDR.counts + hist_index(1 << 20)] += 1
    live = Histogram.from_segment(seg, 0, WHICH)
    assert (live.count, live.min) == (3, 7)
    assert live.max == 1 << 20


@settings(max_examples=EXAMPLES, deadline=None)
@given(values)
def test_a_result_file_keeps_all_of_it(numbers):
    mine = recorded(*numbers)
    assert Histogram.from_sparse(msgpack.unpackb(msgpack.packb(mine.to_sparse()))) == mine


@pytest.mark.parametrize("damage", [
    {"total": 4}, {"counts": [[0, 1]]}, {"counts": [[-1, 3]]}, {"counts": [[HIST_COUNTS, 3]]},
    {"counts": [[1, 4], [2, -1]]}, {"counts": [[1]]}, {"counts": 7}, {"sum": "much"}, {"counts": [["1", 3]]},
])
def test_damaged_plain_data_is_refused(damage):
    sound = recorded(1, 1, 1).to_sparse()
    assert Histogram.from_sparse(sound).count == 3
    with pytest.raises(ResultError, match="histogram"):
        Histogram.from_sparse({**sound, **damage})


def test_a_missing_key_is_named():
    sound = recorded(1).to_sparse()
    del sound["clamped"]
    with pytest.raises(ResultError, match="clamped"):
        Histogram.from_sparse(sound)
