"""The buckets are HdrHistogram's, whoever computes them; merging is recording into one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.results import COUNTS_LEN, HIGHEST_TRACKABLE, Buckets, highest_of, index_of, lowest_of

VALUES = st.one_of(st.integers(0, 5000), st.integers(0, HIGHEST_TRACKABLE),
                   st.builds(lambda bits, near: max(min(2**bits + near, HIGHEST_TRACKABLE), 0),
                             st.integers(0, 42), st.integers(-2, 2)))


def sparse(values):
    counts = sorted(Counter(map(index_of, values)).items())
    return {"total": len(values), "sum": sum(values), "min": min(values, default=0), "max": max(values, default=0),
            "clamped": 0, "counts": [list(pair) for pair in counts]}


def reference(values):
    hdrh = pytest.importorskip("hdrh.histogram")
    histogram = hdrh.HdrHistogram(1, HIGHEST_TRACKABLE, 2)
    for value in values:
        assert histogram.record_value(value)
    return histogram


def test_number_of_buckets_is_the_reference_s():
    assert reference([]).counts_len == COUNTS_LEN
    assert index_of(HIGHEST_TRACKABLE) == COUNTS_LEN - 1
    assert highest_of(COUNTS_LEN - 1) == HIGHEST_TRACKABLE


@given(VALUES)
def test_a_value_has_the_bucket_and_the_range_of_the_reference(value):
    histogram = reference([])
    index = index_of(value)
    assert index == histogram._counts_index_for(value)
    assert lowest_of(index) == histogram.get_lowest_equivalent_value(value)
    assert highest_of(index) == histogram.get_highest_equivalent_value(value)


def test_buckets_follow_each_other_without_gap_or_overlap():
    assert lowest_of(0) == 0
    assert all(lowest_of(i + 1) == highest_of(i) + 1 for i in range(COUNTS_LEN - 1))
    assert all(index_of(lowest_of(i)) == i == index_of(highest_of(i)) for i in range(COUNTS_LEN))


@given(st.lists(VALUES, min_size=1, max_size=60), st.one_of(st.sampled_from([0, 50, 99, 99.9, 100]),
                                                            st.floats(0, 100)))
def test_percentiles_are_those_of_the_reference(values, percent):
    buckets = Buckets.from_sparse(sparse(values))
    assert buckets.percentile(percent) == reference(values).get_value_at_percentile(percent)


@given(st.lists(st.lists(VALUES, max_size=20), max_size=5))
def test_merging_processes_equals_recording_into_one(parts):
    merged = Buckets.merged([sparse(part) for part in parts], "ns")
    assert merged == Buckets.from_sparse(sparse([value for part in parts for value in part]))


@given(st.lists(VALUES, min_size=1, max_size=40))
def test_mean_is_exact_and_percentiles_stay_within_a_bucket_of_the_extremes(values):
    buckets = Buckets.from_sparse(sparse(values))
    assert buckets.mean == sum(values) / len(values)
    assert index_of(buckets.percentile(100)) == index_of(max(values))
    assert min(values) <= buckets.percentile(50) <= highest_of(index_of(max(values)))
    assert buckets.shown(100) == max(values)
    assert buckets.shown(50) <= max(values)


def test_an_empty_histogram_has_no_percentile_and_no_mean():
    for empty in (Buckets(), Buckets.merged([]), Buckets.from_sparse(sparse([]))):
        assert (empty.total, empty.percentile(50), empty.shown(99), empty.mean) == (0, None, None, None)


def test_extremes_of_an_empty_process_do_not_spoil_the_others():
    untouched = {"total": 0, "sum": 0, "min": 2**63 - 1, "max": -1, "clamped": 0, "counts": []}
    merged = Buckets.merged([untouched, sparse([7, 9])])
    assert (merged.min, merged.max, merged.total) == (7, 9, 2)


def test_clamped_values_are_added_up_over_processes():
    assert Buckets.merged([sparse([1]) | {"clamped": 2}, sparse([]) | {"clamped": 1}]).clamped == 3


def test_a_total_one_apart_from_the_counts_still_has_percentiles():
    torn = sparse([10, 20, 30]) | {"total": 4}
    assert Buckets.from_sparse(torn).percentile(100) == 30
