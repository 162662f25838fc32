"""The page ring, one participant at a time: order, exact capacity, the wraps of tickets and of cycles."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import private_words, wrap64
from emu.ring import (
    EMPTY,
    MPMC,
    MPMC_VALUE_MAX,
    mpmc_count,
    mpmc_get,
    mpmc_init,
    mpmc_put,
    mpmc_words_needed,
)

RING = 16
FEW = 8  # participants: keeps the ring at its smallest, 32 entries
ORDER = 5
STARTS = [
    0,
    (1 << 63) - 64,  # tickets change sign
    -64,  # tickets pass zero
    ((1 << 32) - 2) << ORDER,  # cycles wrap
    ((1 << 31) - 2) << ORDER,  # cycles change sign
]


def make(capacity, start=0, participants=FEW):
    seg = private_words(RING + mpmc_words_needed(capacity, participants))
    mpmc_init(seg, RING, capacity, participants, start)
    return seg


def test_values_come_out_in_order():
    seg = make(5)
    sent = [0, MPMC_VALUE_MAX, 1, 77]
    for value in sent:
        assert mpmc_put(seg, RING, value) == 1
    assert [mpmc_get(seg, RING) for _ in sent] == sent
    assert mpmc_get(seg, RING) == EMPTY


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("capacity", [1, 5, 16])
def test_exactly_the_capacity_fits(capacity, start):
    seg = make(capacity, start)
    for lap in range(200 // capacity):
        for i in range(capacity):
            assert mpmc_put(seg, RING, lap + i) == 1
        assert mpmc_put(seg, RING, 99) == 0
        assert mpmc_count(seg, RING) == capacity
        assert [mpmc_get(seg, RING) for _ in range(capacity)] == [lap + i for i in range(capacity)]
        assert mpmc_get(seg, RING) == EMPTY
        assert mpmc_count(seg, RING) == 0


def test_asking_an_empty_ring_costs_no_ticket():
    seg = make(4)
    mpmc_put(seg, RING, 1)
    mpmc_get(seg, RING)
    tail, head = seg[RING + MPMC.tail], seg[RING + MPMC.head]
    for _ in range(50):
        assert mpmc_get(seg, RING) == EMPTY
    assert (seg[RING + MPMC.tail], seg[RING + MPMC.head]) == (tail, head)


def test_room_for_participants_is_part_of_the_size():
    assert mpmc_words_needed(5, participants=8) == MPMC.SIZE + 32
    assert mpmc_words_needed(5, participants=200) == MPMC.SIZE + 256
    assert mpmc_words_needed(300, participants=8) == MPMC.SIZE + 1024
    with pytest.raises(AssertionError, match="capacity 0"):
        mpmc_words_needed(0)
    with pytest.raises(AssertionError, match="participants 0"):
        mpmc_words_needed(1, 0)


def test_nothing_is_written_outside_the_ring():
    seg = make(3)
    for i in range(100):
        mpmc_put(seg, RING, i)
        mpmc_get(seg, RING)
    assert all(seg[i] == 0 for i in range(RING))


@given(ops=st.lists(st.booleans(), max_size=120), capacity=st.integers(1, 9), start=st.sampled_from(STARTS))
def test_behaves_as_a_bounded_deque(ops, capacity, start):
    seg, model = make(capacity, start), deque()
    for value, put in enumerate(ops):
        if put:
            assert mpmc_put(seg, RING, value) == (len(model) < capacity)
            if len(model) < capacity:
                model.append(value)
        else:
            assert mpmc_get(seg, RING) == (model.popleft() if model else EMPTY)
        assert mpmc_count(seg, RING) == len(model)
    assert wrap64(seg[RING + MPMC.tail] - seg[RING + MPMC.head]) == len(model)
