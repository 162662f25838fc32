"""Event buffers: every event whole and in order, losses counted, beside a live writer and after its death."""

import mmap
import os
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.arch import JIT, Words, jit, load_relaxed, private_words
from emu.errors import ConfigError
from emu.shm import HEADER, LINE_WORDS, MAP, MAP_BASE
from emu.trace import (
    EV,
    EVENT_NAMES,
    OVERWRITE,
    SLOT,
    STOP_WHEN_FULL,
    TRACE,
    copy_events,
    init_trace,
    lost_events,
    read_all_events,
    read_events,
    trace_event,
    trace_words,
)

BASE = MAP_BASE + MAP.SIZE
KILLS = 20 if JIT else 8


def traced(events: int, mode: int = OVERWRITE, nr_procs: int = 1, allocate=private_words) -> Words:
    seg = allocate(BASE + trace_words(nr_procs, events))
    seg[HEADER.nr_procs] = nr_procs
    seg[MAP_BASE + MAP.trace] = BASE
    init_trace(seg, nr_procs, events, mode)
    return seg


def shared_words(n: int) -> Words:
    return Words(mmap.mmap(-1, n * 8))


@jit
def write_for_ever(seg, me):
    """Events whose b follows from a, until the run state moves."""
    i = 0
    while load_relaxed(seg, HEADER.run_state) == 0:
        trace_event(seg, me, 1 + i % 20, i, 3 * i + 1)
        i += 1


def started_writer(seg) -> int:
    """Fork a writer that never ends by itself; returns its pid once its buffer is full."""
    over = traced(2)
    over[HEADER.run_state] = 1
    write_for_ever(over, 0)  # compiles before the fork
    child = os.fork()
    if child == 0:
        write_for_ever(seg, 0)
        os._exit(0)
    while load_relaxed(seg, BASE + TRACE.head) <= seg[BASE + TRACE.mask]:
        time.sleep(0)
    return child


def assert_whole(events) -> None:
    """Events of write_for_ever(): consecutive, no word of one in another, time never backwards."""
    for (t, name, a, b), (t_next, _, a_next, _) in zip(events, events[1:] + events[-1:], strict=True):
        assert (name, b) == (EVENT_NAMES[1 + a % 20], 3 * a + 1)
        assert t_next >= t and a_next in (a, a + 1)


def test_events_come_back_in_order_with_their_arguments_and_times():
    seg = traced(8)
    before = time.monotonic_ns()
    trace_event(seg, 0, EV.rcu_fqs, 7, -1)
    trace_event(seg, 0, EV.fault, -(1 << 63), (1 << 63) - 1)
    events, lost = read_events(seg, 0)
    assert [event[1:] for event in events] == [("rcu_fqs", 7, -1), ("fault", -(1 << 63), (1 << 63) - 1)]
    assert before <= events[0][0] <= events[1][0] <= time.monotonic_ns()
    assert lost == 0


@settings(max_examples=40 if JIT else 20, deadline=None)
@given(st.integers(0, 4), st.integers(0, 40))
def test_overwrite_keeps_the_newest_and_counts_the_rest(order, written):
    seg = traced(1 << order)
    for i in range(written):
        trace_event(seg, 0, EV.refill_run, i, 0)
    events, lost = read_events(seg, 0)
    assert [a for _, _, a, _ in events] == list(range(written))[-(1 << order):]
    assert lost == lost_events(seg, 0) == written - len(events)


@settings(max_examples=40 if JIT else 20, deadline=None)
@given(st.integers(0, 4), st.integers(0, 40))
def test_stop_keeps_the_oldest_and_counts_the_rest(order, written):
    seg = traced(1 << order, STOP_WHEN_FULL)
    for i in range(written):
        trace_event(seg, 0, EV.refill_run, i, 0)
    events, lost = read_events(seg, 0)
    assert [a for _, _, a, _ in events] == list(range(written))[: 1 << order]
    assert lost == lost_events(seg, 0) == written - len(events)


def test_a_buffer_of_no_events_is_disabled_and_touched_by_nobody():
    seg = traced(0)
    before = seg.words.tolist()
    trace_event(seg, 0, EV.fault, 1, 2)
    assert seg.words.tolist() == before
    assert read_events(seg, 0) == ([], 0)
    assert lost_events(seg, 0) == 0
    assert tuple(copy_events(seg, 0, private_words(4))) == (0, 0)


def test_an_untouched_region_is_disabled():
    seg = private_words(BASE + trace_words(1, 4))
    seg[MAP_BASE + MAP.trace] = BASE
    trace_event(seg, 0, EV.fault, 1, 2)
    assert read_events(seg, 0) == ([], 0)


def test_processes_write_apart_and_are_read_together_in_order_of_time():
    seg = traced(2, nr_procs=3)
    for i in range(6):
        trace_event(seg, i % 3, EV.burst_start, i, 0)
    assert [[a for _, _, a, _ in read_events(seg, me)[0]] for me in range(3)] == [[0, 3], [1, 4], [2, 5]]
    together = read_all_events(seg)
    assert sorted(a for _, _, _, a, _ in together) == list(range(6))
    assert [t for t, *_ in together] == sorted(t for t, *_ in together)
    assert all(a % 3 == me for _, me, _, a, _ in together)


def test_buffers_fill_exactly_the_region_that_was_reserved():
    seg = private_words(BASE + trace_words(2, 4) + LINE_WORDS)
    seg[MAP_BASE + MAP.trace] = BASE
    init_trace(seg, 2, 4)
    for i in range(9):
        trace_event(seg, 1, EV.fault, -1 - i, -1)
    end = BASE + trace_words(2, 4)
    assert seg.words[end:].tolist() == [0] * LINE_WORDS
    assert seg.words[end - 4 * SLOT.SIZE : end].tolist().count(-1) == 4
    assert read_events(seg, 0) == ([], 0)


@pytest.mark.parametrize("events", [-1, 3, 6, 1000])
def test_a_size_that_is_no_power_of_two_is_refused_with_one_that_is(events):
    with pytest.raises(ConfigError, match=f"events_per_process = {events}: .*use {1 << max(0, events).bit_length()}$"):
        trace_words(1, events)


@pytest.mark.parametrize("stores", range(5))
def test_a_writer_killed_at_any_store_of_an_event_costs_no_other_but_the_oldest(stores):
    """The first `stores` stores of one more event, by hand, as a kill leaves them."""
    seg = traced(4)
    for i in range(6):
        trace_event(seg, 0, EV.rcu_fqs, i, 10 * i)
    slot = seg[BASE + TRACE.slots] + (6 & 3) * SLOT.SIZE
    half = [(SLOT.event, EV.fault << 32 | 6), (SLOT.time, 1), (SLOT.a, 666), (SLOT.b, 667)]
    for offset, word in half[:stores]:
        seg[slot + offset] = word
    events, lost = read_events(seg, 0)
    kept = range(2, 6) if stores == 0 else range(3, 6)
    assert [event[1:] for event in events] == [("rcu_fqs", i, 10 * i) for i in kept]
    assert lost == 6 - len(events)


def test_a_mixture_is_seen_only_by_its_number():
    """Sabotage: a slot whose words were replaced under its old number is returned; with a new number it is not."""
    seg = traced(4)
    for i in range(4):
        trace_event(seg, 0, EV.rcu_fqs, i, i)
    slot = seg[BASE + TRACE.slots]
    seg[slot + SLOT.a] = 666
    assert read_events(seg, 0)[0][0][2] == 666
    seg[slot + SLOT.event] = EV.rcu_fqs << 32 | 4
    assert [a for _, _, a, _ in read_events(seg, 0)[0]] == [1, 2, 3]


def test_the_number_in_a_slot_wraps_without_a_gap():
    seg = traced(4)
    seg[BASE + TRACE.head] = (1 << 32) - 2
    for i in range(5):
        trace_event(seg, 0, EV.first_hit, i, 0)
    events, lost = read_events(seg, 0)
    assert [a for _, _, a, _ in events] == [1, 2, 3, 4]
    assert lost == (1 << 32) - 2 + 5 - 4


@pytest.mark.parametrize("events", [2, 16, 1024])
def test_a_reader_beside_the_writer_gets_whole_events_in_order(events):
    seg = traced(events, allocate=shared_words)
    child = started_writer(seg)
    try:
        newest = -1
        for _ in range(200 if JIT else 40):
            found, lost = read_events(seg, 0)
            assert len(found) <= events
            assert_whole(found)
            if found:
                assert found[-1][2] + 1 == len(found) + lost
                assert found[-1][2] >= newest
                newest = found[-1][2]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    while_dead = read_events(seg, 0)
    assert while_dead == read_events(seg, 0)
    assert len(while_dead[0]) >= events - 1


@pytest.mark.parametrize("mode", [OVERWRITE, STOP_WHEN_FULL])
def test_a_writer_killed_anywhere_leaves_whole_events_and_a_count_that_adds_up(mode):
    for kill in range(KILLS):
        seg = traced(16, mode, allocate=shared_words)
        child = started_writer(seg)
        time.sleep(kill * 1e-5)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found, lost = read_events(seg, 0)
        assert_whole(found)
        assert len(found) in (15, 16)
        assert len(found) + lost == load_relaxed(seg, BASE + TRACE.head) + load_relaxed(seg, BASE + TRACE.lost)
