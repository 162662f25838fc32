"""Pressure monitors: a process that watches memory pressure and kills applications before the kernel has to.

Holds   the triggers over PSI, Android's lmkd by its PSI strategy, systemd's oomd by its averages.
Rule    lmkd: a trigger fires when the stall time of one window passes its threshold, at most once a window; it is
        looked at ten times a window. partial (some): kills from adj 200 up, if swap is low, a mark is breached, or file
        pages thrash beyond the limit; complete (full): kills from adj 0 up. The highest adj dies first, then the
        largest. After a kill it waits kill_timeout, and the thrashing limit decays.
        oomd: full avg10 above the limit for the whole duration: the largest dies.
Limits  one monitor per machine. lmkd's memcg and vendor hooks are left out.
After   system/memory/lmkd/lmkd.cpp: mp_event_psi; systemd src/oom/oomd-util.c; kernel/sched/psi.c triggers (KF 3.9).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import ZONE
from emu.shm import MAP, line, now_ns, region, struct
from emu.stats import VM, count, counter
from emu.sync import spin_lock, spin_unlock
from emu.trace import EV, trace_event
from emu.vmscan.lru import file_pages
from emu.vmscan.oom import badness, kill_app, somebody_is_dying
from emu.vmscan.psi import FSHIFT, PSI, psi_of, psi_totals_now, psi_update_averages
from emu.vmscan.state import (
    KILLED_BY_LMKD,
    KILLED_BY_OOMD,
    MM,
    VMSCAN,
    mm_of,
    vmscan_of,
)
from emu.vmscan.wakeup import own_zone, own_zones
from emu.vmscan.zram import zram_room

MONITOR_NONE, MONITOR_LMKD, MONITOR_OOMD = 0, 1, 2
MONITOR_KINDS = {"none": MONITOR_NONE, "lmkd": MONITOR_LMKD, "oomd": MONITOR_OOMD}
PERCEPTIBLE_APP_ADJ = 200
LOOKS_PER_WINDOW = 10
NOT_OVER = -1

WATCH = struct(
    "monitor",
    line("boot()", "kind", "window_ns", "partial_ns", "complete_ns", "thrashing_limit", "thrashing_decay",
         "swap_free_low", "kill_timeout_ns", "oomd_limit", "oomd_for_ns"),
    # per trigger (some, full): start of its window, total then, whether it has fired in it
    line("monitor", ("window_start", 2), ("total_before", 2), ("fired", 2), "armed_at", "thrash_at", "refaults_before",
         "file_base", "limit_now", "over_since", "looks", "events"),
)


@jit
def watch_of(seg):
    """Word offset of the monitor's settings and state."""
    return region(seg, MAP.monitor)


@jit
def refaults(seg):
    """File pages that applications have faulted back in so far."""
    vmscan = vmscan_of(seg)
    first = seg[vmscan + VMSCAN.first_app]
    total = 0
    for app in range(seg[vmscan + VMSCAN.nr_apps]):
        total += counter(seg, first + app, VM.workingset_refault_file)
    return total


@jit_apart
def thrashing_percent(seg, me):
    """File pages faulted back since the last reset, in percent of the file pages that there were then."""
    watch = watch_of(seg)
    now = now_ns(seg)
    if now - seg[watch + WATCH.thrash_at] >= seg[watch + WATCH.window_ns]:
        seg[watch + WATCH.thrash_at] = now
        seg[watch + WATCH.refaults_before] = refaults(seg)
        seg[watch + WATCH.file_base] = file_pages(seg)
    grown = refaults(seg) - seg[watch + WATCH.refaults_before]
    return grown * 100 // (seg[watch + WATCH.file_base] + 1)


@jit
def swap_is_low(seg):
    """1 if less of zram is free than lmkd wants, in percent of its size; where there is none it is low."""
    limit = seg[vmscan_of(seg) + VMSCAN.zram_limit]
    return 1 if zram_room(seg) * 100 <= limit * seg[watch_of(seg) + WATCH.swap_free_low] else 0


@jit
def mark_breached(seg):
    """1 if every zone is at or below its LOW mark."""
    for node in range(seg[vmscan_of(seg) + VMSCAN.nr_nodes]):
        for at in range(own_zones(seg, node)):
            zone = own_zone(seg, node, at)
            low = seg[zone + ZONE.wmark_low] + load_relaxed(seg, zone + ZONE.boost)
            if load_relaxed(seg, zone + ZONE.nr_free) > low:
                return 0
    return 1


@jit
def trigger(seg, which, total, threshold, now):
    """1 if a PSI trigger fires at this look: its stall total grew by `threshold` within the window, once a window."""
    watch = watch_of(seg)
    start = watch + WATCH.window_start + which
    if now - seg[start] >= seg[watch + WATCH.window_ns]:
        seg[start] = now
        seg[watch + WATCH.total_before + which] = total
        seg[watch + WATCH.fired + which] = 0
    grown = total - seg[watch + WATCH.total_before + which]
    if grown < threshold or threshold == 0 or seg[watch + WATCH.fired + which] != 0:
        return 0
    seg[watch + WATCH.fired + which] = 1
    seg[watch + WATCH.events] += 1
    return 1


@jit
def highest_adj(seg, least):
    """The living application with the highest adj, at least `least`; among equals the largest; -1 if none."""
    chosen = -1
    best = -1
    for app in range(seg[vmscan_of(seg) + VMSCAN.nr_apps]):
        mm = mm_of(seg, app)
        if load_relaxed(seg, mm + MM.killed) != 0 or seg[mm + MM.adj] < least:
            continue
        rank = ((seg[mm + MM.adj] + 1000) << 32) + load_relaxed(seg, mm + MM.rss)
        if rank > best:
            best = rank
            chosen = app
    return chosen


@jit
def largest(seg):
    """The living application with the most pages, -1 if none."""
    chosen = -1
    most = -1
    for app in range(seg[vmscan_of(seg) + VMSCAN.nr_apps]):
        mm = mm_of(seg, app)
        size = load_relaxed(seg, mm + MM.rss) + load_relaxed(seg, mm + MM.swap)
        if badness(seg, app) > -(1 << 60) and size > most:
            most = size
            chosen = app
    return chosen


@jit_apart
def monitor_kill(seg, me, app, cause):
    """Kill, unless somebody is dying already. 1 if it was done."""
    vmscan = vmscan_of(seg)
    done = 0
    spin_lock(seg, me, vmscan + VMSCAN.oom_lock)
    if app >= 0 and somebody_is_dying(seg) == 0 and load_relaxed(seg, mm_of(seg, app) + MM.killed) == 0:
        kill_app(seg, me, app, cause)
        done = 1
    spin_unlock(seg, me, vmscan + VMSCAN.oom_lock)
    return done


@jit_apart
def lmkd_look(seg, me, now):
    """One look of lmkd at its two triggers. 1 if it killed."""
    watch = watch_of(seg)
    psi = psi_of(seg)
    partial = trigger(seg, 0, load_relaxed(seg, psi + PSI.some_ns), seg[watch + WATCH.partial_ns], now)
    complete = trigger(seg, 1, load_relaxed(seg, psi + PSI.full_ns), seg[watch + WATCH.complete_ns], now)
    thrashing = thrashing_percent(seg, me)
    if partial + complete == 0 or now < seg[watch + WATCH.armed_at]:
        return 0
    trace_event(seg, me, EV.psi_event, partial + 2 * complete, thrashing)
    least = PERCEPTIBLE_APP_ADJ
    over = thrashing > seg[watch + WATCH.limit_now]
    if complete != 0:
        least = 0
    elif swap_is_low(seg) == 0 and mark_breached(seg) == 0 and not over:
        return 0
    if monitor_kill(seg, me, highest_adj(seg, least), KILLED_BY_LMKD) == 0:
        return 0
    if over:
        seg[watch + WATCH.limit_now] = seg[watch + WATCH.limit_now] * (100 - seg[watch + WATCH.thrashing_decay]) // 100
    seg[watch + WATCH.armed_at] = now + seg[watch + WATCH.kill_timeout_ns]
    return 1


@jit_apart
def oomd_look(seg, me, now):
    """One look of oomd at the average over 10 s. 1 if it killed."""
    watch = watch_of(seg)
    percent = load_relaxed(seg, psi_of(seg) + PSI.full_avg) >> FSHIFT
    if percent <= seg[watch + WATCH.oomd_limit]:
        seg[watch + WATCH.over_since] = NOT_OVER
        return 0
    if seg[watch + WATCH.over_since] == NOT_OVER:
        seg[watch + WATCH.over_since] = now
    if now - seg[watch + WATCH.over_since] < seg[watch + WATCH.oomd_for_ns]:
        return 0
    seg[watch + WATCH.over_since] = now
    return monitor_kill(seg, me, largest(seg), KILLED_BY_OOMD)


@jit
def monitor_begin(seg, now):
    """At time zero: windows and averages start."""
    watch = watch_of(seg)
    for which in range(2):
        seg[watch + WATCH.window_start + which] = now
    seg[watch + WATCH.thrash_at] = now
    seg[watch + WATCH.file_base] = file_pages(seg)
    seg[watch + WATCH.refaults_before] = refaults(seg)
    seg[watch + WATCH.limit_now] = seg[watch + WATCH.thrashing_limit]
    seg[watch + WATCH.over_since] = NOT_OVER
    store_relaxed(seg, psi_of(seg) + PSI.avg_at, now + 2_000_000_000)


@jit_apart
def monitor_step(seg, me):
    """One look at the pressure. Returns the time of the next."""
    watch = watch_of(seg)
    seg[watch + WATCH.looks] += 1
    psi_totals_now(seg, me)
    psi_update_averages(seg, me)
    now = now_ns(seg)
    if seg[watch + WATCH.kind] == MONITOR_LMKD:
        lmkd_look(seg, me, now)
    elif seg[watch + WATCH.kind] == MONITOR_OOMD:
        oomd_look(seg, me, now)
    count(seg, me, VM.psi_looks)
    return now + seg[watch + WATCH.window_ns] // LOOKS_PER_WINDOW
