"""Compiling before forking: once, remembered by a stamp, and given up without a helper left behind."""

import os
import signal
from pathlib import Path

import pytest

from emu.arch import apart_functions
from emu.launch import compile as compiling
from emu.launch.needs import REACHED, needed
from emu.launch.signals import EarlySignal, Signals
from emu.shm import COORDINATOR, KSWAPD, MUTATOR, PAGE_REFILL, RECLAIM, ROLE_NAMES
from tests.small_machine import small_scenario

WORKERS = Path(__file__).resolve().parents[3] / "workers"


class Apart:
    """Stands for a function compiled apart: compile() notes who did it."""

    def __init__(self, name, note):
        self.name, self.note = name, note

    def compile(self):
        self.note(self.name)


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """An empty cache, and entries that note who compiled them: (record of the complete, log)."""
    log = tmp_path / "log"

    def note(name):
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {name}\n")

    record = tmp_path / "complete"
    mains = {MUTATOR: "mutator", PAGE_REFILL: "page_refill", RECLAIM: "reclaim", COORDINATOR: "coordinator"}
    apart = {f"apart{i}": Apart(f"apart{i}", lambda name: compiling.note(name)) for i in range(4)}
    monkeypatch.setattr(compiling, "JIT", True)
    monkeypatch.setattr(compiling, "_record", lambda: record)
    monkeypatch.setattr(compiling, "_compile", lambda name: compiling.note(name))
    monkeypatch.setattr(compiling, "note", note, raising=False)
    monkeypatch.setattr(compiling, "worker_mains", lambda: mains)
    monkeypatch.setattr(compiling, "needed", lambda _resolved, mains: (apart, mains))
    return record, log


EVERYTHING = ["apart0", "apart1", "apart2", "apart3", "mutator", "page_refill", "reclaim", "coordinator"]
SYMBOLS = ["apart0", "apart1", "apart2", "apart3",
           *(f"worker.{role}" for role in (MUTATOR, PAGE_REFILL, RECLAIM, COORDINATOR))]


def compiled(log):
    """Names by "launcher" or "helper", in order."""
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [("launcher" if int(pid) == os.getpid() else "helper", name) for pid, name in rows]


def test_every_role_has_its_main():
    mains = compiling.worker_mains()
    assert {role: main.__module__ for role, main in mains.items()} == {
        role: f"workers.{ROLE_NAMES[role]}" for role in mains}
    assert set(mains) == {role for role, name in ROLE_NAMES.items() if (WORKERS / f"{name}.py").exists()}


def test_cold_start_is_shared_by_two_helpers_and_said(cold):
    record, log = cold
    said = []
    compiling.compile_all(None, said.append)
    by_helpers = [name for who, name in compiled(log) if who == "helper"]
    assert set(by_helpers) == set(EVERYTHING)
    assert len(by_helpers) <= len(EVERYTHING) + 1  # where they meet, both may be at it
    assert [name for who, name in compiled(log) if who == "launcher"] == EVERYTHING
    assert set(record.read_text().split()) == set(SYMBOLS)
    assert "first start only" in said[0] and said[-1].startswith("compiled in ")


def test_warm_start_loads_quietly(cold):
    record, log = cold
    record.write_text("\n".join(SYMBOLS))
    said = []
    compiling.compile_all(None, said.append)
    assert said == []
    assert compiled(log) == [("launcher", name) for name in EVERYTHING]


def test_record_that_cannot_be_written_is_no_reason_to_stop(cold, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_record", lambda: tmp_path / "nowhere" / "complete")
    assert len(compiling.compile_all(None, lambda _text: None)) == 4


def test_helper_that_fails_costs_time_only(cold, monkeypatch):
    _, log = cold
    note, launcher = compiling.note, os.getpid()

    def fail_in_helper(name):
        if os.getpid() != launcher:
            raise MemoryError
        note(name)

    monkeypatch.setattr(compiling, "note", fail_in_helper)
    compiling.compile_all(None, lambda _text: None)
    assert compiled(log) == [("launcher", name) for name in EVERYTHING]


def test_interrupted_compile_takes_its_helpers_along(cold, monkeypatch):
    """The leftover check of every test would find them."""
    record, log = cold

    def work(_name):
        while True:
            pass

    monkeypatch.setattr(compiling, "note", work)
    asked = iter([False, False])
    compiling.compile_all(None, lambda _text: None, lambda: next(asked, True))
    assert not record.exists() and compiled(log) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_signal_while_loading_takes_effect_after_it(cold, monkeypatch):
    record, log = cold
    record.write_text("\n".join(SYMBOLS))
    note = compiling.note

    def interrupt_and_note(name):
        os.kill(os.getpid(), signal.SIGTERM)
        note(name)

    monkeypatch.setattr(compiling, "note", interrupt_and_note)
    with Signals() as signals:
        with pytest.raises(EarlySignal):
            with signals.held():
                compiling.compile_all(None, lambda _text: None)
        assert not signals.counted
    assert len(compiled(log)) == len(EVERYTHING)


def test_interpreted_mains_are_returned_as_they_are(monkeypatch):
    monkeypatch.setattr(compiling, "JIT", False)
    monkeypatch.setattr(compiling, "_compile", lambda _main: pytest.fail("compiled"))
    assert compiling.compile_all(None, lambda _text: None) == compiling.worker_mains()


def test_what_is_recorded_is_not_compiled_again(cold):
    record, log = cold
    record.write_text("\n".join([*SYMBOLS[1:], "of.another.scenario"]))
    compiling.compile_all(None, lambda _text: None)
    assert {name for who, name in compiled(log) if who == "helper"} == {"apart0"}
    assert set(record.read_text().split()) == {*SYMBOLS, "of.another.scenario"}


@pytest.mark.jit_only
def test_record_lies_beside_the_compiled_code():
    import numba

    assert compiling._record().name == "complete"
    assert str(compiling._record().parent) == numba.config.CACHE_DIR


@pytest.mark.jit_only
@pytest.mark.parametrize("overrides, module, reached", [
    ((), "emu.policy.sources.mempool", False),
    (("policy.preset='S5'",), "emu.policy.sources.mempool", True),
    ((), "emu.kvfree.sheaf", False),
    (("policy.preset='S22'",), "emu.kvfree.sheaf", True),
    ((), "emu.vmscan.slowpath", True),
    ((), "emu.vmscan.kswapd", False),
])
def test_only_what_a_scenario_can_reach_is_compiled(overrides, module, reached):
    compiling.worker_mains()
    functions, mains = needed(small_scenario(*overrides), {MUTATOR: "mutator", KSWAPD: "kswapd"})
    assert any(each.module == module for each in functions.values()) == reached
    assert set(mains) == {MUTATOR}


@pytest.mark.jit_only
def test_every_module_that_may_be_left_out_has_functions_compiled_apart():
    compiling.worker_mains()
    modules = {each.module for each in apart_functions()}
    assert {f"emu.{module}" for module in REACHED} <= modules
