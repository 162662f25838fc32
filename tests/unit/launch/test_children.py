"""Forked processes: how they end is told, signals of the terminal pass them by, and they die with their parent."""

import mmap
import os
import select
import signal
import time

import pytest

from emu.errors import HostError
from emu.host import process_state
from emu.launch.children import CHILD_FAILED, Child, fork_child, has_ended, place, populate, remember, wait_any

OTHER = {"class": "other", "priority": 0, "nice": 0}


@pytest.fixture
def start():
    """start(work, **options): fork_child(), killed and reaped when the test ends."""
    started = []

    def fork(work, **options):
        started.append(fork_child(f"child/{len(started)}", len(started), work, **options))
        return started[-1]

    yield fork
    for child in started:
        if child.alive:
            os.kill(child.pid, signal.SIGKILL)
            wait_any([child], 60)
        os.close(child.pidfd)


def sleep():
    time.sleep(3600)


def wait_until_asleep(pid):
    while process_state(pid) != "sleeping":
        time.sleep(0.001)


def test_child_that_returns_exits_with_0(start):
    child = start(lambda: None)
    assert child.describe_end() == "running" and child.alive
    assert wait_any([child], 60) == [child]
    assert child.describe_end() == "0" and not child.alive


def test_child_that_raises_says_so_and_never_returns(start, capfd):
    def work():
        raise ValueError("no such page")

    child = start(work)
    wait_any([child], 60)
    assert child.describe_end() == str(CHILD_FAILED)
    assert capfd.readouterr().err == "emu: child/0: ValueError: no such page\n"


def test_child_that_leaves_by_itself_keeps_its_status(start):
    child = start(lambda: os._exit(3))
    wait_any([child], 60)
    assert child.describe_end() == "3"


@pytest.mark.parametrize(("number", "text"), [
    (signal.SIGKILL, "signal 9 (SIGKILL)"), (signal.SIGTERM, "signal 15 (SIGTERM)"),
    (signal.SIGUSR1, "signal 10 (SIGUSR1)"), (signal.SIGRTMIN + 1, "signal 35"),
])
def test_killed_child_names_its_signal(start, number, text):
    child = start(sleep)
    wait_until_asleep(child.pid)
    os.kill(child.pid, number)
    wait_any([child], 60)
    assert child.describe_end() == text


def test_signals_of_the_terminal_pass_a_child_by(start):
    child = start(sleep)
    wait_until_asleep(child.pid)
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(child.pid, number)
    assert wait_any([child], 0.02) == [] and child.alive


def test_one_that_outlives_passes_sigterm_by_too(start):
    child = start(sleep, outlives=True)
    wait_until_asleep(child.pid)
    os.kill(child.pid, signal.SIGTERM)
    assert wait_any([child], 0.02) == [] and child.alive


@pytest.mark.parametrize("outlives", [False, True])
def test_child_dies_with_its_parent_unless_it_is_to_outlive_it(fork, outlives):
    reading, writing = os.pipe()
    go, going = os.pipe()

    def parent():
        os.close(going)
        fork_child("grandchild", 0, lambda: (os.read(go, 1), os.write(writing, b"outlived")), outlives=outlives)
        os.kill(os.getpid(), signal.SIGKILL)

    launcher = fork(parent)
    os.close(writing)
    os.close(go)
    assert launcher.wait() == -signal.SIGKILL
    if not outlives:
        select.select([reading], [], [])  # end of file, once the grandchild is gone
    os.close(going)  # lets a grandchild that lives go on
    assert os.read(reading, 100) == (b"outlived" if outlives else b"")
    os.close(reading)


def test_has_ended_sees_a_death_without_reaping_it(start):
    child = start(sleep)
    assert not has_ended(child)
    os.kill(child.pid, signal.SIGKILL)
    while not has_ended(child):
        time.sleep(0.001)
    assert child.alive, "not reaped yet"
    assert wait_any([child], 60) == [child]
    assert has_ended(child)


def test_wait_any_returns_when_all_are_gone_or_time_is_over(start):
    gone, living = start(lambda: None), start(sleep)
    assert wait_any([gone, living], 0.5) == [gone]
    assert wait_any([gone, living], 0) == []


def test_place_pins_and_notes_what_was_wanted(start):
    core = min(os.sched_getaffinity(0))
    child = start(sleep)
    assert place(child, [core], {**OTHER, "nice": 5}, degrade=False) == []
    assert os.sched_getaffinity(child.pid) == {core}
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 5
    assert child.wanted == {"cores": [core], "class": "other", "priority": 0, "nice": 5}


def test_class_that_is_not_permitted_is_refused_or_degraded(start, monkeypatch):
    def refuse(pid, *_):
        raise HostError(f"process {pid}: not permitted")

    monkeypatch.setattr("emu.launch.children.set_scheduling", refuse)
    core = min(os.sched_getaffinity(0))
    child = start(sleep)
    wanted = {"class": "fifo", "priority": 1, "nice": 0}
    with pytest.raises(HostError, match="^child/0: process .* not permitted$"):
        place(child, [core], wanted, degrade=False)
    assert place(child, [core], wanted, degrade=True) == [
        "child/0: class fifo priority 1 nice 0 not permitted, runs as other"]


def test_remember_keeps_the_last_note_of_one_that_is_gone(start):
    child = start(sleep)
    remember(child)
    seen = child.seen
    assert seen["class"] == "other" and seen["run_ns"] is not None
    os.kill(child.pid, signal.SIGKILL)
    wait_any([child], 60)
    remember(child)
    assert child.seen is seen


def test_process_that_cannot_be_started_is_worded(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(HostError, match=r"process mutator/0: cannot be started: Resource .*; lower cpus.count, or "):
        fork_child("mutator/0", 0, lambda: None)


def test_populate_touches_pages_or_says_that_the_kernel_cannot():
    import ctypes

    mapping = mmap.mmap(-1, 16 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    assert populate(address + 100, 2 * mmap.PAGESIZE) in (True, False)
    assert populate(0, mmap.PAGESIZE) is False, "nothing is mapped there"
    assert mapping[:] == bytes(16 * mmap.PAGESIZE)


def test_unreaped_child_runs():
    assert Child("x", 1, -1, 0).describe_end() == "running"
    assert Child("x", 1, -1, 0, status=signal.SIGKILL).describe_end() == "signal 9 (SIGKILL)"
