"""Signals to the launcher, at any time of its life: an end in order, what was measured is kept, nothing is left."""

import os
import random
import signal
import time

import pytest

RUN = ("configs/default.toml", "memory.managed_pages=16384", "cpus.count=2", "run.duration_ms=60000")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_the_run_in_order_with_its_result(emu, number, code):
    program = emu.start_run(*RUN)
    program.live().close()
    time.sleep(random.uniform(0, 0.3))
    program.signal(number)
    assert program.finish() == code, program.told()
    verdict = program.record["verdict"]
    assert verdict["word"] == "INCOMPLETE"
    assert len(verdict["reasons"]) == 1 and verdict["reasons"][0].startswith(f"stopped by {number.name} at ")
    assert all(row["ok"] for row in program.record["invariants"]) and len(program.record["invariants"]) >= 16
    assert program.record["ledger"]["objects"]["queued"] == 0
    assert program.out.startswith(f"INCOMPLETE: stopped by {number.name} at ")
    assert {row["exit"] for row in program.record["processes"]} == {"0"}


def test_ctrl_c_of_a_terminal_reaches_the_launcher_alone(emu):
    program = emu.start_run(*RUN)
    program.live().close()
    os.killpg(program.pid, signal.SIGINT)
    assert program.finish() == 130, program.told()
    assert len(program.record["verdict"]["reasons"]) == 1
    assert {row["exit"] for row in program.record["processes"]} == {"0"}


@pytest.mark.parametrize("pause_s", [0.0, 0.002, 0.02, 0.1])
def test_second_signal_ends_it_at_once_and_never_as_invalid(emu, pause_s):
    program = emu.start_run(*RUN)
    program.live().close()
    program.signal(signal.SIGINT)
    time.sleep(pause_s)
    program.signal(signal.SIGINT)
    assert program.finish() == 130, program.told()
    assert program.record["verdict"]["word"] == "INCOMPLETE"
    assert program.record["verdict"]["reasons"][0].startswith("stopped by SIGINT")


def test_a_hail_of_signals_leaves_nothing(emu):
    program = emu.start_run(*RUN)
    program.live().close()
    while program.process.poll() is None and not program.result.exists():
        program.signal(random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
        time.sleep(0.003)
    assert program.finish() in (129, 130, 143), program.told()
    assert program.record["verdict"]["word"] == "INCOMPLETE"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_machine_is_brought_up(emu, number):
    program = emu.start_run(*RUN, "cpus.count=16")
    program.wait_for(program.segments, "its segment")
    time.sleep(random.uniform(0, 0.05))
    program.signal(number)
    assert program.finish() == 128 + number, program.told()
    assert f"stopped by {number.name}" in program.out + program.err


@pytest.mark.parametrize(("number", "whole_group"),
                         [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)])
def test_signal_while_it_compiles(emu, tmp_path, number, whole_group):
    program = emu.start_run(*RUN, env={"EMU_CACHE_DIR": str(tmp_path / "cold")})
    program.wait_for(lambda: program.said("compiling the emulator"), "compiling")
    time.sleep(random.uniform(0, 3))
    os.killpg(program.pid, number) if whole_group else program.signal(number)
    assert program.finish() == 128 + number, program.told()
    assert f"stopped by {number.name} before the run began" in program.err
    assert not program.result.exists()
    assert not list((tmp_path / "cold").glob("jit-*/complete"))


def test_launcher_killed_while_it_compiles_takes_its_compilers_along(emu, tmp_path):
    program = emu.start_run(*RUN, env={"EMU_CACHE_DIR": str(tmp_path / "cold")})
    program.wait_for(lambda: program.said("compiling the emulator"), "compiling")
    program.wait_for(lambda: len(program.group()) == 3, "both compilers")
    program.signal(signal.SIGKILL)
    assert program.finish() == -signal.SIGKILL
