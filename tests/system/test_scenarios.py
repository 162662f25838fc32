"""Whole runs through the command line: every scenario file, every epoch, every policy that exists."""

from pathlib import Path

import pytest

from emu.config.presets import EPOCHS, POLICIES

PROJECT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.name for path in (PROJECT / "configs").glob("*.toml"))
SMALL = ("memory.managed_pages=16384", "run.duration_ms=250", "cpus.count=2")
LOADS = {
    "flood": (),
    "one-arg": ("workload.one_arg_share=0.2",),
    "vmalloc": ("workload.vmalloc_share=0.1",),
    "contexts": tuple(f"workload.contexts.{name}={share}" for name, share in (
        ("task", 0.4), ("task_atomic", 0.1), ("softirq", 0.1), ("hardirq", 0.1), ("raw_lock", 0.1), ("zone_lock", 0.05),
        ("in_allocator", 0.1), ("nmi", 0.05))),
}
MIXED = tuple(override for load in LOADS.values() for override in load)


def full_product(config):
    return config.getoption("--soak")


def pytest_generate_tests(metafunc):
    """Each epoch with its own policy, each policy with one epoch; with --soak everything with everything."""
    if {"epoch", "policy"} <= set(metafunc.fixturenames):
        rows = [(epoch, "epoch") for epoch in EPOCHS] + [("E612", policy) for policy in POLICIES if policy != "epoch"]
        if full_product(metafunc.config):
            rows = [(epoch, policy) for epoch in EPOCHS for policy in POLICIES]
        metafunc.parametrize(("epoch", "policy"), rows)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_file_runs_valid_and_its_report_reads_back(emu, name):
    program = emu.run(f"configs/{name}", "run.duration_ms=400")
    assert program.code == 0, program.told()
    assert program.record["verdict"] == {"word": "VALID", "reasons": []}
    assert program.out.startswith("VALID: ")
    assert all(row["ok"] for row in program.record["invariants"])
    assert max(len(line) for line in program.out.splitlines()) <= 80, program.out
    again = emu.call("report", str(program.result))
    assert (again.code, again.out, again.err) == (0, program.out, "")
    assert str(program.result) in program.err


@pytest.mark.parametrize("name", list(EPOCHS))
def test_plain_flood_is_valid(emu, name):
    record = emu.valid("configs/default.toml", *SMALL, f"run.epoch={name}")
    assert all(cpu["calls"] > 0 for cpu in record["cpus"])


def test_mixed_load_is_valid(emu, epoch, policy):
    alone = ("run.force=true",) if policy == "S16" else ()  # the strategy under attack, with nobody who attacks
    record = emu.valid("configs/default.toml", *SMALL, *MIXED, *alone, f"run.epoch={epoch}", f"policy.preset={policy}")
    assert all(count > 0 for count in record["contexts"].values())
    assert record["ledger"]["objects"]["queued"] == 0
    kinds = {splat["kind"] for splat in record["lockdep"]["splats"]}
    assert "kvfree_rcu() in NMI" in kinds
    if policy in ("S8", "S9"):  # the allocator asked under krc->lock
        assert "invalid wait context" in kinds


@pytest.mark.parametrize("preemption", ["none", "voluntary", "full", "rt"])
def test_preemption_models_are_valid(emu, preemption):
    resched = ("workload.resched_every_calls=500",) if preemption in ("none", "voluntary") else ()
    record = emu.valid("configs/default.toml", *SMALL, *MIXED, *resched, f"run.preemption={preemption}")
    assert record["gp"]["ended"] > 0


@pytest.mark.timeout(600)
def test_64_emulated_cpus_on_the_cores_there_are(emu, pytestconfig):
    duration_ms = 5000 if pytestconfig.getoption("--soak") else 1500
    record = emu.valid("configs/default.toml", "cpus.count=64", f"run.duration_ms={duration_ms}")
    assert len(record["cpus"]) == 64
    assert record["elapsed_ns"] >= duration_ms * 1_000_000
    assert sum(cpu["calls"] > 0 for cpu in record["cpus"]) == 64
    if len({core for row in record["processes"] if row["role"] == "mutator" for core in row["cores"]}) < 64:
        assert any("overcommit" in mark for mark in record["marks"]), record["marks"]
