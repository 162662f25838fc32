"""A bell loses no ring: not before the sleep, not while the sleeper is on its way, not in a long exchange."""

import pytest

from emu.arch import JIT, NO_DEADLINE, jit, load_acquire, load_relaxed, monotonic_ns, store_release
from emu.shm import PROC
from emu.sync import bell, bell_seen, proc_ring, proc_sleep

ROUNDS = 20_000


def test_a_ring_between_the_look_and_the_sleep_ends_the_sleep(machine):
    m = machine()
    seen = bell_seen(m.seg, 0)
    proc_ring(m.seg, 0)
    proc_sleep(m.seg, 0, seen, NO_DEADLINE)  # would never return if the ring were lost
    assert bell_seen(m.seg, 0) == seen + 1
    assert m.seg[m.proc(0) + PROC.sleeping] == 0


@pytest.mark.skipif(JIT, reason="puts a ring between two steps of the interpreted body")
@pytest.mark.parametrize("step", ["smp_mb", "load_relaxed", "futex_wait"])
def test_a_ring_at_any_step_of_falling_asleep_ends_the_sleep(machine, monkeypatch, step):
    m = machine()
    seen = bell_seen(m.seg, 0)
    real, ring = getattr(bell, step), proc_ring
    rung = []

    def rings_first(*args):
        if not rung:
            rung.append(1)
            ring(m.seg, 0)
        return real(*args)

    monkeypatch.setattr(bell, step, rings_first)
    proc_sleep(m.seg, 0, seen, NO_DEADLINE)
    assert rung and m.seg[m.proc(0) + PROC.bell] == seen + 1


def test_a_ring_wakes_a_sleeping_process(shared_machine, fork):
    m = shared_machine
    proc_sleep(m.seg, 0, -1, NO_DEADLINE)  # compiled before the fork; -1 is no bell's value, so it returns at once
    proc_ring(m.seg, 3)
    seen = bell_seen(m.seg, 0)
    child = fork(lambda: proc_sleep(m.seg, 0, seen, NO_DEADLINE))
    child.wait_until_asleep()
    assert m.seg[m.proc(0) + PROC.sleeping] == 1
    proc_ring(m.seg, 0)
    assert child.wait() == 0
    assert m.seg[m.proc(0) + PROC.sleeping] == 0


@pytest.mark.skipif(JIT, reason="looks at the calls of the interpreted body")
def test_a_system_call_is_made_only_for_a_sleeper(machine, monkeypatch):
    m = machine()
    calls = []
    monkeypatch.setattr(bell, "futex_wake", lambda *args: calls.append(args))
    proc_ring(m.seg, 1)
    assert calls == []
    m.seg[m.proc(1) + PROC.sleeping] = 1
    proc_ring(m.seg, 1)
    assert calls == [(m.seg, m.proc(1) + PROC.bell, 1)]
    assert m.seg[m.proc(1) + PROC.bell] == 2


def test_a_sleep_ends_at_its_deadline_not_before(machine):
    m = machine()
    deadline = monotonic_ns() + 20_000_000
    proc_sleep(m.seg, 0, bell_seen(m.seg, 0), deadline)
    # a stray wake-up may come early; sleep on until the time is there
    while monotonic_ns() < deadline:
        proc_sleep(m.seg, 0, bell_seen(m.seg, 0), deadline)
    assert m.seg[m.proc(0) + PROC.sleeping] == 0


def test_a_bell_wakes_its_owner_alone(shared_machine, fork):
    m = shared_machine
    proc_sleep(m.seg, 0, -1, NO_DEADLINE)
    first = fork(lambda: proc_sleep(m.seg, 0, 0, NO_DEADLINE))
    second = fork(lambda: proc_sleep(m.seg, 1, 0, NO_DEADLINE))
    first.wait_until_asleep()
    second.wait_until_asleep()
    proc_ring(m.seg, 0)
    assert first.wait() == 0
    second.wait_until_asleep()
    assert m.seg[m.proc(1) + PROC.sleeping] == 1
    proc_ring(m.seg, 1)
    assert second.wait() == 0


@jit
def play(seg, me, other, ball, rounds):
    """Wait for the ball to be mine, give it back, ring: no deadline, so one lost ring ends all."""
    for i in range(rounds):
        while True:
            seen = bell_seen(seg, me)
            if load_acquire(seg, ball) == 2 * i + me:
                break
            proc_sleep(seg, me, seen, -1)
        store_release(seg, ball, 2 * i + me + 1)
        proc_ring(seg, other)
    return load_relaxed(seg, ball)


@pytest.mark.parametrize("same_core", [True, False])
def test_no_ring_is_lost_in_a_long_exchange(shared_machine, fork, pinned, cores, same_core):
    m = shared_machine
    if not same_core and len(cores) < 2:
        pytest.skip("one core only")
    rounds = ROUNDS if JIT else 200
    play(m.seg, 0, 1, m.free, 0)
    places = (cores[0], cores[0] if same_core else cores[1])
    children = [
        fork(pinned(m, me, places[me], lambda me=me: play(m.seg, me, 1 - me, m.free, rounds))) for me in (0, 1)
    ]
    assert [child.wait() for child in children] == [0, 0]
    assert m.seg[m.free] == 2 * rounds
    assert m.seg[m.proc(0) + PROC.bell] == m.seg[m.proc(1) + PROC.bell] == rounds
