"""Who else was there and who was hurt: where pages came from, how long objects waited, pressure, other users, hogs.

Rule    a section that has nothing to say says nothing; a record without the part (of a shorter run) neither. Counters
        keep the kernel's names.
"""

from emu.report.answers import plural
from emu.report.numbers import count, duration, grouped, share
from emu.report.tables import table, wrap

# Counters of pages that a source gave for a bnode; every name ends in _hit.
NOT_SOURCES = ("user_pcp_hit",)
ROWS_MAX = 12
_PRESSURE = ("allocstall_normal", "pgscan_direct", "pgsteal_direct", "pgscan_kswapd", "pgsteal_kswapd", "pageoutrun",
             "pswpin", "pswpout", "slabs_scanned", "kfree_rcu_shrink_count", "kfree_rcu_shrink_pages",
             "drain_all_pages", "oom_kill", "monitor_kill")


def source_counters(names):
    """Of these counters, those that count pages given by a source."""
    return [name for name in names if name.endswith("_hit") and name not in NOT_SOURCES]


def sources(view, width):
    """Pages by the source that gave them, and the objects' age when they were freed."""
    given = [(name, view.counter(name)) for name in source_counters(view["counters"]["names"])]
    given = [(name, number) for name, number in given if number]
    lines = []
    if given:
        whole = sum(number for _, number in given) + view.counter("kvfree_page_miss")
        words = ", ".join(f"{name} {grouped(number)} ({share(number, whole)})" for name, number in given)
        lines += wrap(f"pages for bnodes: {words}, missed {grouped(view.counter('kvfree_page_miss'))}", width, "", "  ")
    if view.histogram("object_age_ns").total:
        lines += wrap(f"objects were freed at the age of {_plain(view, 'object_age_ns')}", width, "", "  ")
    if view.histogram("bnode_fill_records").total:
        fill = view.histogram("bnode_fill_records")
        lines += wrap(f"bnodes freed {grouped(fill.total)}: {fill.mean:.0f} records in the mean, p50 {fill.shown(50)}",
                      width, "", "  ")
    return lines


def _plain(view, name):
    """The words "p50 .., p99 .., max .." without the mark of the noise floor: for waits, not for latencies."""
    buckets = view.histogram(name)
    return f"p50 {duration(buckets.shown(50))}, p99 {duration(buckets.shown(99))}, max {duration(buckets.max)}"


def blocked(view, width):
    """Time that producers stood still, by cause."""
    causes = (("synchronize_rcu()", "sync_wait_ns"), ("direct reclaim", "direct_reclaim_ns"),
              ("throttled by kswapd", "reclaim_throttle_ns"), ("empty mempool", "mempool_wait_ns"),
              ("throttled flooder", "throttle_ns"))
    parts = [f"{words} {duration(found.sum)} in {grouped(found.total)}" for words, name in causes
             if (found := view.histogram(name)).total]
    return wrap(f"blocked: {', '.join(parts)}", width, "", "  ") if parts else []


def pressure(view, width):
    """kswapd, direct reclaim, kills, PSI; nothing where nobody was short of memory."""
    parts = [f"{name} {grouped(view.counter(name))}" for name in _PRESSURE if view.counter(name)]
    seen = view.get("vmscan") or {}
    lines = wrap(f"memory pressure: {', '.join(parts)}", width, "", "  ") if parts else []
    for row in seen.get("kswapd") or []:
        if row.get("active_ns"):
            lines += wrap(f"kswapd{row['node']} active {duration(row['active_ns'])}, "
                          f"{share(row['active_ns'], view.elapsed_ns)} of the time", width, "  ", "    ")
    psi = seen.get("psi") or {}
    if psi.get("some_ns"):
        lines += wrap(f"/proc/pressure/memory: some {duration(psi['some_ns'])}, full {duration(psi['full_ns'])}", width,
                      "  ", "    ")
    for kill in (seen.get("kills") or [])[:ROWS_MAX]:
        lines += wrap(f"killed {kill['name']} at {duration(kill['at_ns'])} by {kill['killer']} ({kill['cause']}): "
                      f"{plural(kill['rss'], 'page')}, score {kill['score']}", width, "  ", "    ")
    if seen.get("panic"):
        lines += wrap(f"panic: {seen['panic']}", width, "  ", "    ")
    return lines


def zones(view, width):
    """Each zone against its marks, where there is more than one or a mark was reached."""
    rows = view.get("zones") or []
    if len(rows) < 2 and not any(row["nr_free_min"] < row["low"] for row in rows):
        return []
    cells = [(f"node {row['node']} {row['name']}", *(count(row[key]) for key in (
        "managed", "min", "low", "high", "nr_free_min", "nr_free_end", "pcp"))) for row in rows]
    return table(("zone", "managed", "min", "low", "high", "free, least", "at the end", "pcp"), cells, width, 0)


def users(view, width):
    """Other users of memory: what they asked for, what they were refused, how long it took."""
    rows = view.get("users") or []
    cells = [(row["name"], row["kind"], count(row["requests"]), count(row["failed"]),
              share(row["pcp_misses"], row["requests"]), duration(row["alloc_p50_ns"]), duration(row["alloc_p99_ns"]),
              count(row["pages_held_peak"])) for row in rows[:ROWS_MAX]]
    lines = table(("user", "kind", "requests", "failed", "PCP miss", "p50", "p99", "peak held"), cells, width, 0, 2)
    if len(rows) > ROWS_MAX:
        lines.append(f"  {grouped(len(rows) - ROWS_MAX)} more")
    return lines


def hogs(view, width):
    """Hogs of cores: how long they were busy, how often they were put off their core."""
    rows = [row for row in view.get("hogs") or [] if row.get("periods")]
    words = [f"{row['name']} busy {duration(row['busy_us'] * 1000)} in {grouped(row['periods'])} periods, "
             f"off its core {grouped(row['preempted'])} times" for row in rows[:ROWS_MAX]]
    return [line for text in words for line in wrap(text, width, "", "  ")]


def series(view, width):
    """The time series in one line for each column: least, mean, most."""
    found = view.get("series")
    if not isinstance(found, dict) or not found.get("rows") or not found.get("names"):
        return []
    names, rows = found["names"], found["rows"]
    cells = []
    for i, name in enumerate(names):
        column = [row[i] for row in rows if i < len(row) and type(row[i]) in (int, float)]
        if column and name not in ("t_ns", "time_ns") and max(column):
            cells.append((name, count(min(column)), count(round(sum(column) / len(column))), count(max(column))))
    return table((f"{plural(len(rows), 'sample')}", "least", "mean", "most"), cells[:ROWS_MAX], width, 0)
