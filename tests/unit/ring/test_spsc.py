"""The one-to-one ring against a deque, at the wrap of its slots and of its positions."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import private_words, wrap64
from emu.ring import (
    SPSC,
    SPSC_EMPTY,
    spsc_count,
    spsc_dequeue,
    spsc_dequeue_bulk,
    spsc_enqueue,
    spsc_enqueue_bulk,
    spsc_init,
    spsc_words_needed,
)

RING = 32  # some words before the ring, to see that nothing is written there
STARTS = [0, 5, (1 << 63) - 3, -3]  # the sign changes, and the count passes zero


def make(capacity, publish_every=1, start=0, extra=64):
    """A segment with a ring at RING and `extra` private words behind it; the offset of those words too."""
    behind = RING + spsc_words_needed(capacity)
    seg = private_words(behind + extra)
    spsc_init(seg, RING, capacity, publish_every, start)
    return seg, behind


def test_words_come_out_in_order_and_with_their_sign():
    seg, _ = make(8)
    sent = [0, -1, (1 << 63) - 1, -(1 << 63) + 1, 7]
    for value in sent:
        assert spsc_enqueue(seg, RING, value) == 1
    assert [spsc_dequeue(seg, RING) for _ in sent] == sent
    assert spsc_dequeue(seg, RING) == SPSC_EMPTY


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("capacity", [1, 2, 16])
def test_exactly_the_capacity_fits(capacity, start):
    seg, _ = make(capacity, start=start)
    for lap in range(3):
        for i in range(capacity):
            assert spsc_enqueue(seg, RING, 100 * lap + i) == 1
        assert spsc_enqueue(seg, RING, 99) == 0
        assert spsc_count(seg, RING) == capacity
        assert [spsc_dequeue(seg, RING) for _ in range(capacity)] == [100 * lap + i for i in range(capacity)]
        assert spsc_count(seg, RING) == 0


def test_consumer_publishes_in_groups_and_when_it_runs_dry():
    seg, _ = make(8, publish_every=4)
    for i in range(8):
        spsc_enqueue(seg, RING, i)
    for _ in range(3):
        spsc_dequeue(seg, RING)
    assert seg[RING + SPSC.tail] == 0
    assert spsc_enqueue(seg, RING, 8) == 0  # three slots are free, and not given back yet
    assert spsc_count(seg, RING) == 5  # what waits is exact all the same
    spsc_dequeue(seg, RING)
    assert seg[RING + SPSC.tail] == 4
    assert spsc_enqueue(seg, RING, 8) == 1
    while spsc_dequeue(seg, RING) != SPSC_EMPTY:
        pass
    assert seg[RING + SPSC.tail] == 9


def test_bulk_consumer_publishes_when_it_runs_dry():
    seg, behind = make(8, publish_every=8)
    for i in range(3):
        spsc_enqueue(seg, RING, i)
    assert spsc_dequeue_bulk(seg, RING, behind, 3) == 3
    assert seg[RING + SPSC.tail] == 0
    assert spsc_dequeue_bulk(seg, RING, behind, 3) == 0
    assert seg[RING + SPSC.tail] == 3


@pytest.mark.parametrize("start", STARTS)
def test_bulk_is_split_at_the_wrap(start):
    seg, behind = make(8, start=start)
    for i in range(20):
        seg[behind + i] = 1000 + i
    for lap in range(8):  # blocks of 5 in 8 slots meet the wrap at every offset
        assert spsc_enqueue_bulk(seg, RING, behind + lap, 5) == 5
        assert spsc_dequeue_bulk(seg, RING, behind + 32, 20) == 5
        assert [seg[behind + 32 + i] for i in range(5)] == [1000 + lap + i for i in range(5)]
    assert spsc_enqueue_bulk(seg, RING, behind, 20) == 8
    assert spsc_enqueue_bulk(seg, RING, behind, 20) == 0


def test_bulk_of_nothing_moves_nothing():
    seg, behind = make(8)
    assert spsc_enqueue_bulk(seg, RING, behind, 0) == 0
    assert spsc_enqueue_bulk(seg, RING, behind, -1) == 0
    spsc_enqueue(seg, RING, 1)
    assert spsc_dequeue_bulk(seg, RING, behind, 0) == 0
    assert spsc_dequeue_bulk(seg, RING, behind, -1) == 0
    assert spsc_count(seg, RING) == 1


def test_bad_sizes_are_refused():
    seg = private_words(256)
    with pytest.raises(AssertionError, match="capacity 6"):
        spsc_words_needed(6)
    with pytest.raises(AssertionError, match="capacity 0"):
        spsc_init(seg, 0, 0)
    with pytest.raises(AssertionError, match="publish_every 16"):
        spsc_init(seg, 0, 8, 16)


OPS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "put_bulk", "get_bulk"]), st.integers(0, 12)), max_size=60
)


@given(ops=OPS, log_capacity=st.integers(0, 3), log_publish=st.integers(0, 3), start=st.sampled_from(STARTS))
def test_behaves_as_a_bounded_deque(ops, log_capacity, log_publish, start):
    capacity, publish_every = 1 << log_capacity, 1 << min(log_publish, log_capacity)
    seg, behind = make(capacity, publish_every, start)
    model, published, taken, sent = deque(), 0, 0, 0

    def moved(count):
        nonlocal taken, published
        before, taken = start + taken, taken + count
        if (before ^ (start + taken)) & ~(publish_every - 1):
            published = taken

    for op, n in ops:
        room = capacity - (sent - published)
        if op == "put":
            assert spsc_enqueue(seg, RING, sent) == (room > 0)
            if room > 0:
                model.append(sent)
                sent += 1
        elif op == "put_bulk":
            for i in range(n):
                seg[behind + i] = sent + i
            went = spsc_enqueue_bulk(seg, RING, behind, n)
            assert went == min(n, room)
            model.extend(range(sent, sent + went))
            sent += went
        elif op == "get":
            value = spsc_dequeue(seg, RING)
            if model:
                assert value == model.popleft()
                moved(1)
            else:
                assert value == SPSC_EMPTY
                published = taken
        else:
            came = spsc_dequeue_bulk(seg, RING, behind + 16, n)
            assert came == min(n, len(model))
            assert [seg[behind + 16 + i] for i in range(came)] == [model.popleft() for _ in range(came)]
            if came == 0 and n > 0:
                published = taken
            moved(came)
        assert spsc_count(seg, RING) == len(model)
        assert wrap64(seg[RING + SPSC.tail] - start) == published
    assert all(seg[i] == 0 for i in range(RING))
