"""Sizes, interleaving and the arithmetic of a figure."""

import pytest

from emu.bench.measure import CALIBRATE_NS, SAMPLE_NS, Figure, OneCore, Spread, choose_size, in_unit, measure


class Scripted:
    """Two sides whose samples take what a list says, a fixed time per item once it is empty."""

    step = 32
    small = 100

    def __init__(self, ours=(), bare=(), ns_per_item=5):
        self.ours, self.bare, self.ns_per_item = list(ours), list(bare), ns_per_item
        self.order = []

    def sample(self, n):
        self.order.append("A")
        return self.ours.pop(0) if self.ours else n * self.ns_per_item

    def sample_bare(self, n):
        self.order.append("B")
        return self.bare.pop(0) if self.bare else n * self.ns_per_item


def test_rounds_are_interleaved_after_one_warm_up_of_each():
    sides = Scripted()
    measure(sides, "ns", rounds=3, quick=True)
    assert "".join(sides.order) == "AB" + "ABABAB"


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    # warm-up, then three rounds of 128 items; the host halves its pace in the second round, for both sides
    sides = Scripted(ours=[1, 1280, 2560, 1408], bare=[1, 640, 1280, 640])
    figure = measure(sides, "ns", rounds=3, quick=True)
    assert figure.ratio == 2.0
    assert figure.value == Spread(11.0, 10.0, 20.0)
    assert figure.bare == Spread(5.0, 5.0, 10.0)


@pytest.mark.parametrize("ns_per_item", [1, 7, 300, 100_000])
def test_a_sample_is_whole_steps_and_about_as_long_as_wanted(ns_per_item):
    n = choose_size(Scripted(ns_per_item=ns_per_item), quick=False)
    assert n % 32 == 0 and n >= 32
    assert n * ns_per_item <= max(SAMPLE_NS, 32 * ns_per_item)
    assert n * ns_per_item > min(SAMPLE_NS / 2, CALIBRATE_NS)


def test_a_quick_sample_is_small_and_whole_steps():
    assert choose_size(Scripted(), quick=True) == 128


@pytest.mark.parametrize("unit, value", [("ns", 4.0), ("us", 0.004), ("M/s", 250.0)])
def test_a_sample_is_told_in_its_unit(unit, value):
    assert in_unit(unit, 4000, 1000) == value


def test_setup_comes_before_every_sample():
    calls = []
    sides = OneCore("seg", lambda seg, n: calls.append(("loop", seg, n)), lambda seg, n: calls.append(("bare", seg, n)),
                    setup=lambda: calls.append("setup"))
    assert sides.sample(7) >= 0 and sides.sample_bare(9) >= 0
    assert calls == ["setup", ("loop", "seg", 7), "setup", ("bare", "seg", 9)]


def test_a_figure_has_the_least_and_the_most():
    figure = Figure("ns", Spread.of([3, 1, 2]), Spread.of([1]), 2.0)
    assert (figure.value.low, figure.value.median, figure.value.high) == (1, 2, 3)
