"""Processes that are killed or stopped in a running program: it ends, or goes on, and says who and when."""

import os
import random
import re
import signal
import time

import psutil
import pytest

from tests.system.conftest import Live, stop_for

# E61 binds its workers: one of each kind belongs to every CPU.
RUN = ("configs/default.toml", "run.epoch=E61", "memory.managed_pages=16384", "cpus.count=2")
KINDS = ("mutator/1", "page_refill/0", "reclaim/0", "coordinator", "guard", "launcher")
STALL_TICKS_S = 0.05  # the launcher looks that often


def pytest_generate_tests(metafunc):
    """Each kind once by default, at a moment drawn anew; fifty times each with --soak."""
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(50 if metafunc.config.getoption("--soak") else 1))


def kill_at_random(program, name, latest_s=0.4):
    """SIGKILL a process of a running program; returns (seconds after time zero, monotonic time of the kill)."""
    live = program.live()
    pid = program.processes(live)[name]
    live.close()
    wait = random.uniform(0, latest_s)
    print(f"{name}: SIGKILL {wait:.4f} s after time zero was seen")
    time.sleep(wait)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def wait_for_status(pid, status):
    """Return once a process is in a state of psutil's."""
    while psutil.Process(pid).status() != status:
        time.sleep(0.001)


@pytest.mark.parametrize("name", KINDS)
def test_kill_ends_the_run_and_the_result_names_it(emu, name, attempt):
    program = emu.start_run(*RUN, "run.duration_ms=60000")
    killed = kill_at_random(program, name)
    program.finish()
    print(f"everything was gone {time.monotonic() - killed:.3f} s after it")
    verdict = program.record["verdict"]
    assert verdict["word"] == "INCOMPLETE", program.told()
    assert len(verdict["reasons"]) == 1, verdict
    if name == "launcher":
        assert program.code == -signal.SIGKILL
        assert re.fullmatch(r"launcher killed at \d+\.\d{3} s, and every process with it", verdict["reasons"][0])
        assert {row["exit"] for row in program.record["processes"]} == {"signal 9 (SIGKILL)"}
    else:
        assert program.code == 3
        assert re.fullmatch(rf"{name} killed by signal 9 \(SIGKILL\) at \d+\.\d{{3}} s", verdict["reasons"][0]), verdict
        ends = {row["name"]: row["exit"] for row in program.record["processes"]}
        assert ends.pop(name, "signal 9 (SIGKILL)") == "signal 9 (SIGKILL)"
        assert "signal 9 (SIGKILL)" not in ends.values()
        assert program.out.startswith("INCOMPLETE: ")
    assert sum(cpu["calls"] for cpu in program.record["cpus"]) > 0
    assert program.record["elapsed_ns"] > 0
    shown = emu.call("report", str(program.result))
    assert shown.code == 0 and shown.out.startswith("INCOMPLETE: ")


@pytest.mark.parametrize("name", ["mutator/0", "coordinator"])
def test_kill_before_time_zero_ends_the_start(emu, name):
    program = emu.start_run(*RUN, "run.duration_ms=60000", "cpus.count=16")

    def pid_known():
        for path in program.segments():
            try:
                live = Live(path)
            except (OSError, ValueError):  # not sized yet
                continue
            try:
                return live.pids().get(name)
            finally:
                live.close()
        return None

    os.kill(program.wait_for(pid_known, "the first process"), signal.SIGKILL)
    assert program.finish() == 3, program.told()
    assert f"{name} killed by signal 9 (SIGKILL)" in program.record["verdict"]["reasons"][0]


def test_two_deaths_are_both_named(emu):
    program = emu.start_run(*RUN, "run.duration_ms=60000")
    live = program.live()
    pids = program.processes(live)
    live.close()
    os.kill(program.pid, signal.SIGSTOP)  # so that it sees both at once
    wait_for_status(program.pid, psutil.STATUS_STOPPED)
    for name in ("mutator/0", "reclaim/1"):
        os.kill(pids[name], signal.SIGKILL)
        wait_for_status(pids[name], psutil.STATUS_ZOMBIE)
    os.kill(program.pid, signal.SIGCONT)
    assert program.finish() == 3, program.told()
    named = [reason.split(" killed by")[0] for reason in program.record["verdict"]["reasons"]]
    assert named == ["mutator/0", "reclaim/1"]


@pytest.mark.parametrize("name", KINDS)
def test_stopped_process_is_a_stall_that_the_run_survives(emu, name, attempt):
    program = emu.start_run(*RUN, "run.duration_ms=900")
    live = program.live()
    pid = program.processes(live)[name]
    live.close()
    time.sleep(random.uniform(0.05, 0.2))
    start = time.monotonic_ns()
    stood = stop_for(pid, 0.3)
    program.finish()
    whole = time.monotonic_ns() - start
    assert program.code == 0, program.told()
    assert program.record["verdict"] == {"word": "VALID", "reasons": []}
    rows = [row for row in program.record["stalls"] if row["process"] == name and row["length_ns"] >= 200_000_000]
    assert len(rows) == 1, program.record["stalls"]
    assert stood - 2 * STALL_TICKS_S * 1e9 <= rows[0]["length_ns"] <= whole
    assert 0 < rows[0]["start_ns"] < program.record["elapsed_ns"] + whole
    assert rows[0]["kind"] == ("not scheduled" if name == "launcher" else "stopped")
    assert f"{name} {rows[0]['kind']}" in program.out


def test_whole_program_stopped_and_continued_is_survived(emu):
    program = emu.start_run(*RUN, "run.duration_ms=900")
    program.live().close()
    os.killpg(program.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.killpg(program.pid, signal.SIGCONT)
    assert program.finish() == 0, program.told()
    assert "launcher" in {row["process"] for row in program.record["stalls"]}


def test_guard_that_stays_stopped_does_not_hold_up_the_end(emu):
    program = emu.start_run(*RUN, "run.duration_ms=400")
    live = program.live()
    os.kill(program.processes(live)["guard"], signal.SIGSTOP)
    live.close()
    assert program.finish() == 0, program.told()
    assert [(row["process"], row["detail"]) for row in program.record["stalls"]] == [
        ("guard", "still stopped at the end")]


def test_mutator_that_stays_stopped_ends_in_an_incomplete_result(emu):
    program = emu.start_run(*RUN, "run.duration_ms=400")
    live = program.live()
    os.kill(program.processes(live)["mutator/0"], signal.SIGSTOP)
    live.close()
    program.signal(signal.SIGINT)  # the drain is short after a signal
    assert program.finish() == 130, program.told()
    assert any("not drained" in reason for reason in program.record["verdict"]["reasons"])
    assert {row["name"]: row["exit"] for row in program.record["processes"]}["mutator/0"] == "signal 9 (SIGKILL)"


def test_grace_period_that_a_busy_cpu_holds_up_is_a_stall_row(emu):
    record = emu.valid("configs/default.toml", "run.preemption=none", "workload.resched_every_calls=0",
                       "rcu.stall_timeout_ms=100", "cpus.count=1", "run.duration_ms=700")
    rows = [row for row in record["stalls"] if row["kind"] == "rcu"]
    assert rows and {row["process"] for row in rows} == {"mutator/0"}
    assert rows[0]["length_ns"] >= 100_000_000
    assert rows[0]["detail"].startswith("cpu 0 holds the grace period; its process was run")


def test_grace_period_that_a_stopped_process_holds_up_says_so(emu):
    program = emu.start_run("configs/default.toml", "rcu.stall_timeout_ms=100", "cpus.count=2", "run.duration_ms=900")
    live = program.live()
    pid = program.processes(live)["mutator/1"]
    live.close()
    time.sleep(0.1)  # it has begun: a CPU that has not is idle, and holds nothing up
    stop_for(pid, 0.4)
    assert program.finish() == 0, program.told()
    details = [row["detail"] for row in program.record["stalls"] if row["kind"] == "rcu"]
    assert "cpu 1 holds the grace period; its process was stopped" in details
