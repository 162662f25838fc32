"""Random numbers of a mutator: reproducible, the triple they claim to be, and without visible bias."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import JIT, private_words
from emu.workload import ONE, seed_state
from emu.workload.random import next_random, random_below, random_exponential, random_fraction

DRAWS = 20_000 if JIT else 4_000
WORD = (1 << 64) - 1


def words_with(state: int):
    words = private_words(16)
    words[0] = state
    return words


def plain_xorshift(state: int) -> int:
    """The triple 13-7-17 on 64 unsigned bits."""
    x = state & WORD
    x ^= x << 13 & WORD
    x ^= x >> 7
    return x ^ (x << 17 & WORD)


@given(st.integers(-(1 << 63), (1 << 63) - 1).filter(lambda state: state != 0))
def test_the_generator_is_xorshift_13_7_17(state):
    words = words_with(state)
    value = next_random(words, 0)
    assert words[0] & WORD == plain_xorshift(state)
    assert value == words[0] & (1 << 63) - 1
    assert words[0] != 0


@given(st.integers(0, 1 << 62), st.integers(0, 511))
def test_a_seed_gives_one_sequence_per_stream(seed, stream):
    state = seed_state(seed, stream)
    assert state == seed_state(seed, stream) != 0
    assert -(1 << 63) <= state < 1 << 63
    assert state != seed_state(seed, stream + 1) and state != seed_state(seed + 1, stream)


@pytest.mark.parametrize("limit", [1, 2, 7, 64, 1000, (1 << 31) - 1])
def test_numbers_below_a_limit_stay_there_and_reach_all_of_it(limit):
    words = words_with(seed_state(7, 0))
    seen = [random_below(words, 0, limit) for _ in range(2000)]
    assert 0 <= min(seen) and max(seen) < limit
    if limit <= 64:
        assert set(seen) == set(range(limit))
    assert sum(seen) / len(seen) == pytest.approx((limit - 1) / 2, abs=5 * limit / math.sqrt(12 * 2000))


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9])
def test_a_fraction_falls_below_a_share_as_often_as_the_share_says(share):
    words = words_with(seed_state(11, 3))
    mark = int(share * ONE)
    below = sum(random_fraction(words, 0) < mark for _ in range(DRAWS))
    assert below / DRAWS == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / DRAWS))


def test_exponential_numbers_have_their_mean_their_spread_and_no_sign():
    words = words_with(seed_state(5, 1))
    mean = 50_000
    values = [random_exponential(words, 0, mean) for _ in range(DRAWS)]
    assert min(values) >= 0
    error = 5 / math.sqrt(DRAWS)
    assert sum(values) / DRAWS == pytest.approx(mean, rel=error)
    assert sum(value > mean for value in values) / DRAWS == pytest.approx(math.exp(-1), abs=error)
