"""The figures by which runs are compared: from a run's record to one number each.

Holds   METRICS, metrics_of(): every figure of a record by name.
Rule    a figure is None where the run had nothing to measure, and is left out of the statistics; a counter that the
        record does not have counts as None, not as zero. Times in ns, memory in pages: the table chooses the scale.
        `better` tells a reader which way is good; nothing is decided by it.
Limits  one number per run and figure; distributions stay in the run's own file.
"""

from collections.abc import Callable
from typing import NamedTuple

from emu.report import View, source_counters


class Metric(NamedTuple):
    """One figure. group: heads a block of the table. unit: ns, count, share, pages, page_s, ratio, per_s, records."""

    name: str
    label: str
    unit: str
    group: str
    of: Callable[[View], float | None]


def _counter(*names):
    """Sum of counters, None when the record knows none of them."""
    def of(view):
        known = [name for name in names if name in view["counters"]["names"]]
        return float(sum(view.counter(name) for name in known)) if known else None

    return of


def _per_call(*names):
    def of(view):
        total = _counter(*names)(view)
        return total / view.calls if total is not None and view.calls else None

    return of


def _percentile(histogram, percent):
    def of(view):
        value = view.histogram(histogram).shown(percent)
        return None if value is None else float(value)

    return of


def _maximum(histogram):
    def of(view):
        buckets = view.histogram(histogram)
        return float(buckets.max) if buckets.total else None

    return of


def _mean(histogram):
    def of(view):
        mean = view.histogram(histogram).mean
        return None if mean is None else float(mean)

    return of


def _part(*path):
    """A number at this place of the record, or None."""
    def of(view):
        value = view.record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if type(value) in (int, float) else None

    return of


def _per_second(number):
    def of(view):
        value = number(view)
        return value * 1e9 / view.elapsed_ns if value is not None and view.elapsed_ns else None

    return of


def _cpus(*keys):
    return lambda view: float(sum(view.over_cpus(key) for key in keys))


def _blocked(view):
    names = ("sync_wait_ns", "direct_reclaim_ns", "mempool_wait_ns", "throttle_ns")
    return float(sum(view.histogram(name).sum for name in names))


def _victim(key):
    """The worst of the victims."""
    def of(view):
        found = [row[key] for row in view.get("users") or [] if row["kind"] == "victim" and row["requests"]]
        return float(max(found)) if found else None

    return of


def _kswapd_active(view):
    rows = (view.get("vmscan") or {}).get("kswapd") or []
    return float(sum(row["active_ns"] for row in rows)) if rows else None


def _page_seconds(*keys):
    return lambda view: sum(view.over_cpus(key) for key in keys) / 1e9


def _mean_pages(view):
    return view["footprint"]["pages_ns_all"] / view.elapsed_ns if view.elapsed_ns else None


def _free_against_min(view):
    """Least free pages over MIN, of the zone that came closest."""
    zones = [view["zone"], *(view.get("zones") or [])]
    found = [zone["nr_free_min"] / zone["min"] for zone in zones if zone.get("min") and "nr_free_min" in zone]
    return min(found, default=None)


def _waiting_objects(view):
    """Mean number of objects that were retired and not yet freed: the sum of their ages over the time (Little)."""
    ages = view.histogram("object_age_ns")
    return ages.sum / view.elapsed_ns if ages.total and view.elapsed_ns else None


def _cpu_per_call(view):
    """CPU time of all emulating processes per call: the run time of a load that keeps every core busy, host or no."""
    times = [row["run_ns"] for row in view["processes"]]
    return sum(times) / view.calls if view.calls and times and None not in times else None


def _rule_of_thumb(view):
    """Peak of pages in flight over rate x (drain + grace period + work) / records, for the CPUs that worked.

    KF 9. All as this run reached it; the delays are the drain's, the mean grace period's, the mean batch's.
    """
    records, drain = view.resolved("kvfree.bnode_records"), view.resolved("kvfree.drain_ns")
    gp, work = view.histogram("gp_ns").mean, view.histogram("batch_work_ns").mean
    span = view["rcuscale"]["total_ns"] if view["rcuscale"] else view.elapsed_ns
    if not (records and drain and gp and work and view.calls and span):
        return None
    expected = view.calls / span * (drain + gp + work) / records
    return view["footprint"]["peak_all"] / expected if expected else None


METRICS = (
    Metric("calls_per_s", "calls", "per_s", "load", _per_second(_cpus("calls"))),
    Metric("kvfree_p50", "kvfree_rcu() p50", "ns", "callers", _percentile("kvfree_call_ns", 50)),
    Metric("kvfree_p999", "kvfree_rcu() p99.9", "ns", "callers", _percentile("kvfree_call_ns", 99.9)),
    Metric("sync_wait", "producers blocked", "ns", "callers", _blocked),
    Metric("fallback_share", "fallback objects", "share", "fallback", _per_call("kvfree_fallback_list",
                                                                               "kvfree_fallback_sync")),
    Metric("fallback_objects", "fallback objects", "count", "fallback", _counter("kvfree_fallback_list",
                                                                                "kvfree_fallback_sync")),
    Metric("windows", "windows without pages", "count", "fallback", _cpus("windows")),
    Metric("window_ns", "time without pages", "ns", "fallback", _cpus("window_ns")),
    Metric("refill_p50", "refill p50", "ns", "refill", _percentile("refill_total_ns", 50)),
    Metric("refill_p99", "refill p99", "ns", "refill", _percentile("refill_total_ns", 99)),
    Metric("refill_max", "refill max", "ns", "refill", _maximum("refill_total_ns")),
    Metric("idle_page_s", "idle page-seconds", "page_s", "memory", _page_seconds("cache_idle_ns", "static_idle_ns")),
    Metric("peak_pages", "pages held, peak", "pages", "memory", _part("footprint", "peak_all")),
    Metric("mean_pages", "pages held, mean", "pages", "memory", _mean_pages),
    Metric("waiting_objects", "objects waiting, mean", "count", "memory", _waiting_objects),
    Metric("age_p99", "object age at free p99", "ns", "memory", _percentile("object_age_ns", 99)),
    Metric("free_min", "least free / MIN", "ratio", "pressure", _free_against_min),
    Metric("pgalloc_fail", "failed allocations", "count", "pressure", _counter("pgalloc_fail")),
    Metric("kswapd_wakes", "kswapd runs", "count", "pressure", _counter("pageoutrun")),
    Metric("kswapd_active", "kswapd active", "ns", "pressure", _kswapd_active),
    Metric("pgsteal_kswapd", "pages kswapd reclaimed", "pages", "pressure", _counter("pgsteal_kswapd")),
    Metric("allocstall", "direct reclaims", "count", "pressure", _counter("allocstall_normal")),
    Metric("pgsteal_direct", "pages reclaimed directly", "pages", "pressure", _counter("pgsteal_direct")),
    Metric("oom_kill", "OOM kills", "count", "pressure", _counter("oom_kill")),
    Metric("monitor_kill", "monitor kills", "count", "pressure", _counter("monitor_kill")),
    Metric("oom_object", "objects given up", "count", "pressure", _counter("oom_object")),
    Metric("victim_p99", "victim p99", "ns", "victim", _victim("alloc_p99_ns")),
    Metric("victim_miss", "victim PCP misses", "share", "victim", _victim("pcp_miss_share")),
    Metric("wait_ctx", "invalid wait contexts", "count", "hazards", _counter("wait_ctx_violation")),
    Metric("sleep_in_atomic", "sleeping in atomic", "count", "hazards", _counter("sleep_in_atomic")),
    Metric("self_deadlock", "self-deadlocks", "count", "hazards", _counter("self_deadlock")),
    Metric("gp_ended", "grace periods", "count", "RCU", _part("gp", "ended")),
    Metric("gp_p50", "grace period p50", "ns", "RCU", _percentile("gp_ns", 50)),
    Metric("bnode_fill", "records per bnode, mean", "records", "RCU", _mean("bnode_fill_records")),
    Metric("rcuscale_ns", "rcuscale total", "ns", "rcuscale", _part("rcuscale", "total_ns")),
    Metric("rcuscale_batches", "rcuscale batches", "count", "rcuscale", _part("rcuscale", "batches")),
    Metric("rcuscale_mb", "rcuscale footprint MB", "ratio", "rcuscale", _part("rcuscale", "footprint_mb")),
    Metric("cpu_per_call", "CPU time per call", "ns", "load", _cpu_per_call),
    Metric("peak_over_rule", "peak over rule of thumb", "ratio", "RCU", _rule_of_thumb),
)
QUIET = ("peak_over_rule", "cpu_per_call")  # for published figures; no row of a plain comparison


def source_metrics(view):
    """Hit share of each source: its hits over all pages that bnodes were made of, and all misses."""
    hits = {name: view.counter(name) for name in source_counters(view["counters"]["names"])}
    asked = sum(hits.values()) + view.counter("kvfree_page_miss")
    return {f"hit.{name.removesuffix('_hit')}": number / asked for name, number in hits.items()} if asked else {}


def metrics_of(record):
    """Every figure of a run: name -> number or None."""
    view = View(record)
    return {metric.name: metric.of(view) for metric in METRICS} | source_metrics(view)


def describe(names):
    """Name, label, unit and group of these figures, in the table's order: sources after the callers' figures."""
    sources = sorted(name for name in names if name.startswith("hit."))
    rows = []
    for metric in METRICS:
        if metric.name == "fallback_share":
            rows += [(name, "hits " + name.removeprefix("hit.").replace("_", " "), "share", "sources")
                     for name in sources]
        if metric.name in names:
            rows.append((metric.name, metric.label, metric.unit, metric.group))
    keys = ("name", "label", "unit", "group")
    return [dict(zip(keys, row, strict=True)) for row in rows]
