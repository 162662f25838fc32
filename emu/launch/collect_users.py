"""What the other users of memory and of cores did, for the record: rows "users" and "hogs".

Rule    runs when nobody writes any more. Latencies are in the histograms of each user's process, user_alloc_ns and
        user_free_ns; here stands what only the user's own record knows.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.config import hog_seats
from emu.shm import HOG, MUTATOR, USER
from emu.stats import HIST, Histogram, read_counters
from emu.users import USER_KIND_NAMES, USR
from emu.workload import LOAD


def collect_users(seg: Words, plan: Plan) -> list[dict]:
    """One row per [[users]] table. Pages are pages of 4 KiB, requests are blocks of any order."""
    rows = []
    for role in plan.of_kind(USER):
        words, user = plan.user(role.number), plan.resolved.users[role.number]
        value = {name: seg[words + getattr(USR, name)] for name in (
            "taken", "given", "failed", "missed", "held", "held_peak", "operations", "left_out", "low_free", "depth",
            "cached")}
        counters = read_counters(seg, role.index)
        alloc, free = (Histogram.from_segment(seg, role.index, which)
                       for which in (HIST.user_alloc_ns, HIST.user_free_ns))
        requests = counters["user_alloc"] + value["failed"]
        rows.append({
            "name": role.name, "kind": USER_KIND_NAMES[seg[words + USR.kind]], "cpu": user.cpu,
            "requests": requests, "failed": value["failed"], "pages_taken": value["taken"],
            "pages_given": value["given"], "pages_cached": value["cached"],
            "pages_held_at_end": value["held"], "pages_held_peak": value["held_peak"],
            "pcp_misses": value["missed"], "pcp_miss_share": value["missed"] / requests if requests else 0.0,
            "zone_lock_acquired": Histogram.from_segment(seg, role.index, HIST.zone_lock_hold_ns).count,
            "alloc_p50_ns": alloc.percentile(50.0), "alloc_p99_ns": alloc.percentile(99.0), "alloc_max_ns": alloc.max,
            "free_p99_ns": free.percentile(99.0),
            "operations": value["operations"], "operations_left_out": value["left_out"],
            "free_pages_min": value["low_free"], "below_min_pages_max": max(0, value["depth"]),
        })
    return rows


def collect_hogs(seg: Words, plan: Plan) -> list[dict]:
    """One row per process of [[hogs]]: how long it kept its core, and how often the core was taken from it."""
    rows = []
    seats = hog_seats(plan.resolved.hogs)
    for role in plan.of_kind(HOG):
        counters = read_counters(seg, role.index)
        preempted = Histogram.from_segment(seg, role.index, HIST.hog_preempted_ns)
        rows.append({"name": role.name, "table": seats[role.number].hog, "periods": counters["hog_periods"],
                     "busy_us": counters["hog_busy_us"], "preempted": preempted.count,
                     "preempted_ns": preempted.sum})
    return rows


def collect_hotplug(seg: Words, plan: Plan) -> dict | None:
    """How often a CPU was away, how long, and what it gave up; None when none was to go."""
    cpu = plan.resolved.hotplug.cpu
    if cpu < 0:
        return None
    counters = read_counters(seg, plan.of_kind(MUTATOR)[cpu].index)
    return {"cpu": cpu, "offline": counters["cpu_offline"], "online": counters["cpu_online"],
            "away_ns": seg[plan.load(cpu) + LOAD.hot_total_ns], "pcp_pages": counters["hotplug_pcp_pages"],
            "cached_pages": counters["hotplug_cached_pages"]}


def check_users(rows: list[dict]) -> tuple[bool, str]:
    """Whether every user gave back what it had taken; and the figures in words."""
    wrong = [f"{row['name']} took {row['pages_taken']}, gave {row['pages_given']}, left {row['pages_cached']} in the "
             f"page cache, holds {row['pages_held_at_end']}" for row in rows
             if row["pages_taken"] != row["pages_given"] + row["pages_cached"] or row["pages_held_at_end"]]
    whole = sum(row["pages_taken"] for row in rows)
    return not wrong, "; ".join(wrong) or f"{whole} pages taken, all given back or left in the page cache"
