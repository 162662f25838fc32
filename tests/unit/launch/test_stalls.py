"""Stalls are named, timed from the first look that saw them, and told apart."""

import os
import signal
import time

import pytest

from emu.host import process_state
from emu.launch.children import fork_child, wait_any
from emu.launch.stalls import StallWatch, culprit_state
from emu.rcu import RCU
from emu.stats import VM, VM_WORDS
from tests.small_machine import small_machine

SECOND = 1_000_000_000


@pytest.fixture
def child():
    """mutator/0, asleep."""
    forked = fork_child("mutator/0", 0, lambda: time.sleep(3600))
    yield forked
    if forked.alive:
        os.kill(forked.pid, signal.SIGKILL)
        wait_any([forked], 60)
    os.close(forked.pidfd)


@pytest.fixture
def machine():
    return small_machine("rcu.stall_timeout_ms=100")


@pytest.fixture
def watch(machine, monkeypatch):
    """A watch whose own gaps do not count: another test is for those."""
    monkeypatch.setattr("emu.launch.stalls.LAUNCHER_GAP_NS", 1 << 62)
    started = StallWatch(machine.seg, machine.plan)
    started.start(time.monotonic_ns())
    return started


def wait_for_state(pid, state):
    while process_state(pid) != state:
        time.sleep(0.001)


def report_stall(machine, cpu, gp_age_ns):
    """The coordinator warns of a grace period of this age."""
    rcu = machine.plan.offsets["rcu"]
    machine.seg[rcu + RCU.stall_cpu] = cpu
    machine.seg[rcu + RCU.gp_start_ns] = time.monotonic_ns() - gp_age_ns
    machine.seg[machine.plan.offsets["counters"] + machine.index("coordinator") * VM_WORDS + VM.rcu_stall] += 1


def test_running_child_is_no_stall(watch, child):
    watch.look([child])
    watch.close([child])
    assert watch.rows == []


def test_stop_is_timed_from_the_look_that_saw_it_to_the_one_that_saw_its_end(watch, child):
    os.kill(child.pid, signal.SIGSTOP)
    wait_for_state(child.pid, "stopped")
    before = time.monotonic_ns()
    watch.look([child])
    assert watch.rows == [] and child.stopped_at >= before
    watch.look([child])
    assert watch.rows == []
    time.sleep(0.02)
    os.kill(child.pid, signal.SIGCONT)
    wait_for_state(child.pid, "sleeping")
    watch.look([child])
    (row,) = watch.rows
    assert (row["process"], row["kind"], row["detail"]) == ("mutator/0", "stopped", "SIGSTOP until SIGCONT")
    assert 20_000_000 <= row["length_ns"] <= time.monotonic_ns() - before
    assert row["start_ns"] == child.stopped_at or child.stopped_at == 0
    watch.close([child])
    assert len(watch.rows) == 1


def test_stop_that_lasts_to_the_end_is_closed_there(watch, child):
    os.kill(child.pid, signal.SIGSTOP)
    wait_for_state(child.pid, "stopped")
    watch.look([child])
    watch.close([child])
    assert [(row["process"], row["detail"]) for row in watch.rows] == [("mutator/0", "still stopped at the end")]


def test_dead_child_is_not_looked_at(watch, child):
    os.kill(child.pid, signal.SIGKILL)
    wait_any([child], 60)
    watch.look([child])
    assert watch.rows == []


def test_dying_child_is_left_for_its_reaper(watch, child):
    os.kill(child.pid, signal.SIGKILL)
    wait_for_state(child.pid, "zombie")
    watch.look([child])
    assert wait_any([child], 60) == [child]
    assert child.describe_end() == "signal 9 (SIGKILL)"


def test_launcher_that_was_not_scheduled_names_itself(machine, monkeypatch):
    watch = StallWatch(machine.seg, machine.plan)
    watch.start(time.monotonic_ns())
    monkeypatch.setattr("emu.launch.stalls.LAUNCHER_GAP_NS", 1_000_000)
    time.sleep(0.003)
    watch.look([])
    (row,) = watch.rows
    assert (row["process"], row["kind"]) == ("launcher", "not scheduled")
    assert row["start_ns"] >= 0 and row["length_ns"] >= 3_000_000


def test_grace_period_stall_names_cpu_and_state_once_for_each_warning(watch, machine, child):
    wait_for_state(child.pid, "sleeping")
    watch.look([child])
    report_stall(machine, cpu=0, gp_age_ns=SECOND)
    watch.look([child])
    watch.look([child])
    (row,) = watch.rows
    assert (row["process"], row["kind"]) == ("mutator/0", "rcu")
    assert row["detail"] == "cpu 0 holds the grace period; its process was sleeping"
    assert row["length_ns"] >= SECOND
    report_stall(machine, cpu=0, gp_age_ns=2 * SECOND)
    watch.look([child])
    assert len(watch.rows) == 2


def test_grace_period_that_ended_before_the_look_blames_nobody_s_present_state(watch, machine, child):
    report_stall(machine, cpu=0, gp_age_ns=0)  # the next one has begun
    watch.look([child])
    (row,) = watch.rows
    assert row["detail"] == "cpu 0 held the grace period, which has ended since"
    assert row["length_ns"] == 100_000_000


def test_culprit_that_is_no_child_is_unknown(watch, machine, child):
    report_stall(machine, cpu=1, gp_age_ns=SECOND)
    watch.look([child])
    assert watch.rows[0]["process"] == "unknown" and watch.rows[0]["detail"].endswith("was unknown")


def test_state_of_a_culprit(child):
    wait_for_state(child.pid, "sleeping")
    assert culprit_state(child) == "sleeping"
    os.kill(child.pid, signal.SIGSTOP)
    wait_for_state(child.pid, "stopped")
    assert culprit_state(child) == "stopped"
    os.kill(child.pid, signal.SIGKILL)
    wait_for_state(child.pid, "zombie")
    assert culprit_state(child) == "dead"
    wait_any([child], 60)
    assert culprit_state(child) == "dead"


def spin():
    while True:
        pass


def test_spinning_culprit_is_running_and_one_without_time_runnable(monkeypatch):
    spinning = fork_child("mutator/0", 0, spin)
    try:
        wait_for_state(spinning.pid, "running")
        monkeypatch.setattr("emu.launch.stalls.RUNNABLE_SAMPLE_S", 0.3)
        assert culprit_state(spinning) == "running"
        monkeypatch.setattr("emu.launch.stalls._run_ns", lambda _pid: 7)
        assert culprit_state(spinning) == "runnable"
    finally:
        os.kill(spinning.pid, signal.SIGKILL)
        wait_any([spinning], 60)
        os.close(spinning.pidfd)
