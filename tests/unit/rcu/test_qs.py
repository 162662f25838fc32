"""Quiescent states: a reader blocks, a tick notices, the next one reports, idle CPUs are reported for."""

import pytest

from emu.rcu import (
    LEAF_FANOUT,
    RCU,
    RNP,
    STEP_ENDED,
    STEP_STARTED,
    STEP_WAITING,
    leaf_of,
    rcu_eqs_enter,
    rcu_eqs_exit,
    rcu_read_lock,
    rcu_read_unlock,
    rcu_report_qs,
    rcu_request_gp,
    rcu_state,
    rcu_tick,
    seq_number,
    seq_snap,
)
from emu.rcu.state import MASK, MASK_BITS
from emu.shm import PROC, proc_of
from tests.crew import Crew


def crew_of(*overrides, **options) -> Crew:
    return Crew("policy.preset=S19", "run.hz=1000", *overrides, **options)


def busy(crew: Crew, *cpus: int) -> None:
    for cpu in cpus:
        rcu_eqs_exit(crew.seg, cpu)


def tick(crew: Crew, cpu: int, quiescent: int = 1) -> None:
    """The next tick of a CPU, a jiffy after the last."""
    rcu_tick(crew.seg, cpu, cpu, crew.advance(crew.jiffy), quiescent)


def start_gp(crew: Crew) -> int:
    """Ask for a grace period and let it start; returns its number."""
    rcu_request_gp(crew.seg, seq_snap(crew.gp_word("gp_seq")))
    assert crew.coordinate() == STEP_STARTED
    return seq_number(crew.gp_word("gp_seq"))


def mask(crew: Crew, node: int) -> int:
    return crew.seg[leaf_of(crew.seg, node) + RNP.qsmask] & MASK


def test_the_first_tick_notices_and_the_second_reports():
    crew = crew_of("cpus.count=1")
    busy(crew, 0)
    start_gp(crew)
    tick(crew, 0)
    assert mask(crew, 0) == 1
    tick(crew, 0)
    assert mask(crew, 0) == 0
    assert crew.coordinate() == STEP_ENDED


def test_a_tick_comes_once_per_jiffy():
    crew = crew_of("cpus.count=1")
    for _ in range(5):
        rcu_tick(crew.seg, 0, 0, crew.advance(crew.jiffy // 2), 1)
    assert crew.counter("rcu_tick") == 3


@pytest.mark.parametrize("where", ["in a reader", "in a section"])
def test_a_tick_that_is_no_quiescent_state_reports_nothing(where):
    crew = crew_of("cpus.count=1")
    busy(crew, 0)
    start_gp(crew)
    if where == "in a reader":
        rcu_read_lock(crew.seg, 0)
    for _ in range(10):
        tick(crew, 0, quiescent=1 if where == "in a reader" else 0)
        assert crew.coordinate() == STEP_WAITING
    if where == "in a reader":
        rcu_read_unlock(crew.seg, 0)
    tick(crew, 0)
    tick(crew, 0)
    assert crew.coordinate() == STEP_ENDED


def test_readers_nest_and_the_outermost_one_decides():
    crew = crew_of("cpus.count=1")
    busy(crew, 0)
    start_gp(crew)
    rcu_read_lock(crew.seg, 0)
    rcu_read_lock(crew.seg, 0)
    rcu_read_unlock(crew.seg, 0)
    for _ in range(4):
        tick(crew, 0)
    assert mask(crew, 0) == 1
    rcu_read_unlock(crew.seg, 0)
    tick(crew, 0)
    tick(crew, 0)
    assert mask(crew, 0) == 0


def test_a_grace_period_that_was_noticed_too_late_is_noticed_anew():
    crew = crew_of("cpus.count=1")
    busy(crew, 0)
    start_gp(crew)
    tick(crew, 0)  # noticed, not reported
    rcu_eqs_enter(crew.seg, 0, 0)  # asleep when the coordinator looks
    crew.grace_period()
    rcu_eqs_exit(crew.seg, 0)
    start_gp(crew)
    tick(crew, 0)
    assert mask(crew, 0) == 1
    tick(crew, 0)
    assert mask(crew, 0) == 0


def test_an_idle_cpu_is_reported_for_at_the_first_scan():
    crew = crew_of()
    busy(crew, 0)
    start_gp(crew)
    assert mask(crew, 0) == 0b11
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_WAITING
    assert mask(crew, 0) == 0b01
    assert crew.gp_word("stall_cpu") == 0


def test_a_cpu_that_was_idle_between_two_scans_is_reported_for_at_the_second():
    crew = crew_of()
    busy(crew, 0, 1)
    start_gp(crew)
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_WAITING
    rcu_eqs_enter(crew.seg, 1, 1)
    rcu_eqs_exit(crew.seg, 1)
    assert mask(crew, 0) == 0b11
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_WAITING
    assert mask(crew, 0) == 0b01


def test_a_sleep_before_the_first_scan_does_not_count_at_it():
    crew = crew_of("cpus.count=1")
    busy(crew, 0)
    start_gp(crew)
    rcu_eqs_enter(crew.seg, 0, 0)
    rcu_eqs_exit(crew.seg, 0)
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_WAITING
    assert mask(crew, 0) == 1


def test_a_report_for_the_last_grace_period_is_dropped():
    crew = crew_of()
    stale = start_gp(crew)
    crew.grace_period()
    busy(crew, 0, 1)
    number = start_gp(crew)
    assert number == stale + 1
    rcu_report_qs(crew.seg, 0, 0, stale)
    assert mask(crew, 0) == 0b11
    rcu_report_qs(crew.seg, 0, 0, number)
    assert mask(crew, 0) == 0b10


def test_the_last_report_wakes_the_coordinator_and_no_earlier_one():
    crew = crew_of("cpus.count=3")
    busy(crew, 0, 1, 2)
    number = start_gp(crew)
    bell = proc_of(crew.seg, crew.coordinator) + PROC.bell
    rung = []
    for cpu in range(3):
        before = crew.seg[bell]
        rcu_report_qs(crew.seg, cpu, cpu, number)
        rung.append(crew.seg[bell] - before)
    assert rung == [0, 0, 1]


@pytest.mark.parametrize("cpus", [1, 16, 17, 40, 512])
def test_the_tree_holds_a_bit_for_every_cpu_and_ends_only_with_the_last(cpus, shared_words):
    crew = crew_of(f"cpus.count={cpus}", make_words=shared_words)
    leaves = -(-cpus // LEAF_FANOUT)
    assert crew.gp_word("nr_leaves") == leaves
    busy(crew, *range(cpus))
    number = start_gp(crew)
    masks = [mask(crew, leaf) for leaf in range(leaves)]
    assert sum(each.bit_count() for each in masks) == cpus
    assert masks[-1] == (1 << (cpus - LEAF_FANOUT * (leaves - 1))) - 1
    if leaves > 1:
        assert mask(crew, leaves) == (1 << leaves) - 1
    tags = {crew.seg[leaf_of(crew.seg, node) + RNP.qsmask] >> MASK_BITS for node in range(leaves + (leaves > 1))}
    assert tags == {number}
    for cpu in reversed(range(cpus)):
        assert crew.coordinate() == STEP_WAITING
        rcu_report_qs(crew.seg, cpu, cpu, number)
        if leaves > 1 and cpu % LEAF_FANOUT == 0:
            assert mask(crew, leaves) == (1 << (cpu // LEAF_FANOUT)) - 1
    assert crew.coordinate() == STEP_ENDED
    assert crew.fault == 0


def test_a_cpu_that_reports_twice_changes_nothing():
    crew = crew_of("cpus.count=17")
    busy(crew, *range(17))
    number = start_gp(crew)
    for _ in range(2):
        rcu_report_qs(crew.seg, 16, 16, number)
    assert (mask(crew, 1), mask(crew, 2)) == (0, 0b01)
    assert crew.seg[rcu_state(crew.seg) + RCU.nr_leaves] == 2
