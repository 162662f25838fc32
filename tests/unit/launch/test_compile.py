"""Compiling before forking: once, remembered by a stamp, and given up without a helper left behind."""

import os

import pytest

from emu.launch import compile as compiling
from emu.shm import COORDINATOR, MUTATOR, PAGE_REFILL, RECLAIM


class Stop(BaseException):
    """What a signal handler raises."""


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """A cache without a stamp, and mains that note who compiled them: (stamp, log)."""
    log = tmp_path / "log"

    def note(function, words=1):
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {getattr(function, '__name__', function)}\n")

    stamp = tmp_path / "complete"
    monkeypatch.setattr(compiling, "JIT", True)
    monkeypatch.setattr(compiling, "_stamp", lambda: stamp)
    monkeypatch.setattr(compiling, "_compile", note)
    monkeypatch.setattr(compiling, "worker_mains", lambda: {
        MUTATOR: "mutator", PAGE_REFILL: "page_refill", RECLAIM: "reclaim", COORDINATOR: "coordinator"})
    return stamp, log


def compiled(log):
    """Names by "launcher" or "helper", in order."""
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [("launcher" if int(pid) == os.getpid() else "helper", name) for pid, name in rows]


def test_every_role_has_its_main():
    mains = compiling.worker_mains()
    assert {role: main.__module__ for role, main in mains.items()} == {
        MUTATOR: "workers.mutator", PAGE_REFILL: "workers.page_refill", RECLAIM: "workers.reclaim",
        COORDINATOR: "workers.coordinator"}


def test_cold_start_shares_the_work_with_a_helper_and_says_so(cold):
    stamp, log = cold
    said = []
    compiling.compile_all(said.append)
    assert ("helper", "mutator") in compiled(log)
    assert [name for who, name in compiled(log) if who == "launcher"][:3] == ["page_refill", "reclaim", "coordinator"]
    assert stamp.exists()
    assert "first start only" in said[0] and said[-1].startswith("compiled in ")


def test_warm_start_loads_quietly(cold):
    stamp, log = cold
    stamp.touch()
    said = []
    compiling.compile_all(said.append)
    assert said == []
    assert sorted(name for _, name in compiled(log)) == ["coordinator", "mutator", "page_refill", "reclaim"]
    assert {who for who, _ in compiled(log)} == {"launcher"}


def test_stamp_that_cannot_be_written_is_no_reason_to_stop(cold, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_stamp", lambda: tmp_path / "nowhere" / "complete")
    assert len(compiling.compile_all(lambda _text: None)) == 4


def test_helper_that_fails_costs_time_only(cold, monkeypatch):
    _, log = cold
    note = compiling._compile
    launcher = os.getpid()

    def fail_in_helper(function, words=1):
        if os.getpid() != launcher:
            raise MemoryError
        note(function)

    monkeypatch.setattr(compiling, "_compile", fail_in_helper)
    compiling.compile_all(lambda _text: None)
    assert ("launcher", "mutator") in compiled(log)


@pytest.mark.parametrize("while_waiting", [False, True])
def test_interrupted_compile_takes_its_helper_along(cold, monkeypatch, while_waiting):
    """The leftover check of every test would find it."""
    stamp, _ = cold
    launcher = os.getpid()

    def work(_function, words=1):
        if os.getpid() != launcher:
            while True:
                pass
        if not while_waiting:
            raise Stop

    def say(text):
        if while_waiting and "still under way" in text:
            raise Stop

    monkeypatch.setattr(compiling, "_compile", work)
    with pytest.raises(Stop):
        compiling.compile_all(say)
    assert not stamp.exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_interpreted_mains_are_returned_as_they_are(monkeypatch):
    monkeypatch.setattr(compiling, "JIT", False)
    monkeypatch.setattr(compiling, "_compile", lambda _function, words=1: pytest.fail("compiled"))
    assert compiling.compile_all(lambda _text: None).keys() == {MUTATOR, PAGE_REFILL, RECLAIM, COORDINATOR}


@pytest.mark.jit_only
def test_stamp_lies_beside_the_compiled_code():
    import numba

    assert compiling._stamp().name == "complete"
    assert str(compiling._stamp().parent) == numba.config.CACHE_DIR
