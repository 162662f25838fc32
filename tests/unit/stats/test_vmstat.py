"""Counters: each has a word of its own, one process writes it, others see it live."""

import mmap
import os
import signal

from emu.arch import Words, jit, load_relaxed
from emu.shm import HEADER, LINE_WORDS, MAP, region
from emu.stats import (
    VM,
    VM_MEANING,
    VM_NAMES,
    VM_WORDS,
    count,
    count_n,
    counter,
    counters_words,
    read_counters,
    sum_counters,
)


@jit
def count_for_ever(seg, me):
    while load_relaxed(seg, HEADER.run_state) == 0:
        count(seg, me, VM.kvfree_calls)


def test_every_counter_says_what_heavy_activity_means():
    assert len(set(VM_NAMES)) == len(VM_NAMES) == VM.SIZE
    assert all(len(meaning) > 20 and "\n" not in meaning for meaning in VM_MEANING.values())


def test_no_two_processes_share_a_line():
    assert VM_WORDS % LINE_WORDS == 0
    assert counters_words(3) == 3 * VM_WORDS >= 3 * VM.SIZE


def test_each_counter_is_read_back_under_its_own_name(stats_segment):
    seg = stats_segment(2)
    for item in range(VM.SIZE):
        count_n(seg, 1, item, item + 1)
    assert read_counters(seg, 1) == {name: getattr(VM, name) + 1 for name in VM_NAMES}
    assert counter(seg, 1, VM.oom_object) == VM.oom_object + 1


def test_counting_one_leaves_every_other_word_alone(stats_segment):
    seg = stats_segment(3)
    before = seg.words.tolist()
    count(seg, 1, VM.rcu_stall)
    changed = {i: now - was for i, (was, now) in enumerate(zip(before, seg.words.tolist(), strict=True)) if was != now}
    assert changed == {region(seg, MAP.counters) + VM_WORDS + VM.rcu_stall: 1}


def test_sums_cover_every_process_or_the_named_ones(stats_segment):
    seg = stats_segment(3)
    for me in range(3):
        count_n(seg, me, VM.kmalloc, 10**me)
    assert sum_counters(seg)["kmalloc"] == 111
    assert sum_counters(seg, procs=[0, 2])["kmalloc"] == 101
    assert sum_counters(seg, procs=[])["kmalloc"] == 0


def test_another_process_sees_a_counter_move_while_its_owner_loops(stats_segment):
    """A plain store would be sunk out of the compiled loop, and this loop would never end."""
    count_for_ever(done := stats_segment(1, stopped), 0)
    seg = stats_segment(1, shared_words)
    child = os.fork()
    if child == 0:
        count_for_ever(seg, 0)
        os._exit(0)
    try:
        seen = set()
        while len(seen) < 3:
            seen.add(counter(seg, 0, VM.kvfree_calls))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert counter(seg, 0, VM.kvfree_calls) >= max(seen) > 0
    assert counter(done, 0, VM.kvfree_calls) == 0


def shared_words(n: int) -> Words:
    return Words(mmap.mmap(-1, n * 8))


def stopped(n: int) -> Words:
    """Words of a run that is over: compiles the loop before the fork, and runs it no time."""
    seg = shared_words(n)
    seg[HEADER.run_state] = 1
    return seg
