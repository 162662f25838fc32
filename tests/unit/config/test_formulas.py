"""The kernel's formulas give the kernel's figures."""

import pytest

from emu.config import formulas


@pytest.mark.parametrize(
    "managed, free_kbytes, marks",
    [(473_600, 5505, (1376, 1849, 2322)), (245_760, 3965, (991, 1238, 1485))],
)
def test_marks_of_a_phone_and_of_a_board(managed, free_kbytes, marks):
    assert formulas.min_free_kbytes(managed) == free_kbytes
    assert formulas.watermarks(managed, free_kbytes, 10) == marks


def test_min_free_is_clamped_at_both_ends():
    assert formulas.min_free_kbytes(100) == 128
    assert formulas.min_free_kbytes(2**34) == 262_144


@pytest.mark.parametrize("managed, batch", [(262_144, 63), (473_600, 63), (122_880, 31), (65_536, 15), (3840, 0)])
def test_batch_is_a_power_of_two_less_one(managed, batch):
    assert formulas.zone_batch(managed) == batch
    assert formulas.pcp_high_fixed(batch) == 6 * batch


def test_tuned_high_lies_between_the_known_ends():
    assert formulas.pcp_high_range(473_600, 1849, 63, 8) == (252, 7400)
    assert formulas.pcp_high_range(245_760, 1238, 63, 4) == (309, 7680)


@pytest.mark.parametrize("hz, ncpu, jiffies", [(100, 1, 1), (250, 8, 1), (300, 8, 2), (1000, 8, 3), (1000, 512, 5)])
def test_fqs_delay_grows_with_hz_and_cpus(hz, ncpu, jiffies):
    assert formulas.fqs_jiffies(hz, ncpu) == jiffies


def test_holdouts_are_urged_after_a_tenth_of_a_second_or_three_scans():
    assert formulas.sched_qs_jiffies(1, 1, 250, 8) == 25
    assert formulas.sched_qs_jiffies(100, 100, 250, 8) == 300


def test_milliseconds_are_rounded_up_to_jiffies():
    assert [formulas.ms_to_jiffies(20, hz) for hz in (100, 250, 300, 1000)] == [2, 5, 6, 20]
    assert formulas.ms_to_jiffies(1, 250) == 1
    assert formulas.ms_to_jiffies(0, 250) == 0


def test_objects_take_the_smallest_cache_that_holds_them():
    assert [formulas.kmalloc_class(24 * mult) for mult in (1, 2, 3, 5, 85)] == [32, 64, 96, 128, 2048]
