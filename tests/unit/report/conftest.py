"""A hand-made record: two CPUs, ten seconds, figures small enough to check by hand."""

import pytest

from emu.results import blank_record, index_of


def sparse(*values):
    counts = {}
    for value in values:
        counts[index_of(value)] = counts.get(index_of(value), 0) + 1
    return {"total": len(values), "sum": sum(values), "min": min(values, default=0), "max": max(values, default=0),
            "clamped": 0, "counts": [list(pair) for pair in sorted(counts.items())]}


def process(name, role, core, **changes):
    return {"name": name, "role": role, "cpu": core, "cores": [core], "pid": 100, "class": "other", "priority": 0,
            "nice": 0, "last_core": core, "exit": "0", "run_ns": 9 * 10**9, "run_delay_ns": 10**8,
            "voluntary_switches": 3, "involuntary_switches": 4, "private_kib": 900, "noise_max_ns": 50_000,
            "noise_share": 0.001} | changes


def cpu_row(cpu, **changes):
    return {"cpu": cpu, "calls": 20_000, "fallback_list": 0, "fallback_sync": 0, "misses": 0, "windows": 0,
            "window_ns": 0, "open_window": False, "pages_peak": 5, "pages_ns": 50 * 10**9, "cache_idle_ns": 30 * 10**9,
            "static_idle_ns": 0, "enqueued": 20_000, "freed": 20_000, "queued_at_end": 0} | changes


def make_record():
    record = blank_record()
    record.update(emu_version="0.1.0", created_unix=1_600_000_000.0, command=["emu", "run", "configs/first.toml"],
                  duration_ns=10**10, elapsed_ns=10**10)
    record["scenario"].update(path="configs/first.toml", resolved={
        "question": "Does a cache remove the tail?", "run": {"seed": 7, "epoch": "E61", "preemption": "full"},
        "policy": {"preset": "S3", "sources": ["cache"], "refill": {"trigger": "miss", "path": "hrtimer"}},
        "workload": {"kind": "replay"}})
    record["verdict"] = {"word": "VALID", "reasons": []}
    record["invariants"] = [{"name": f"law {i}", "ok": True, "detail": ""} for i in range(12)]
    record["processes"] = [process("mutator/0", "mutator", 2), process("mutator/1", "mutator", 3),
                           process("coordinator", "coordinator", 4, noise_max_ns=None)]
    record["counters"] = {"names": ["bnode_free", "krc_refill_run"], "per_process": {
        "mutator/0": [30, 0], "mutator/1": [50, 2]}}
    for name, values in {"refill_doorbell_ns": (1_000, 3_000), "refill_wake_ns": (100_000, 100_000),
                         "refill_aside_ns": (0, 200_000), "refill_alloc_ns": (2_000, 4_000),
                         "refill_hit_ns": (97_000, 193_000), "refill_total_ns": (200_000, 500_000),
                         "fallback_window_ns": (200_000, 500_000), "fallback_window_objects": (100, 300),
                         "kvfree_call_ns": (640, 700), "gp_ns": (8_000_000, 12_000_000)}.items():
        record["histograms"][name] = {"unit": "ns", "per_process": {
            f"mutator/{i}": sparse(value) for i, value in enumerate(values)}}
    record["cpus"] = [cpu_row(0, misses=1, windows=1, window_ns=200_000, fallback_list=100),
                      cpu_row(1, misses=1, windows=1, window_ns=500_000, fallback_list=300)]
    record["footprint"] = {"peak_all": 9, "pages_ns_all": 100 * 10**9}
    record["ledger"].update(managed=65_536, buddy=61_830, pcp=512, cache=320, slab=2_874,
                            objects={"allocated": 40_128, "live": 128, "queued": 0, "freed": 40_000})
    record["zone"] = {"min": 500, "low": 625, "high": 750, "managed": 65_536, "nr_free_min": 61_000,
                      "nr_free_end": 61_830}
    record["locks"] = [{"name": "zone->lock", "acquired": 1_000, "contended": 10, "wait_ns": 50_000,
                        "hold_ns": 300_000, "hold_max_ns": 41_000, "holder_descheduled": 1}]
    record["gp"] = {"started": 500, "ended": 500, "hz": 250}
    record["clock"] = {"kind": "cycles", "error_ppm": 1.24}
    record["dma_latency"] = {"held": True, "reason": ""}
    return record


@pytest.fixture
def small_record():
    """make_record(), a fresh one: the test may change it."""
    return make_record()


@pytest.fixture
def make_process():
    return process


@pytest.fixture
def make_cpu():
    return cpu_row


@pytest.fixture
def make_histogram():
    return sparse
