"""What a run's end means: signals, deaths, verdicts and exit codes."""

import os
import signal
from types import SimpleNamespace

import pytest

from emu.launch.children import fork_child, wait_any
from emu.launch.record import judge
from emu.launch.run import Run
from emu.launch.signals import EarlySignal, Interrupted, Signals
from emu.launch.supervisor import dead, note_deaths
from emu.results import blank_record
from emu.shm import FAULT_CODES, HEADER
from emu.vmscan import VMSCAN
from emu.vmscan.state import PANIC_NO_VICTIM
from tests.small_machine import small_machine

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", NUMBERS)
def test_early_signal_stops_at_once(number):
    with Signals() as signals:
        with pytest.raises(EarlySignal):
            signal.raise_signal(number)
        assert (signals.number, signals.count) == (number, 1)


def test_early_signal_is_none_that_a_library_would_catch():
    assert not issubclass(EarlySignal, Exception)


def test_counted_signals_are_noted_and_the_first_gives_the_exit_code():
    with Signals() as signals:
        signals.counted = True
        signals.check()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert (signals.number, signals.count) == (signal.SIGTERM, 2)
        with pytest.raises(Interrupted, match="stopped by SIGTERM before the run began; nothing was") as caught:
            signals.check()
        assert caught.value.exit_code == 143


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in NUMBERS]
    with Signals():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def make_run(reasons=(), invariants=(), fault=0, aborted=False):
    machine = small_machine()
    machine.seg[HEADER.fault] = fault
    record = blank_record()
    record["invariants"] = [{"name": name, "ok": ok, "detail": "seen"} for name, ok in invariants]
    return SimpleNamespace(record=record, plan=machine.plan, reasons=list(reasons), zero_ns=10**9, end_ns=3 * 10**9,
                           machine=SimpleNamespace(seg=machine.seg, aborted=lambda: aborted))


@pytest.mark.parametrize(("run", "word", "code", "first"), [
    ({"invariants": [("a", True)]}, "VALID", 0, None),
    ({"reasons": ["mutator/0 killed"], "invariants": [("a", True)]}, "INCOMPLETE", 3, "mutator/0 killed"),
    ({"invariants": [("a", True), ("b", False)]}, "INVALID", 1, "b: seen"),
    ({"reasons": ["late"], "invariants": [("b", False)]}, "INVALID", 1, "b: seen"),
    ({"fault": FAULT_CODES["gp_early"], "invariants": [("no fault", False)]}, "INVALID", 1, "gp_early in mutator/0 at"),
])
def test_verdict_puts_the_worst_first(run, word, code, first):
    made = make_run(**run)
    assert judge(made) == code
    verdict = made.record["verdict"]
    assert verdict["word"] == word
    assert not first or verdict["reasons"][0].startswith(first)
    assert verdict["reasons"][len(verdict["reasons"]) - len(made.reasons):] == made.reasons


def test_seconds_run_count_from_time_zero():
    run = make_run()
    assert Run.seconds.fget(run) == 2.0
    run.zero_ns = 0
    assert Run.seconds.fget(run) == 0.0


@pytest.fixture
def ended():
    """Children that have ended: one with status 0, one with 3, one killed."""
    children = [fork_child("in-order", 0, lambda: None), fork_child("failed", 1, lambda: os._exit(3)),
                fork_child("killed", 2, lambda: os.kill(os.getpid(), signal.SIGKILL))]
    wait_any(children, 60)
    yield children
    for child in children:
        os.close(child.pidfd)


def test_deaths_are_noted_with_their_way(ended):
    run = make_run()
    assert note_deaths(run, ended)
    told = [reason.rpartition(" at ")[0] for reason in run.reasons]
    assert told == ["in-order ended by itself with status 0", "failed ended by itself with status 3",
                    "killed killed by signal 9 (SIGKILL)"]


def test_a_panic_of_the_machine_ends_its_run_once():
    run = make_run()
    vmscan = run.plan.offsets["vmscan"]
    run.machine.seg[vmscan + VMSCAN.panic_at] = run.machine.seg[HEADER.t_zero] + 10**9
    run.machine.seg[vmscan + VMSCAN.panic] = PANIC_NO_VICTIM
    assert note_deaths(run, [])
    assert run.reasons == ["kernel panic in mutator/0 at 1.000 s: out of memory and no killable processes"]
    assert not note_deaths(run, []) and len(run.reasons) == 1


def test_leaving_in_order_after_a_fault_is_no_death(ended):
    run = make_run(aborted=True)
    assert not note_deaths(run, ended[:1])
    assert run.reasons == []
    assert note_deaths(run, ended)
    assert [reason.split()[0] for reason in run.reasons] == ["failed", "killed"]


def test_dead_reaps_and_the_living_are_left():
    living, gone = fork_child("living", 0, signal.pause), fork_child("gone", 1, lambda: None)
    try:
        os.waitid(os.P_PIDFD, gone.pidfd, os.WEXITED | os.WNOWAIT)
        assert dead([living, gone]) == [gone]
        assert gone.describe_end() == "0" and living.alive
    finally:
        os.kill(living.pid, signal.SIGKILL)
        wait_any([living], 60)
        os.close(living.pidfd)
        os.close(gone.pidfd)
