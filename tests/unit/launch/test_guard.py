"""The guard: silent while all is well, and the end of the run when its launcher is gone."""

import os
import signal
import time
from pathlib import Path

import pytest

from emu.boot import boot, make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.host import process_state
from emu.launch.children import fork_child
from emu.launch.guard import Guard, children_left
from emu.shm import ABORT, HEADER, PROC, RUN, Segment, process_start_time
from tests.small_machine import SMALL

SHM_DIR = Path("/dev/shm")


@pytest.fixture
def machine():
    """(segment, plan) of a booted machine in real shared memory."""
    plan = make_plan(resolve(parse_scenario("", overrides=dict(parse_override(text) for text in SMALL))))
    segment = Segment.create(plan.size_words)
    boot(segment.words, plan)
    segment.words[HEADER.run_state] = RUN
    yield segment, plan
    segment.unlink()
    segment.close()


def exists(segment):
    return (SHM_DIR / segment.name).exists()


def enroll(segment, plan, index, pid):
    """Note a process in the table, as the launcher does."""
    segment.words[plan.proc(index) + PROC.pid] = pid
    segment.words[plan.proc(index) + PROC.start_time] = process_start_time(pid)


def die_as_launcher(fork, machine, finish, before=lambda: None):
    """A forked launcher makes a guard and is killed; returns once the guard has removed the segment."""
    segment, plan = machine

    def launcher():
        before()
        Guard(segment, plan, finish)
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(launcher).wait() == -signal.SIGKILL
    while exists(segment):
        time.sleep(0.002)


def test_dismissed_guard_leaves_without_touching_anything(machine, tmp_path):
    segment, plan = machine
    guard = Guard(segment, plan, lambda: (tmp_path / "finished").touch())
    guard.dismiss()
    assert guard.child.describe_end() == "0"
    assert exists(segment) and segment.words[HEADER.run_state] == RUN
    assert not (tmp_path / "finished").exists()


def test_guard_of_a_dead_launcher_aborts_writes_and_removes(fork, machine, tmp_path):
    segment, _ = machine
    die_as_launcher(fork, machine, lambda: (tmp_path / "finished").touch())
    assert (tmp_path / "finished").exists()
    assert segment.words[HEADER.run_state] == ABORT


def test_segment_goes_even_when_the_result_cannot_be_written(fork, machine, capfd):
    def finish():
        raise OSError("disk full")

    die_as_launcher(fork, machine, finish)
    while "disk full" not in (text := capfd.readouterr().err):
        time.sleep(0.002)
    assert text == "emu: guard: OSError: disk full\n"


def test_guard_kills_who_does_not_leave_before_it_writes(fork, machine, tmp_path, monkeypatch):
    monkeypatch.setattr("emu.launch.guard.CHILDREN_GONE_S", 0.05)
    segment, plan = machine
    stubborn = fork_child("stubborn", 0, lambda: time.sleep(3600), outlives=True)
    enroll(segment, plan, 0, stubborn.pid)
    die_as_launcher(fork, machine, lambda: (tmp_path / "state").write_text(process_state(stubborn.pid)))
    _, status = os.waitpid(stubborn.pid, 0)
    os.close(stubborn.pidfd)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert exists(segment) is False


def test_children_left_goes_by_pid_and_start_time(machine):
    segment, plan = machine
    assert children_left(segment, plan) == []
    enroll(segment, plan, 1, os.getpid())
    assert children_left(segment, plan) == [os.getpid()]
    segment.words[plan.proc(1) + PROC.start_time] += 1  # another process has the number now
    assert children_left(segment, plan) == []


def test_children_do_not_keep_the_guard_from_seeing_the_launcher_die(fork, machine, tmp_path):
    """Whoever holds the pipe's writing end keeps the guard waiting: each child closes its copy."""
    segment, plan = machine

    def launcher():
        guard = Guard(segment, plan, lambda: (tmp_path / "finished").touch())
        child = fork_child("child", 0, lambda: (guard.forget_in_child(), time.sleep(3600)), outlives=True)
        enroll(segment, plan, 0, child.pid)
        (tmp_path / "pid").write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(launcher).wait() == -signal.SIGKILL
    while exists(segment):
        time.sleep(0.002)
    assert (tmp_path / "finished").exists()
    while process_state(int((tmp_path / "pid").read_text())) not in ("dead", "zombie"):
        time.sleep(0.002)


def test_guard_that_was_killed_is_dismissed_without_a_fuss(machine):
    segment, plan = machine
    guard = Guard(segment, plan, lambda: None)
    os.kill(guard.child.pid, signal.SIGKILL)
    guard.dismiss()
    assert guard.child.describe_end() == "signal 9 (SIGKILL)"
    assert exists(segment)


def test_guard_that_is_stopped_does_not_hold_up_its_dismissal(machine, monkeypatch):
    monkeypatch.setattr("emu.launch.guard.LEAVE_S", 0.05)
    segment, plan = machine
    guard = Guard(segment, plan, lambda: None)
    os.kill(guard.child.pid, signal.SIGSTOP)
    while process_state(guard.child.pid) != "stopped":
        time.sleep(0.001)
    guard.dismiss()
    assert guard.child.describe_end() == "signal 9 (SIGKILL)"
