"""Sleeping and waking between real processes, and the other system calls of compiled code.

A wait that should return at once has no deadline here: if it slept, the watchdog would name the test.
"""

import os
import time

import pytest

from emu.arch import (
    NO_DEADLINE,
    exit_now,
    futex_wait,
    futex_wake,
    jit,
    load_acquire,
    membarrier,
    membarrier_error,
    monotonic_ns,
    register_membarrier,
    sched_yield,
    smp_mb,
    store_relaxed,
    store_release,
)


@jit
def wait_once(seg, i, expected, deadline_ns):
    futex_wait(seg, i, expected, deadline_ns)
    return monotonic_ns()


@jit
def wake(seg, i, count):
    return futex_wake(seg, i, count)


@jit
def sleep_until_changed(seg, i):
    """Sleep while word i is 0, then acknowledge in the word 16 behind it."""
    while load_acquire(seg, i) == 0:
        futex_wait(seg, i, 0, NO_DEADLINE)
    store_release(seg, i + 16, load_acquire(seg, i))
    return load_acquire(seg, i)


@jit
def leave(status):
    exit_now(status)


@jit
def fence_everyone():
    smp_mb()
    membarrier()
    sched_yield()
    return 1


@pytest.fixture
def seg(shared_words):
    """Words shared with forked processes; all functions compiled before any fork."""
    words = shared_words(64)
    words[0] = 1
    sleep_until_changed(words, 0)
    wait_once(words, 0, 0, NO_DEADLINE)
    wake(words, 0, 1)
    words[0] = words[16] = 0
    return words


def test_a_sleeper_in_another_process_wakes(seg, fork):
    child = fork(lambda: sleep_until_changed(seg, 0))
    child.wait_until_asleep()
    store_release(seg, 0, 7)
    assert wake(seg, 0, 1) == 1
    assert child.wait() == 0
    assert seg[16] == 7


def test_a_wake_counts_the_sleepers_and_leaves_the_rest_asleep(seg, fork):
    children = [fork(lambda: sleep_until_changed(seg, 0)) for _ in range(3)]
    for child in children:
        child.wait_until_asleep()
    store_release(seg, 0, 1)
    assert wake(seg, 0, 2) == 2
    assert wake(seg, 0, 2) == 1
    assert [child.wait() for child in children] == [0, 0, 0]


def test_a_python_waker_wakes_a_compiled_sleeper(seg, fork):
    child = fork(lambda: sleep_until_changed(seg, 0))
    child.wait_until_asleep()
    seg[0] = 1
    assert futex_wake(seg, 0, 1) == 1
    assert child.wait() == 0


def test_nobody_asleep_is_nobody_woken(seg):
    assert wake(seg, 0, 10) == 0
    assert futex_wake(seg, 0, 10) == 0


def test_another_value_does_not_sleep(seg):
    store_relaxed(seg, 0, 5)
    assert wait_once(seg, 0, 4, NO_DEADLINE) > 0
    futex_wait(seg, 0, 4, NO_DEADLINE)


@pytest.mark.parametrize("word, expected", [(5 | 9 << 32, 5), (-1, 0xFFFFFFFF), (-1, -1), (1 << 40, 0)])
def test_only_the_low_half_is_compared(seg, word, expected):
    seg[0] = word
    deadline = time.monotonic_ns() + 5_000_000
    assert wait_once(seg, 0, expected, deadline) >= deadline, "it did not sleep"


@pytest.mark.parametrize("delay_ns", [0, 1_000_000, 20_000_000])
def test_a_wait_lasts_until_its_deadline(seg, delay_ns):
    deadline = time.monotonic_ns() + delay_ns
    assert wait_once(seg, 0, 0, deadline) >= deadline
    deadline = time.monotonic_ns() + delay_ns
    futex_wait(seg, 0, 0, deadline)
    assert time.monotonic_ns() >= deadline


def test_a_deadline_long_past_returns(seg):
    assert wait_once(seg, 0, 0, 1) > 0
    futex_wait(seg, 0, 0, 1)


def test_exit_now_ends_the_process_with_its_status(fork):
    assert fork(lambda: leave(3)).wait() == 3


def test_exit_now_runs_no_cleanup(fork, tmp_path):
    def work():
        try:
            leave(0)
        finally:
            (tmp_path / "cleaned").touch()

    assert fork(work).wait() == 0
    assert not (tmp_path / "cleaned").exists()


def test_membarrier_is_registered_or_says_why_not():
    if register_membarrier():
        assert fence_everyone() == 1
        membarrier()
        sched_yield()
    else:
        assert membarrier_error() != "none"


def test_a_forked_process_shares_the_words(shared_words, fork):
    seg = shared_words(16)
    assert fork(lambda: store_release(seg, 3, os.getpid())).wait() == 0
    assert seg[3] not in (0, os.getpid())
