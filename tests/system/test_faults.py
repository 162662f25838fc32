"""An invariant that breaks while the real program runs: sabotage of the live segment, from outside."""

from emu.kvfree import KRC
from emu.shm import FAULT_CODES, HEADER

RUN = ("configs/default.toml", "run.epoch=E61", "memory.managed_pages=16384", "cpus.count=2", "run.duration_ms=60000")


def test_broken_invariant_stops_the_run_and_is_named(emu):
    program = emu.start_run(*RUN)
    live = program.live()
    live.words[live.region("krc") + KRC.cap] = -1  # no bnode of cpu 0 is as small as that
    program.process.wait()
    assert live.words[HEADER.fault] == FAULT_CODES["record_range"]
    live.close()
    assert program.finish() == 1, program.told()
    verdict = program.record["verdict"]
    assert verdict["word"] == "INVALID"
    assert verdict["reasons"][0].startswith("record_range in reclaim/0 at ")
    assert "the capacity is -1" in verdict["reasons"][0]
    assert program.out.startswith("INVALID: record_range in reclaim/0 at ")
    assert program.record["invariants"][0]["name"] == "no fault while it ran"
    assert not program.record["invariants"][0]["ok"]


def test_processes_that_leave_after_a_fault_are_no_deaths(emu):
    program = emu.start_run(*RUN)
    live = program.live()
    live.words[live.region("krc") + KRC.cap] = -1
    live.close()
    assert program.finish() == 1, program.told()
    assert len(program.record["verdict"]["reasons"]) == 1, program.record["verdict"]
    assert {row["exit"] for row in program.record["processes"]} == {"0"}
