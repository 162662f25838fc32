"""What a burst must come to by arithmetic alone, whatever the host's speed: counts, no times."""

import pytest

RECORDS = 510
CACHED = 5


@pytest.mark.parametrize("calls", [4000, 8000, 16000])
def test_share_of_a_burst_that_takes_the_fallback_follows_from_the_cache(emu, calls):
    record = emu.valid(
        "configs/default.toml", "cpus.count=1", "run.epoch=E61", "run.preemption=none", "run.duration_ms=1000",
        f"kvfree.bnode_records={RECORDS}", f"kvfree.min_cached_objs={CACHED}", "workload.kind=burst",
        f"workload.burst.calls={calls}", "workload.burst.gap_ms=20")
    made, fallbacks = record["cpus"][0]["calls"], record["cpus"][0]["fallback_list"]
    bursts, cut = divmod(made, calls)  # the last burst may be cut by the end of the run
    assert bursts >= 5
    expected = calls + (bursts - 1) * max(0, calls - CACHED * RECORDS)  # the first burst finds an empty cache
    expected += max(0, cut - CACHED * RECORDS)
    bursts += cut > 0
    print(f"{bursts} bursts of {calls}: {fallbacks} fallbacks, {expected} by arithmetic, share {fallbacks / made:.4f}")
    assert abs(fallbacks - expected) <= bursts * RECORDS
    pages = record["histograms"]["pages_per_refill"]["per_process"]["page_refill/0"]
    assert (pages["min"], pages["max"]) == (CACHED, CACHED)
    assert bursts - 1 <= pages["total"] <= bursts


def test_burst_within_the_cache_takes_no_fallback_after_the_first(emu):
    calls = CACHED * RECORDS
    record = emu.valid(
        "configs/default.toml", "cpus.count=1", "run.epoch=E61", "run.preemption=none", "run.duration_ms=1000",
        f"kvfree.min_cached_objs={CACHED}", "workload.kind=burst", f"workload.burst.calls={calls}",
        "workload.burst.gap_ms=20")
    cpu = record["cpus"][0]
    assert calls <= cpu["fallback_list"] <= calls + RECORDS * -(-cpu["calls"] // calls)
