"""Sections about pressure and other users: silent when there is nothing, within the width when there is."""

import pytest

from emu.report import View, report_text
from emu.report.pressure import blocked, hogs, pressure, series, sources, users, zones
from emu.results import blank_record, index_of

SECTIONS = (blocked, hogs, pressure, series, sources, users, zones)


def histogram(*values):
    counts = [[index_of(value), 1] for value in values]
    return {"unit": "ns", "per_process": {"a": {"total": len(values), "sum": sum(values), "min": min(values),
                                                 "max": max(values), "clamped": 0, "counts": counts}}}


@pytest.fixture
def full():
    record = blank_record()
    record |= {"elapsed_ns": 10**9, "duration_ns": 10**9}
    record["counters"] = {"names": ["krc_cache_hit", "static_hit", "kvfree_page_miss", "pgsteal_kswapd", "oom_kill"],
                          "per_process": {"a": [6, 3, 1, 40, 1]}}
    record["histograms"] = {"object_age_ns": histogram(10**6, 2 * 10**6), "sync_wait_ns": histogram(10**7),
                            "bnode_fill_records": histogram(100, 200)}
    zone = {"node": 0, "managed": 1000, "min": 10, "low": 20, "high": 30, "lowmem_reserve": 0, "nr_free_min": 9,
            "nr_free_end": 50, "pcp": 5, "boost": 0, "reserved_highatomic": 0, "free_highatomic": 0}
    record["zones"] = [zone | {"name": "DMA32"}, zone | {"name": "NORMAL"}]
    record["users"] = [{"name": "user/0", "kind": "victim", "requests": 100, "failed": 1, "pcp_misses": 25,
                        "alloc_p50_ns": 80, "alloc_p99_ns": 9000, "pages_held_peak": 3}]
    record["hogs"] = [{"name": "hog/0", "periods": 4, "busy_us": 40_000, "preempted": 2, "preempted_ns": 5}]
    record["vmscan"] = {
        "kswapd": [{"node": 0, "active_ns": 10**8}], "psi": {"some_ns": 10**7, "full_ns": 0}, "panic": "",
        "kills": [{"name": "app/1", "at_ns": 10**8, "killer": "mutator/0", "cause": "oom", "rss": 77, "score": 900}]}
    record["series"] = {"names": ["t_ns", "nr_free"], "rows": [[0, 100], [10, 300]]}
    return record


def test_a_record_without_any_of_it_says_nothing():
    view = View(blank_record())
    assert [section(view, 80) for section in SECTIONS] == [[]] * len(SECTIONS)


def test_every_section_says_what_the_record_holds(full):
    view = View(full)
    said = {section.__name__: " ".join(section(view, 200)).replace("\u00a0", " ") for section in SECTIONS}
    assert "krc_cache_hit 6 (60.0 %), static_hit 3 (30.0 %), missed 1" in said["sources"]
    assert "age of p50 1.0" in said["sources"] and "150 records in the mean" in said["sources"]
    assert "synchronize_rcu() 10.0 ms in 1" in said["blocked"]
    assert "pgsteal_kswapd 40, oom_kill 1" in said["pressure"] and "killed app/1 at 100 ms" in said["pressure"]
    assert "kswapd0 active 100 ms, 10.0 % of the time" in said["pressure"]
    assert "node 0 DMA32" in said["zones"] and "25.0 %" in said["users"] and "9.00 us" in said["users"]
    assert "hog/0 busy 40.0 ms in 4 periods" in said["hogs"]
    assert "2 samples" in said["series"] and "nr_free" in said["series"]


def test_the_report_keeps_its_width(full):
    assert max(map(len, report_text(full).splitlines())) <= 80
