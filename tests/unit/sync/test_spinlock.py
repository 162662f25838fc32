"""A lock excludes, records who waited for whom, and never burns the core its holder needs."""

import time

import pytest

from emu.arch import JIT, NO_DEADLINE, jit, load_relaxed
from emu.shm import (
    ABORT,
    F_LOCK_STOLEN,
    F_SELF_DEADLOCK,
    HEADER,
    MAP,
    MAP_BASE,
    RUN,
    raise_fault,
    read_fault,
)
from emu.stats import HIST, hist_count
from emu.sync import (
    EXIT_ABANDONED,
    LOCK,
    bell_seen,
    proc_ring,
    proc_sleep,
    rt_spin_lock,
    rt_spin_unlock,
    spin_lock,
    spin_lock_timed,
    spin_trylock,
    spin_unlock,
    spin_unlock_timed,
    spinlock,
)
from emu.sync.spinlock import QUEUED

ROUNDS = 200_000


@pytest.fixture
def ready(shared_machine):
    """The shared machine, with everything compiled that the children call."""
    m = shared_machine
    for step in (spin_lock, spin_unlock, spin_lock_timed, spin_unlock_timed, rt_spin_lock, rt_spin_unlock):
        step(m.seg, 3, m.lock2)
    proc_sleep(m.seg, 3, -1, NO_DEADLINE)
    proc_ring(m.seg, 3)
    assert bell_seen(m.seg, 3) == 1
    return m


def fault_of(m):
    return tuple(m.seg[at] for at in (HEADER.fault, HEADER.fault_proc, HEADER.fault_a, HEADER.fault_b, HEADER.fault_c))


# --- one process -----------------------------------------------------------------------------------------


def test_the_word_names_the_holder(machine):
    m = machine()
    spin_lock(m.seg, 2, m.lock)
    assert m.seg[m.lock + LOCK.word] == 3
    spin_unlock(m.seg, 2, m.lock)
    assert m.seg[m.lock + LOCK.word] == 0
    assert m.seg[m.lock + LOCK.acquired] == 1
    assert m.seg[m.lock + LOCK.contended] == m.seg[m.lock + LOCK.wait_ns] == m.seg[m.lock + LOCK.descheduled] == 0


def test_trylock_takes_a_free_lock_and_never_waits_for_a_held_one(machine):
    m = machine()
    assert spin_trylock(m.seg, 0, m.lock) == 1
    assert spin_trylock(m.seg, 0, m.lock) == 0
    assert spin_trylock(m.seg, 1, m.lock) == 0
    assert m.seg[m.lock + LOCK.word] == 1
    assert m.seg[m.lock + LOCK.acquired] == 1
    spin_unlock(m.seg, 0, m.lock)
    assert spin_trylock(m.seg, 1, m.lock) == 1
    assert read_fault(m.seg) == 0


def test_hold_times_add_up_and_the_longest_is_kept(machine):
    m = machine()
    held = []
    for seconds in (0.004, 0.001):
        spin_lock_timed(m.seg, 0, m.lock)
        time.sleep(seconds)
        held.append(spin_unlock_timed(m.seg, 0, m.lock))
    assert held[0] >= 4_000_000 and held[1] >= 1_000_000
    assert m.seg[m.lock + LOCK.hold_ns] == sum(held)
    assert m.seg[m.lock + LOCK.hold_max_ns] == max(held)


def test_taking_a_lock_twice_is_a_fault_not_a_hang(machine):
    m = machine()
    spin_lock(m.seg, 1, m.lock)
    spin_lock(m.seg, 1, m.lock)
    assert fault_of(m) == (F_SELF_DEADLOCK, 1, m.lock, 0, 0)
    assert m.seg[HEADER.run_state] == ABORT


def test_an_unlock_by_a_stranger_is_a_fault(machine):
    m = machine()
    spin_lock(m.seg, 1, m.lock)
    spin_unlock(m.seg, 2, m.lock)
    assert fault_of(m) == (F_LOCK_STOLEN, 2, m.lock, 3, 2)


def test_an_unlock_of_a_free_lock_is_a_fault(machine):
    m = machine()
    spin_unlock(m.seg, 0, m.lock)
    assert fault_of(m) == (F_LOCK_STOLEN, 0, m.lock, 1, 0)


def test_without_verify_nobody_looks_who_unlocks(machine):
    m = machine()
    m.seg[HEADER.verify] = 0
    spin_lock(m.seg, 1, m.lock)
    spin_unlock(m.seg, 2, m.lock)
    assert read_fault(m.seg) == 0
    assert m.seg[m.lock] == 0


# --- a waiter and a holder -------------------------------------------------------------------------------


def take_and_release(m, me):
    spin_lock(m.seg, me, m.lock)
    spin_unlock(m.seg, me, m.lock)


def start_waiter(m, fork):
    """A child that waits for the lock, asleep."""
    child = fork(lambda: take_and_release(m, 1))
    while m.seg[m.lock + LOCK.contended] == 0:
        time.sleep(0.001)
    child.wait_until_asleep()
    return child


def test_a_waiter_gets_the_lock_after_its_release_and_is_counted(ready, fork):
    m = ready
    spin_lock(m.seg, 0, m.lock)
    child = start_waiter(m, fork)
    assert m.seg[m.lock] == 1
    assert m.seg[m.lock + LOCK.contended] == 1
    assert m.seg[m.lock + LOCK.acquired] == 1
    spin_unlock(m.seg, 0, m.lock)
    assert child.wait() == 0
    assert m.seg[m.lock + LOCK.acquired] == 2
    assert m.seg[m.lock + LOCK.wait_ns] > 0
    assert m.seg[m.lock + LOCK.descheduled] == 1  # it had to sleep: the holder was away longer than any section takes
    assert read_fault(m.seg) == 0


def hold_until_rung(m, me):
    """Take the lock, and sleep on the own bell with it: a holder that lost its core."""
    seen = bell_seen(m.seg, me)
    spin_lock(m.seg, me, m.lock)
    proc_ring(m.seg, 3)
    proc_sleep(m.seg, me, seen, NO_DEADLINE)
    spin_unlock(m.seg, me, m.lock)


def wait_for_holder(m, seen):
    while bell_seen(m.seg, 3) == seen:
        proc_sleep(m.seg, 3, seen, NO_DEADLINE)


def same_core_pair(m, fork, pinned, core):
    """A holder asleep in its section and a waiter asleep for it, both on one core."""
    seen = bell_seen(m.seg, 3)
    holder = fork(pinned(m, 0, core, lambda: hold_until_rung(m, 0)))
    wait_for_holder(m, seen)
    waiter = fork(pinned(m, 1, core, lambda: take_and_release(m, 1)))
    waiter.wait_until_asleep()
    while m.seg[m.lock + LOCK.waiters] == 0:  # asleep before it even met the lock
        time.sleep(0.001)
    waiter.wait_until_asleep()
    return holder, waiter


def test_a_waiter_on_the_holders_core_sleeps_instead_of_spinning(ready, fork, pinned, cores):
    m = ready
    holder, waiter = same_core_pair(m, fork, pinned, cores[0])
    assert m.seg[m.lock] == 1
    proc_ring(m.seg, 0)
    assert (holder.wait(), waiter.wait()) == (0, 0)
    assert m.seg[m.lock] == 0
    assert m.seg[m.lock + LOCK.acquired] == 2
    assert m.seg[m.lock + LOCK.contended] == m.seg[m.lock + LOCK.descheduled] == 1
    assert m.seg[m.lock + LOCK.waiters] == 0


@pytest.mark.skipif(JIT, reason="makes the bounded sleep an endless one, which a compiled constant is not")
def test_the_unlock_itself_wakes_a_waiter_on_the_same_core(ready, fork, pinned, cores, monkeypatch):
    monkeypatch.setattr(spinlock, "SAME_CORE_SLEEP_NS", 10**15)
    m = ready
    holder, waiter = same_core_pair(m, fork, pinned, cores[0])
    proc_ring(m.seg, 0)
    assert (holder.wait(), waiter.wait()) == (0, 0)


def test_a_waiter_leaves_when_the_run_is_aborted_because_its_holder_may_be_dead(ready, fork):
    m = ready
    spin_lock(m.seg, 0, m.lock)
    child = start_waiter(m, fork)
    m.seg[HEADER.run_state] = ABORT
    assert child.wait() == EXIT_ABANDONED
    assert m.seg[m.lock] == 1


def test_a_waiter_stays_when_a_fault_stops_the_run(ready, fork):
    m = ready
    raise_fault(m.seg, 3, F_LOCK_STOLEN, 0, 0, 0)
    m.seg[HEADER.fault] = m.seg[HEADER.run_state] = 0  # compiled; as if it had not happened
    m.seg[HEADER.run_state] = RUN
    spin_lock(m.seg, 0, m.lock)
    child = start_waiter(m, fork)
    raise_fault(m.seg, 3, F_LOCK_STOLEN, 0, 0, 0)
    spin_unlock(m.seg, 0, m.lock)
    assert child.wait() == 0
    assert m.seg[m.lock + LOCK.acquired] == 2


# --- the queue, and locks that sleep ---------------------------------------------------------------------


def take_and_note(m, me):
    """Take the lock, write down who came when, release it."""
    spin_lock(m.seg, me, m.lock)
    m.seg[m.free] += 1
    m.seg[m.free + m.seg[m.free]] = me
    spin_unlock(m.seg, me, m.lock)


def test_waiters_get_the_lock_in_the_order_in_which_they_came(ready, fork):
    m = ready
    spin_lock(m.seg, 0, m.lock)
    children = []
    for me in (2, 1, 3):
        children.append(fork(lambda me=me: take_and_note(m, me)))
        while m.seg[m.lock + LOCK.tail] != me + 1:
            time.sleep(0.001)
    spin_unlock(m.seg, 0, m.lock)
    assert [child.wait() for child in children] == [0, 0, 0]
    assert [m.seg[m.free + at] for at in (1, 2, 3)] == [2, 1, 3]
    assert (m.seg[m.lock], m.seg[m.lock + LOCK.tail], m.seg[m.lock + LOCK.handover]) == (0, 0, 0)


def test_a_lock_that_is_kept_for_the_queue_is_not_for_a_newcomer(machine):
    m = machine()
    m.seg[m.lock + LOCK.handover] = QUEUED  # as a waiter leaves it that has lined up
    spin_lock(m.seg, 0, m.lock)
    spin_unlock(m.seg, 0, m.lock)
    assert m.seg[m.lock] == QUEUED
    assert spin_trylock(m.seg, 1, m.lock) == 0
    spin_lock(m.seg, 1, m.lock)  # lines up, is the first, takes it, and leaves an empty queue
    spin_unlock(m.seg, 1, m.lock)
    assert m.seg[m.lock] == 0
    assert m.seg[m.lock + LOCK.contended] == 1


def test_waiters_of_a_sleeping_lock_sleep_and_are_woken(ready, fork):
    m = ready
    m.seg[m.lock + LOCK.sleeps] = 1
    rt_spin_lock(m.seg, 0, m.lock)
    children = [fork(lambda me=me: take_and_release(m, me)) for me in (1, 2)]
    while m.seg[m.lock + LOCK.contended] < 2 or m.seg[m.lock + LOCK.waiters] == 0:
        time.sleep(0.001)
    for child in children:
        child.wait_until_asleep()
    assert m.seg[m.lock + LOCK.tail] == 0  # nobody spins in a queue
    rt_spin_unlock(m.seg, 0, m.lock)
    assert [child.wait() for child in children] == [0, 0]
    assert m.seg[m.lock + LOCK.acquired] == 3


def test_waits_go_to_the_histogram_that_the_lock_names(ready, fork):
    m = ready
    m.seg[MAP_BASE + MAP.histograms] = m.histograms
    m.seg[m.lock + LOCK.wait_hist] = HIST.zone_lock_wait_ns + 1
    spin_lock(m.seg, 0, m.lock)
    child = start_waiter(m, fork)
    spin_unlock(m.seg, 0, m.lock)
    assert child.wait() == 0
    assert hist_count(m.seg, 1, HIST.zone_lock_wait_ns) == 1


# --- many ------------------------------------------------------------------------------------------------


@jit
def hammer(seg, me, lock, words, rounds):
    """Two plain words moved together under the lock; a stranger inside is seen as a difference. Returns misses."""
    torn = 0
    for i in range(rounds):
        spin_lock(seg, me, lock)
        if seg[words] != seg[words + 16]:
            torn += 1
        seg[words] += 1
        for _ in range(i & 15):
            load_relaxed(seg, lock)
        seg[words + 16] += 1
        spin_unlock(seg, me, lock)
    return torn


@pytest.mark.jit_only  # interpreted, a read-modify-write is several steps of several processes
@pytest.mark.parametrize("place", ["one core", "two cores", "unknown cores"])
def test_sections_exclude_each_other(shared_machine, fork, pinned, cores, place):
    m = shared_machine
    if place == "two cores" and len(cores) < 2:
        pytest.skip("one core only")
    hammer(m.seg, 0, m.lock, m.free, 0)

    def work(me):
        def run():
            assert hammer(m.seg, me, m.lock, m.free, ROUNDS) == 0

        return run

    def placed(me):
        if place == "unknown cores":
            return work(me)
        return pinned(m, me, cores[0] if place == "one core" else cores[me % 2], work(me))

    children = [fork(placed(me)) for me in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert m.seg[m.free] == m.seg[m.free + 16] == 3 * ROUNDS
    assert m.seg[m.lock] == 0
    assert m.seg[m.lock + LOCK.acquired] == 3 * ROUNDS
    assert m.seg[m.lock + LOCK.descheduled] <= m.seg[m.lock + LOCK.contended] <= 3 * ROUNDS
    assert (m.seg[m.lock + LOCK.wait_ns] > 0) == (m.seg[m.lock + LOCK.contended] > 0)
    assert read_fault(m.seg) == 0
