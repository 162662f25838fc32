"""The machine: when it has drained by its books, what a kill leaves, and that nothing stays after it."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from emu.boot import make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.errors import HostError
from emu.kvfree import KRC
from emu.launch.children import fork_child
from emu.launch.machine import Machine, cores_of
from emu.rcu import RCU
from emu.shm import ABORT, BOOT, DRAIN, DRAINED, HEADER, PARKED, PROC, RUN, RUNNING, STOP, proc_of
from emu.stats import VM, VM_WORDS
from tests.small_machine import SMALL

CORE = min(os.sched_getaffinity(0))
PLACEMENT = SimpleNamespace(cores=(CORE, CORE), overcommitted=True)
DAEMONS = SimpleNamespace(cores=(CORE,))


def sleeping_main(seg, me):
    """A worker that parks and never leaves."""
    seg[proc_of(seg, me) + PROC.state] = PARKED
    time.sleep(3600)


@pytest.fixture
def machine():
    overrides = dict(parse_override(text) for text in (*SMALL, "run.epoch=E61", "memory.prefault=false"))
    plan = make_plan(resolve(parse_scenario("", overrides=overrides)))
    made = Machine(plan, dict.fromkeys((role.kind for role in plan.roles), sleeping_main))
    made.boot()
    yield made
    made.tear_down()
    assert not (Path("/dev/shm") / made.segment.name).exists()


def finish_mutators(machine):
    for cpu in range(machine.plan.cpus):
        machine.seg[machine.plan.proc(cpu) + PROC.state] = DRAINED


def count(machine, counter, by=1):
    machine.seg[machine.plan.offsets["counters"] + 0 * VM_WORDS + counter] += by


def test_drained_needs_every_mutator_at_its_end(machine):
    machine.seg[machine.plan.proc(0) + PROC.state] = DRAINED
    machine.seg[machine.plan.proc(1) + PROC.state] = RUNNING
    assert not machine.mutators_done() and not machine.drained()
    finish_mutators(machine)
    assert machine.mutators_done() and machine.drained()


@pytest.mark.parametrize("way", ["kvfree_bulk", "kvfree_fallback_list"])
def test_drained_goes_by_what_was_retired_and_freed_whatever_a_daemon_said(machine, way):
    finish_mutators(machine)
    for role in machine.plan.roles:
        machine.seg[machine.plan.proc(role.index) + PROC.state] = DRAINED  # looked before the last call
    count(machine, getattr(VM, way))
    assert not machine.drained()
    machine.seg[machine.plan.krc(1) + KRC.freed] += 1
    assert machine.drained()


def test_drained_waits_for_a_grace_period_that_runs_or_is_asked_for(machine):
    finish_mutators(machine)
    rcu = machine.plan.offsets["rcu"]
    machine.seg[rcu + RCU.gp_needed] = machine.seg[rcu + RCU.gp_seq] + 4
    assert not machine.drained()
    machine.seg[rcu + RCU.gp_seq] += 1
    assert not machine.drained()
    machine.seg[rcu + RCU.gp_seq] += 3
    assert machine.drained()


def test_run_moves_on_but_never_out_of_an_abort(machine):
    assert machine.time_zero() == 0
    zero = machine.release()
    assert zero > time.monotonic_ns() - 1_000_000_000 and machine.time_zero() == zero
    assert machine.seg[HEADER.t_end] == zero + machine.plan.resolved.run.duration_ns
    assert machine.seg[HEADER.run_state] == RUN
    machine.drain()
    assert machine.seg[HEADER.run_state] == DRAIN
    machine.set_state(ABORT)
    assert machine.aborted()
    machine.drain()
    machine.set_state(STOP)
    assert machine.seg[HEADER.run_state] == ABORT


def test_children_are_placed_parked_and_killed_with_the_machine(machine):
    machine.start_children(PLACEMENT, DAEMONS, lambda: None)
    assert machine.wait_parked(lambda: True)
    assert [child.name for child in machine.children] == [role.name for role in machine.plan.roles]
    for child in machine.children:
        assert os.sched_getaffinity(child.pid) == {CORE}
        assert machine.seg[machine.plan.proc(child.index) + PROC.pid] == child.pid
    machine.remember_children()
    assert {child.seen["class"] for child in machine.children} == {"other"}
    pids = [child.pid for child in machine.children]
    assert machine.stop(0.05) == [role.name for role in machine.plan.roles]
    assert {child.describe_end() for child in machine.children} == {"signal 9 (SIGKILL)"}
    assert machine.segment.words[HEADER.run_state] == STOP
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_waiting_for_the_start_line_ends_when_it_is_told_to(machine):
    assert machine.wait_parked(lambda: False) is False


def test_child_that_never_parks_is_named(machine, monkeypatch):
    monkeypatch.setattr("emu.launch.machine.PARK_LIMIT_S", 0.01)
    with pytest.raises(HostError, match=r"^mutator/0, mutator/1, .*: not ready after 0 s; the host is too loaded"):
        machine.wait_parked(lambda: True)


def test_starting_stops_where_check_says_so(machine):
    asked = []

    def check():
        asked.append(len(machine.children))
        if len(asked) == 3:
            raise HostError("enough")

    with pytest.raises(HostError, match="enough"):
        machine.start_children(PLACEMENT, DAEMONS, lambda: None, check)
    assert asked == [0, 1, 2] and len(machine.children) == 2


def test_child_that_dies_before_it_is_placed_ends_the_starting(machine, monkeypatch):
    def dead_place(child, *_):
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOWAIT)
        raise HostError("process is gone")

    monkeypatch.setattr("emu.launch.machine.place", dead_place)
    machine.start_children(PLACEMENT, DAEMONS, lambda: None)
    assert len(machine.children) == 1


def test_refused_placement_of_a_living_child_is_an_error(machine, monkeypatch):
    def refuse(*_):
        raise HostError("not permitted")

    monkeypatch.setattr("emu.launch.machine.place", refuse)
    with pytest.raises(HostError, match="not permitted"):
        machine.start_children(PLACEMENT, DAEMONS, lambda: None)


def test_guard_adopts_the_table_of_a_dead_launcher(machine):
    child = fork_child("mutator/0", 0, lambda: None)
    machine.seg[machine.plan.proc(0) + PROC.pid] = child.pid
    os.waitpid(child.pid, 0)
    os.close(child.pidfd)
    machine.adopt_dead_children(PLACEMENT, DAEMONS)
    (adopted,) = machine.children
    assert (adopted.name, adopted.pid, adopted.describe_end()) == ("mutator/0", child.pid, "signal 9 (SIGKILL)")
    assert adopted.wanted == {"cores": [CORE]}
    machine.children = []


def test_totals_and_progress_add_up_over_processes(machine):
    count(machine, VM.kvfree_calls, 5)
    count(machine, VM.kvfree_fallback_list, 2)
    count(machine, VM.kvfree_fallback_sync, 1)
    machine.seg[machine.plan.offsets["counters"] + VM_WORDS + VM.kvfree_calls] += 4
    assert machine.total(VM.kvfree_calls) == 9
    assert machine.progress() == (9, 3, 0)


def test_bound_process_belongs_to_its_cpu_s_core_and_daemons_to_theirs(machine):
    placement, daemons = SimpleNamespace(cores=(4, 6)), SimpleNamespace(cores=(1, 2))
    cores = {role.name: cores_of(role, machine.plan.resolved, placement, daemons) for role in machine.plan.roles}
    assert cores["mutator/1"] == cores["page_refill/1"] == [6]
    assert cores["coordinator"] == [1, 2]


def test_cycle_counter_is_calibrated_against_the_monotonic_clock(machine):
    machine.calibrate()
    machine.clock_error()
    if machine.clock["kind"] == "cycles":
        assert machine.seg[HEADER.clock_mult] > 0
    assert 0 <= machine.clock["error_ppm"] < 1e6


def test_cycle_counter_that_is_not_invariant_is_refused_when_asked_for(monkeypatch):
    monkeypatch.setattr("emu.launch.machine.invariant_counter", lambda: False)
    overrides = dict(parse_override(text) for text in (*SMALL, "run.clock=cycles"))
    made = Machine(make_plan(resolve(parse_scenario("", overrides=overrides))), {})
    try:
        assert made.seg[HEADER.run_state] == BOOT
        with pytest.raises(HostError, match='run.clock = "cycles": .*use "auto"'):
            made.calibrate()
    finally:
        made.tear_down()
