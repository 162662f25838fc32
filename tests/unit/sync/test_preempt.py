"""No worker of a CPU runs inside a section of its mutator, and each gets in when the last section ends."""

import time

import pytest

from emu.shm import HEADER, PROC, STOP
from emu.stats import VM, counter
from emu.sync import (
    CPU,
    atomic_depth,
    bell_seen,
    cpu_enter,
    model_section,
    preempt_disable,
    preempt_enable,
    preemptible,
    proc_ring,
    ring_or_defer,
)

MUTATOR, REFILL, RECLAIM, OTHER = range(4)


def bells(m):
    return [bell_seen(m.seg, me) for me in range(4)]


def test_sections_nest_and_only_the_last_end_makes_preemptible(machine):
    m = machine()
    assert preemptible(m.seg, 0) == 1
    for depth in (1, 2, 3):
        preempt_disable(m.seg, 0)
        assert m.seg[m.cpu(0) + CPU.preempt_count] == depth
        assert preemptible(m.seg, 0) == 0
    for depth in (2, 1):
        preempt_enable(m.seg, MUTATOR, 0)
        assert m.seg[m.cpu(0) + CPU.preempt_count] == depth
        assert preemptible(m.seg, 0) == 0
    preempt_enable(m.seg, MUTATOR, 0)
    assert preemptible(m.seg, 0) == 1


def test_without_counting_nobody_is_ever_preemptible(machine):
    m = machine()
    m.seg[m.cpu(0) + CPU.counts] = 0
    assert preemptible(m.seg, 0) == 0
    preempt_disable(m.seg, 0)
    assert (preemptible(m.seg, 0), atomic_depth(m.seg, 0)) == (0, 1)


def test_the_section_of_a_kernel_without_preemption_is_no_atomic_one(machine):
    m = machine()
    preempt_disable(m.seg, 0)
    model_section(m.seg, 0, 1)
    assert (preemptible(m.seg, 0), atomic_depth(m.seg, 0)) == (1, 0)
    preempt_disable(m.seg, 0)
    assert (preemptible(m.seg, 0), atomic_depth(m.seg, 0)) == (0, 1)


def test_sections_of_one_cpu_are_nothing_to_another(machine):
    m = machine()
    preempt_disable(m.seg, 0)
    assert preemptible(m.seg, 1) == 1
    assert cpu_enter(m.seg, REFILL, 1) == 0


def test_the_end_of_a_section_nobody_waits_for_rings_nobody(machine):
    m = machine()
    preempt_disable(m.seg, 0)
    preempt_enable(m.seg, MUTATOR, 0)
    assert bells(m) == [0, 0, 0, 0]
    assert counter(m.seg, MUTATOR, VM.preempt_resched) == 0


def test_the_outermost_end_alone_lets_in_whoever_asked(machine):
    m = machine()
    preempt_disable(m.seg, 0)
    preempt_disable(m.seg, 0)
    m.seg[m.cpu(0) + CPU.need_resched] = 1
    preempt_enable(m.seg, MUTATOR, 0)
    assert bells(m) == [0, 0, 0, 0]
    assert m.seg[m.cpu(0) + CPU.need_resched] == 1
    preempt_enable(m.seg, MUTATOR, 0)
    assert bells(m) == [0, 1, 1, 0]  # the bound workers, and nobody else
    assert m.seg[m.cpu(0) + CPU.need_resched] == 0
    assert m.seg[m.cpu(0) + CPU.t_open] > 0
    assert counter(m.seg, MUTATOR, VM.preempt_resched) == 1


def test_a_cpu_without_workers_rings_nobody(machine):
    m = machine()
    preempt_disable(m.seg, 1)
    m.seg[m.cpu(1) + CPU.need_resched] = 1
    preempt_enable(m.seg, OTHER, 1)
    assert bells(m) == [0, 0, 0, 0]
    assert counter(m.seg, OTHER, VM.preempt_resched) == 1


@pytest.mark.parametrize("worker", [REFILL, RECLAIM])
def test_a_bound_worker_rung_inside_a_section_is_rung_at_its_end(machine, worker):
    m = machine()
    preempt_disable(m.seg, 0)
    assert ring_or_defer(m.seg, MUTATOR, 0, worker) == 1
    assert bells(m) == [0, 0, 0, 0]
    preempt_enable(m.seg, MUTATOR, 0)
    assert bell_seen(m.seg, worker) == 1


def test_outside_a_section_or_for_an_unbound_worker_the_bell_rings_at_once(machine):
    m = machine()
    assert ring_or_defer(m.seg, MUTATOR, 0, REFILL) == 0
    assert bells(m) == [0, 1, 0, 0]
    preempt_disable(m.seg, 0)
    assert ring_or_defer(m.seg, MUTATOR, 0, OTHER) == 0
    assert bells(m) == [0, 1, 0, 1]
    assert m.seg[m.cpu(0) + CPU.need_resched] == 0


def test_a_free_cpu_is_entered_without_standing_aside(machine):
    m = machine()
    assert cpu_enter(m.seg, REFILL, 0) == 0
    assert counter(m.seg, REFILL, VM.preempt_stood_aside) == 0
    assert m.seg[m.cpu(0) + CPU.need_resched] == 0


def test_a_worker_does_not_wait_for_a_section_once_the_run_is_over(machine):
    m = machine()
    preempt_disable(m.seg, 0)
    m.seg[HEADER.run_state] = STOP
    assert cpu_enter(m.seg, REFILL, 0) >= 0
    assert counter(m.seg, REFILL, VM.preempt_stood_aside) == 1


def compile_all(m):
    """Before the fork, and without a trace on CPU 0."""
    cpu_enter(m.seg, OTHER, 1)
    proc_ring(m.seg, OTHER)
    preempt_disable(m.seg, 1)
    preempt_enable(m.seg, OTHER, 1)


@pytest.mark.parametrize("same_core", [True, False])
def test_a_worker_stands_aside_until_the_last_section_ends(shared_machine, fork, pinned, cores, same_core):
    m = shared_machine
    compile_all(m)

    def enter():
        m.seg[m.free + 1] = cpu_enter(m.seg, REFILL, 0)
        m.seg[m.free] = 1

    preempt_disable(m.seg, 0)
    preempt_disable(m.seg, 0)
    m.seg[m.proc(MUTATOR) + PROC.core] = cores[0]
    worker = fork(pinned(m, REFILL, cores[0] if same_core else cores[-1], enter))
    while m.seg[m.cpu(0) + CPU.need_resched] == 0:  # it came, and asked
        time.sleep(0.001)
    worker.wait_until_asleep()
    preempt_enable(m.seg, MUTATOR, 0)  # the inner one
    worker.wait_until_asleep()
    assert m.seg[m.free] == 0
    assert counter(m.seg, REFILL, VM.preempt_stood_aside) == 1
    assert m.seg[m.cpu(0) + CPU.need_resched] == 1
    preempt_enable(m.seg, MUTATOR, 0)
    assert worker.wait() == 0
    assert m.seg[m.free] == 1
    assert m.seg[m.free + 1] > 0
    assert counter(m.seg, MUTATOR, VM.preempt_resched) == 1
    assert bell_seen(m.seg, REFILL) == 1


def test_a_worker_gets_in_even_if_its_ring_came_before_it_slept(shared_machine, fork):
    """The section ends without a look at need_resched, as on a host without membarrier: time is lost, nothing else."""
    m = shared_machine
    compile_all(m)
    preempt_disable(m.seg, 0)
    worker = fork(lambda: cpu_enter(m.seg, REFILL, 0))
    while m.seg[m.cpu(0) + CPU.need_resched] == 0:
        time.sleep(0.001)
    worker.wait_until_asleep()
    m.seg[m.cpu(0) + CPU.preempt_count] = 0
    assert worker.wait() == 0
    assert bell_seen(m.seg, REFILL) == 0
