"""What ran, and the three answers that lead every report: window, misprediction, footprint.

Rule    each section takes a View and a width and returns finished lines. A figure that was not measured
        prints as "-", and a good outcome is said in words ("none: ..."), not as a row of zeros.
"""

import time

from emu.report.numbers import NBSP, count, duration, grouped, page_seconds, pages_size, per_second, ranges, share
from emu.report.numbers import significant as three
from emu.report.tables import labelled, table, wrap
from emu.report.view import lower_median

CPUS_IN_FULL = 8  # more emulated CPUs than this become three rows: least, middle, most


def plural(number, word):
    """3 windows, 1 window."""
    return f"{grouped(number)}{NBSP}{word}" + ("" if number == 1 else "s")


def verdict(view, width):
    """The first line: may these figures be believed, and if not, why not."""
    word, reasons = view["verdict"]["word"], view["verdict"]["reasons"]
    checks = view["invariants"]
    held = sum(check["ok"] for check in checks)
    default = f"{held} of {len(checks)} invariants hold" if checks else "no invariant was checked"
    text = "; ".join(reasons) or default
    if view["elapsed_ns"] < view["duration_ns"]:
        text += f"; ran {duration(view['elapsed_ns'])} of {duration(view['duration_ns'])}"
    return wrap(f"{word}: {text}", width, rest=" " * (len(word) + 2))


def made_at(created):
    """A time since 1970 as a date."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(created))
    except (OverflowError, OSError, ValueError):
        return "at a time that no calendar holds"


def _policy(view):
    """The policy in words: its preset, and the sources it came down to."""
    sources = view.resolved("policy.sources")
    row = ", ".join(map(str, sources)) if isinstance(sources, list | tuple) else None
    if row == "":
        row = "none"
    preset = view.resolved("policy.preset", "-")
    wanted = view.resolved("policy.refill.trigger") != "none"
    refill = view.resolved("policy.refill.path", "-") if wanted else "none"
    return f"{preset} (sources: {row or '-'}; refill: {refill})"


def what_ran(view, width):
    """Scenario, machine and everything that a reader must know before comparing two reports."""
    cores = [core for process in view.processes("mutator") for core in process["cores"]]
    hz = view["gp"]["hz"]
    rules = [f"epoch {view.resolved('run.epoch', '-')}", f"policy {_policy(view)}",
             f"preemption {view.resolved('run.preemption', '-')}", f"HZ {hz}"]
    ran = [view["scenario"]["path"] or "-", f"load {view.resolved('workload.kind', '-')}",
           f"{plural(len(view['cpus']), 'CPU')} on {'core' if len(set(cores)) == 1 else 'cores'} {ranges(cores)}",
           duration(view.elapsed_ns), f"seed {view.resolved('run.seed', '-')}"]
    seen = view["clock"]
    clock = f"{seen['kind']}, error {three(seen['error_ppm'])} ppm; "
    clock += "deep idle states held off" if view["dma_latency"]["held"] else (
        f"deep idle states allowed ({view['dma_latency']['reason'] or 'no reason given'})")
    lines = []
    question = view.resolved("question")
    if question:
        lines += labelled("question", str(question), width)
    lines += labelled("ran", "; ".join(ran), width)
    lines += labelled("rules", "; ".join(rules), width)
    lines += labelled("clock", clock, width)
    lines += labelled("made", f"emu {view['emu_version']}, {made_at(view['created_unix'])}", width)
    for mark in view["marks"]:
        lines += labelled("mark", mark, width)
    for mark in view["degraded"]:
        lines += labelled("degraded", mark, width)
    return lines


def fallback_window(view, width):
    """(a): how long was a CPU without pages, and what did it cost."""
    head = "(a) fallback window: from the first miss to the next hit on that CPU"
    windows, still_open = view.over_cpus("windows"), sum(cpu["open_window"] for cpu in view["cpus"])
    misses = view.over_cpus("misses")
    if not view.calls:
        return [head, "  none: no call was made"]
    if not (windows or still_open or misses or view.fallbacks):
        return [head, "  none: every call found a page"]
    objects = view.histogram("fallback_window_objects")
    lines = [head]
    lines += wrap(f"windows {grouped(windows)}: " + view.quantiles("fallback_window_ns", 50, 99), width, "  ")
    whole = view.elapsed_ns * len(view["cpus"])
    lines += wrap(f"without pages for {duration(view.over_cpus('window_ns'))}, "
                  f"{share(view.over_cpus('window_ns'), whole)} of the CPUs' time", width, "  ")
    lines += wrap(f"objects lost to the fallback {grouped(view.fallbacks)} of {grouped(view.calls)} calls "
                  f"({share(view.fallbacks, view.calls)}): {grouped(view.over_cpus('fallback_list'))} to the list, "
                  f"{grouped(view.over_cpus('fallback_sync'))} to synchronize_rcu()", width, "  ")
    if objects.total:
        lines += wrap(f"objects in a window: p50 {grouped(objects.shown(50))}, p99 {grouped(objects.shown(99))}, "
                      f"max {grouped(objects.max)}", width, "  ")
    if still_open:
        lines += wrap(f"{plural(still_open, 'window')} still open at the end: not in the percentiles", width, "  ")
    return lines


def misprediction(view, width):
    """(b): pages short against pages too many."""
    cached, static = view.over_cpus("cache_idle_ns"), view.over_cpus("static_idle_ns")
    held, misses = view["footprint"]["pages_ns_all"], view.over_cpus("misses")
    lines = ["(b) misprediction: pages short against pages too many"]
    lines += labelled("  short", f"misses {grouped(misses)}, {share(misses, view.calls)} of calls, "
                      f"{per_second(misses, view.elapsed_ns)}", width, 12)
    lines += labelled("  too many", f"{page_seconds(cached + static)} page-seconds idle = "
                      f"{page_seconds(cached)} cached + {page_seconds(static)} static", width, 12)
    return lines + labelled("  held", f"{page_seconds(held)} page-seconds; idle against held "
                            f"{share(cached + static, held)}", width, 12)


def _cpu_row(cpu, elapsed_ns):
    return (cpu["calls"], cpu["misses"], cpu["windows"], cpu["fallback_list"] + cpu["fallback_sync"],
            cpu["pages_ns"] / elapsed_ns if elapsed_ns else None,
            (cpu["cache_idle_ns"] + cpu["static_idle_ns"]) / elapsed_ns if elapsed_ns else None, cpu["pages_peak"])


def _cells(row):
    return [*map(count, row[:4]), three(row[4]), three(row[5]), count(row[6])]


def footprint(view, width):
    """(c): pages held, mean and peak, per CPU and in all."""
    elapsed, peak = view.elapsed_ns, view["footprint"]["peak_all"]
    rows = [(str(cpu["cpu"]), _cpu_row(cpu, elapsed)) for cpu in view["cpus"]]
    if len(rows) > CPUS_IN_FULL:
        columns = [[row[i] or 0 for _, row in rows] for i in range(7)]
        rows = [(name, [pick(column) for column in columns])
                for name, pick in (("least", min), ("median", lower_median), ("most", max))]
    mean = view["footprint"]["pages_ns_all"] / elapsed if elapsed else None
    lines = ["(c) footprint: pages held, mean and peak"]
    lines += table(("CPU", "calls", "misses", "windows", "fallbacks", "mean held", "mean idle", "peak"),
                   [(name, *_cells(row)) for name, row in rows], width)
    managed = view["ledger"]["managed"]
    lines += wrap(f"in all: mean {three(mean)} ({pages_size(mean)}), peak {grouped(peak)} ({pages_size(peak)}), "
                  f"{share(peak, managed)} of {grouped(managed)} pages", width, "  ")
    return lines
