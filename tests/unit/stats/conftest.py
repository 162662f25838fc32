"""A private segment with nothing in it but counters and histograms."""

import pytest

from emu.arch import Words, private_words
from emu.shm import HEADER, MAP, MAP_BASE
from emu.stats import counters_words, histograms_words


@pytest.fixture
def stats_segment():
    """A factory: stats_segment(nr_procs, allocate) -> Words with both regions laid out."""

    def make(nr_procs: int, allocate=private_words) -> Words:
        counters = MAP_BASE + MAP.SIZE
        histograms = counters + counters_words(nr_procs)
        seg = allocate(histograms + histograms_words(nr_procs))
        seg[HEADER.nr_procs] = nr_procs
        seg[MAP_BASE + MAP.counters] = counters
        seg[MAP_BASE + MAP.histograms] = histograms
        return seg

    return make
