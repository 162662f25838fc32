"""The words every process knows: run state moves on, the first fault wins, time follows the clock."""

import re
import string
import time

import pytest

from emu.arch import fetch_add_acq_rel, invariant_counter, jit, load_relaxed, sample_pair, sched_yield
from emu.shm import (
    ABORT,
    BOOT,
    DRAIN,
    FAULT_CODES,
    FAULTS,
    HEADER,
    LINE_WORDS,
    MAP,
    MAP_BASE,
    PROC,
    RUN,
    STOP,
    now_ns,
    proc_of,
    raise_fault,
    read_fault,
    region,
    run_state,
    set_run_state,
)
from emu.shm import header as header_module

READY = MAP_BASE + MAP.SIZE  # a word behind header and map, for tests
RACES = 2_000


def test_every_state_of_a_run_is_seen_in_order(words):
    seen = [run_state(words)]
    for state in (RUN, DRAIN, STOP):
        set_run_state(words, state)
        seen.append(run_state(words))
    assert seen == [BOOT, RUN, DRAIN, STOP] == sorted(seen)


def test_abort_is_final(words):
    set_run_state(words, ABORT)
    for state in (RUN, DRAIN, STOP):
        set_run_state(words, state)
        assert run_state(words) == ABORT


def test_a_fault_carries_its_words_and_stops_the_run(words):
    set_run_state(words, RUN)
    before = time.monotonic_ns()
    assert raise_fault(words, 3, 5, 10, -11, 1 << 62) == 0
    assert read_fault(words) == 5
    assert [words[HEADER.fault_proc], words[HEADER.fault_a], words[HEADER.fault_b], words[HEADER.fault_c]] == \
        [3, 10, -11, 1 << 62]
    assert before <= words[HEADER.fault_time] <= time.monotonic_ns()
    assert run_state(words) == ABORT


def test_the_first_fault_wins(words):
    raise_fault(words, 1, 5, 1, 2, 3)
    time_of_first = words[HEADER.fault_time]
    raise_fault(words, 2, 6, 4, 5, 6)
    assert read_fault(words) == 5
    assert [words[HEADER.fault_proc], words[HEADER.fault_a], words[HEADER.fault_time]] == [1, 1, time_of_first]


@jit
def race_to_fault(seg, me, code, n):
    """Meet the other process for the n-th time, then raise at once."""
    fetch_add_acq_rel(seg, READY, 1)
    spins = 0
    while load_relaxed(seg, READY) < 2 * n:
        spins += 1
        if spins > 1000:
            sched_yield()
    raise_fault(seg, me, code, code * 100 + 1, code * 100 + 2, code * 100 + 3)
    fetch_add_acq_rel(seg, READY + LINE_WORDS, 1)
    while load_relaxed(seg, READY + LINE_WORDS) < 2 * n:
        sched_yield()
    return n


@pytest.mark.jit_only
def test_of_two_processes_that_fault_at_once_one_wins_whole(shared_words, fork):
    seg = shared_words(1024)
    race_to_fault(seg, 1, 5, 0)
    seg[READY] = seg[READY + LINE_WORDS] = 0
    done = READY + 2 * LINE_WORDS

    def other():
        for n in range(1, RACES + 1):
            race_to_fault(seg, 2, 6, n)
            while load_relaxed(seg, done) < n:
                sched_yield()

    child = fork(other)
    for n in range(1, RACES + 1):
        seg[HEADER.fault] = 0
        race_to_fault(seg, 1, 5, n)
        code = read_fault(seg)
        assert code in (5, 6)
        assert [seg[HEADER.fault_proc], seg[HEADER.fault_a], seg[HEADER.fault_b], seg[HEADER.fault_c]] == \
            [code - 4, code * 100 + 1, code * 100 + 2, code * 100 + 3]
        seg[done] = n
    assert child.wait() == 0


def test_a_region_is_where_boot_wrote_it(words):
    for n, name in enumerate(MAP._fields[:-1]):
        words[MAP_BASE + getattr(MAP, name)] = 1000 + n
    assert [region(words, getattr(MAP, name)) for name in MAP._fields[:-1]] == \
        [1000 + n for n in range(len(MAP) - 1)]


def test_process_records_follow_each_other(words):
    words[MAP_BASE + MAP.procs] = 512
    assert [proc_of(words, me) for me in range(3)] == [512, 512 + PROC.SIZE, 512 + 2 * PROC.SIZE]


def test_header_and_map_do_not_overlap():
    assert MAP_BASE == HEADER.SIZE
    assert HEADER.SIZE % LINE_WORDS == MAP.SIZE % LINE_WORDS == PROC.SIZE % LINE_WORDS == 0


def test_without_a_calibration_time_is_the_monotonic_clock(words):
    before = time.monotonic_ns()
    assert before <= now_ns(words) <= time.monotonic_ns()


@pytest.mark.jit_only
@pytest.mark.skipif(not invariant_counter(), reason="this host's counter is not invariant; nothing uses it then")
def test_a_calibrated_counter_follows_the_monotonic_clock(words):
    first_ns, first_cycles = sample_pair(200)
    time.sleep(0.05)
    second_ns, second_cycles = sample_pair(200)
    words[HEADER.clock_mult] = ((second_ns - first_ns) << 32) // (second_cycles - first_cycles)
    words[HEADER.clock_ns], words[HEADER.clock_cycles] = second_ns, second_cycles
    slack = 5_000_000  # a mult from 50 ms is good for a rate, not for microseconds
    for _ in range(10):
        before = time.monotonic_ns()
        now = now_ns(words)
        assert before - slack <= now <= time.monotonic_ns() + slack
        time.sleep(0.001)


def test_the_fault_table_names_each_code_once():
    assert len(FAULT_CODES) == len(FAULTS)
    assert sorted(FAULTS) == list(range(1, len(FAULTS) + 1))
    constants = {name: code for name, code in vars(header_module).items() if re.fullmatch("F_[A-Z_]+", name)}
    assert sorted(constants.values()) == sorted(FAULTS)


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_a_fault_text_uses_the_three_words_it_is_given(code):
    fields = {name for _, name, _, _ in string.Formatter().parse(FAULTS[code][1]) if name}
    assert fields and fields <= {"a", "b", "c"}
