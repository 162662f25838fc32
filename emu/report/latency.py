"""Where the time went: refill phase by phase, calls, grace periods; and other people's figures beside ours.

Rule    the phases of a refill are shown in the order in which they happen, and their sums are held against
        the sum of the whole, in exact nanoseconds: attribution that does not add up is said to.
"""

from emu.report.answers import plural
from emu.report.numbers import count, duration, grouped, per_second, share
from emu.report.numbers import significant as three
from emu.report.tables import table, wrap

# (words, histogram, is it an addend of the total). Aside: the bell was rung, but the CPU was in a section.
PHASES = (
    ("miss -> doorbell", "refill_doorbell_ns", True),
    ("stood aside", "refill_aside_ns", True),
    ("doorbell -> run", "refill_wake_ns", True),
    ("run -> page there", "refill_alloc_ns", True),
    ("page -> first hit", "refill_hit_ns", True),
    ("total", "refill_total_ns", False),
)


def _phase_row(view, words, name):
    buckets = view.histogram(name)
    figures = [buckets.shown(50), buckets.shown(99), buckets.shown(99.9), buckets.max if buckets.total else None]
    return [words, count(buckets.total), *map(view.latency, [*figures, buckets.mean])]


def sums_line(view):
    """The proof that the parts make the whole, or by how much they do not."""
    parts = sum(view.histogram(name).sum for _, name, adds in PHASES if adds)
    total = view.histogram("refill_total_ns").sum
    if parts == total:
        return f"sums: parts {grouped(parts)} ns = total {grouped(total)} ns: they add up"
    return (f"sums: parts {grouped(parts)} ns, total {grouped(total)} ns: they DO NOT add up, "
            f"{grouped(parts - total)} ns apart ({share(abs(parts - total), total)})")


def refill(view, width):
    """A refill from the miss to the first hit, split into its phases."""
    head = "refill latency: from the miss to the first hit"
    if not any(view.histogram(name).total for _, name, _ in PHASES):
        return [head, "  none: no page was asked of a worker"]
    rows = [_phase_row(view, words, name) for words, name, _ in PHASES]
    lines = [head, *table(("phase", "count", "p50", "p99", "p99.9", "max", "mean"), rows, width)]
    lines += wrap(sums_line(view), width, "  ", "        ")
    clamped = sum(view.histogram(name).clamped for _, name, _ in PHASES)
    if clamped:
        lines += wrap(f"{plural(clamped, 'value')} outside 0 .. 73 min, counted at the edge", width, "  ")
    return lines


def calls(view, width):
    """How many calls, how fast, and where their objects went."""
    sheaves = view.counter("free_rcu_sheaf")
    array = view.calls - view.fallbacks - sheaves
    lines = wrap(f"calls {grouped(view.calls)}, {per_second(view.calls, view.elapsed_ns)}: {grouped(array)} array, "
                 f"{grouped(view.over_cpus('fallback_list'))} list, {grouped(view.over_cpus('fallback_sync'))} "
                 "synchronous" + (f", {grouped(sheaves)} sheaf" if sheaves else ""), width)
    for label, name in (("one call", "kvfree_call_ns"), ("late by", "arrival_lateness_ns")):
        timed = view.histogram(name)
        if timed.total:
            lines += wrap(f"{label} {view.quantiles(name, 50, 99, 99.9)} ({count(timed.total)} timed)", width, "  ")
    return lines


def grace_periods(view, width):
    """How many grace periods, and how long one took."""
    gp = view["gp"]
    lines = wrap(f"grace periods {grouped(gp['ended'])}, {per_second(gp['ended'], view.elapsed_ns)}", width)
    if gp["started"] != gp["ended"]:
        lines = wrap(f"{lines[0]}; {grouped(gp['started'])} started", width)
    if view.histogram("gp_ns").total:
        lines += wrap(f"one took {view.quantiles('gp_ns', 50, 99)}", width, "  ")
    return lines


def rcuscale(view, width):
    """The kernel's own four figures, in the kernel's order."""
    seen = view["rcuscale"]
    if seen is None:
        return []
    return wrap(f"rcuscale kfree test: total {grouped(seen['total_ns'])} ns ({duration(seen['total_ns'])}), "
                f"loops {grouped(seen['loops'])}, batches {grouped(seen['batches'])}, "
                f"footprint {three(seen['footprint_mb'])} MB; {plural(seen['threads'], 'thread')}", width)


def _emulated(view):
    """Our figure for each figure that a recorded kernel may have."""
    lists, gp = view.over_cpus("fallback_list"), view.histogram("gp_ns")
    median = gp.shown(50)
    lengths = {} if median is None else {"gp_p50_us": median / 1000, "gp_max_us": gp.max / 1000}
    return lengths | {
        "calls": view.calls, "list_objects": lists, "bulk_objects": view.calls - view.fallbacks,
        "bnodes": view.counter("bnode_free"), "grace_periods": view["gp"]["ended"],
        "gp_started": view["gp"]["started"], "gp_ended": view["gp"]["ended"],
        "worker_runs": view.counter("krc_refill_run"), "monitor_runs": view.counter("kfree_rcu_monitor"),
        "work_runs": view.counter("kfree_rcu_work"), "cpus": len(view["cpus"]),
        "span_us": view.elapsed_ns // 1000,
    }


_NOT_PER_CALL = ("calls", "cpus", "lost")


def _recorded_cell(key, number):
    if number is None:
        return "-"
    if key.endswith("_us"):
        return duration(number * 1000)
    return count(number) if isinstance(number, int) else three(number)


def recorded(view, width):
    """A real kernel's figures beside ours, also per 1000 calls: a replay may repeat the demand.

    The first pass, where it is known, stands by itself: only it meets empty caches, as the recorded kernel did.
    """
    seen = view["recorded"]
    if seen is None:
        return []
    ours, rows, once = _emulated(view), [], view.get("first_pass") or {}
    theirs = {key: value for key, value in seen.items() if type(value) in (int, float)}
    for key, value in theirs.items():
        rates = ["", ""]
        if key not in _NOT_PER_CALL and not key.endswith("_us"):
            rates = [three(figure * 1000 / calls) if calls and figure is not None else "-"
                     for figure, calls in ((value, theirs.get("calls")), (ours.get(key), view.calls))]
        words = key.removesuffix("_us").replace("_", " ")
        first = [_recorded_cell(key, once.get(key))] if once else []
        rows.append([words, _recorded_cell(key, value), *first, _recorded_cell(key, ours.get(key)), *rates])
    lines = wrap(f"recorded kernel: {seen.get('source') or 'source not named'}; /1000 = per 1000 calls", width)
    heads = ("", "recorded", *(("first pass",) if once else ()), "emulated", "rec/1000", "emu/1000")
    return lines + table(heads, rows, width)
