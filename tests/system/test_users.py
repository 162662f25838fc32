"""Other users of memory, hogs, the sampler, hotplug and bandwidth, as processes of a run."""

from emu.errors import HostError
from emu.host import CpuBandwidth

HOTPLUG = ("hotplug.cpu=1", "hotplug.offline_at_ms=200", "hotplug.online_at_ms=400", "hotplug.repeat_ms=500")


def test_users_hogs_hotplug_and_the_series_leave_a_valid_run(emu):
    record = emu.valid("configs/users.toml", "run.duration_ms=1200", "memory.managed_pages=16_384", *HOTPLUG)
    victim, filler = record["users"]
    assert victim["requests"] > 0 and filler["pages_taken"] == filler["pages_given"] > 0
    assert record["hogs"][0]["busy_us"] > 0
    assert record["hotplug"]["offline"] == record["hotplug"]["online"] == 2
    series = record["series"]
    free = [row[series["names"].index("free_pages")] for row in series["rows"]]
    assert len(free) > 50 and min(free) < 1000 < max(free)
    assert series["cost"]["per_row_ns"] > 0 and series["cost"]["share"] > 0
    assert not [mark for mark in record["marks"] if "not compiled" in mark]


def test_bandwidth_that_the_host_has_not_is_refused_or_marked(emu):
    scenario = ("configs/default.toml", "run.duration_ms=200", "cgroup.quota_us=50_000")
    try:
        CpuBandwidth(50_000, 100_000).remove()
    except HostError:
        refused = emu.run(*scenario)
        assert refused.code != 0 and "cgroup.quota_us: CPU bandwidth: " in refused.err
        degraded = emu.run(*scenario, flags=("--degrade",))
        assert degraded.code == 0 and "no CPU bandwidth limit for page_refill" in degraded.record["degraded"][0]
    else:
        assert emu.valid(*scenario)["cgroup"]["cpu_max"] == "50000 100000"
