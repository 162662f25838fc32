"""kswapd: a process per node that reclaims before allocations have to.

Holds   one step of the daemon.
Rule    woken by a request that fails at LOW, unless it runs already, the node is balanced, or it has failed 16 times in
        a row (hopeless). It works until some zone of the node is above HIGH, priority 12 to 1, each round aiming at the
        sum of max(HIGH, 32) over the zones. Before it sleeps for good it dozes for HZ/10: woken, or unbalanced
        again, in that time counts as a mark hit quickly.
Limits  runs as the housekeeping CPU. Reclaims for order 0.
After   Linux mm/vmscan.c: kswapd_try_to_sleep, balance_pgdat (KF 3.6).
"""

from emu.arch import fetch_add_relaxed, jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import ZONE, zone_lock, zone_unlock
from emu.shm import HEADER, PF_MEMALLOC, PROC, STOP, now_ns, proc_of, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import proc_ring
from emu.trace import EV, trace_event
from emu.vmscan.oom import oom_reap
from emu.vmscan.shrink import shrink_node
from emu.vmscan.state import (
    DEF_PRIORITY,
    KSWAPD_ASLEEP,
    KSWAPD_AWAKE,
    KSWAPD_DOZING,
    MAX_RECLAIM_RETRIES,
    PGDAT,
    SWAP_CLUSTER_MAX,
    TASK,
    pgdat_of,
    task_of,
)
from emu.vmscan.wakeup import own_zone, own_zones, pgdat_balanced

DOZE_NS = 100_000_000  # HZ/10


@jit
def round_target(seg, node):
    """Pages that one round aims at."""
    target = 0
    for at in range(own_zones(seg, node)):
        target += max(seg[own_zone(seg, node, at) + ZONE.wmark_high], SWAP_CLUSTER_MAX)
    return target


@jit_apart
def release_throttled(seg, me):
    """Wake the direct reclaimers that wait for kswapd: pfmemalloc_wait. Returns 0."""
    for proc in range(seg[HEADER.nr_procs]):
        word = task_of(seg, proc) + TASK.throttled
        if load_relaxed(seg, word) != 0:
            store_relaxed(seg, word, 0)
            proc_ring(seg, proc)
    return 0


@jit
def mark_reclaim(seg, node, active):
    """Tell the zones' page lists that kswapd is at work, or that it has done."""
    for at in range(own_zones(seg, node)):
        store_relaxed(seg, own_zone(seg, node, at) + ZONE.reclaim_active, active)


@jit
def clear_boosts(seg, me, node):
    """kswapd has been here: marks raised because of foreign pageblocks are as before."""
    for at in range(own_zones(seg, node)):
        zone = own_zone(seg, node, at)
        if load_relaxed(seg, zone + ZONE.boost) != 0:
            zone_lock(seg, me, zone)
            store_relaxed(seg, zone + ZONE.boost, 0)
            zone_unlock(seg, me, zone)


@jit_apart
def balance_pgdat(seg, me, pcp_cpu, node):
    """Reclaim until the node is balanced or every priority has been tried. Returns the pages reclaimed."""
    pgdat = pgdat_of(seg, node)
    task = task_of(seg, me)
    total = 0
    priority = DEF_PRIORITY
    count(seg, me, VM.pageoutrun)
    mark_reclaim(seg, node, 1)
    while priority >= 1 and run_state(seg) < STOP:
        if pgdat_balanced(seg, node) != 0:
            break
        seg[task + TASK.scanned] = 0
        seg[task + TASK.reclaimed] = 0
        target = round_target(seg, node)
        freed = shrink_node(seg, me, pcp_cpu, node, priority, target, 1)
        total += freed
        release_throttled(seg, me)
        if priority < seg[pgdat + PGDAT.priority_min]:
            seg[pgdat + PGDAT.priority_min] = priority
        if seg[task + TASK.scanned] < target or freed == 0:
            priority -= 1
    mark_reclaim(seg, node, 0)
    clear_boosts(seg, me, node)
    if total > 0:
        store_relaxed(seg, pgdat + PGDAT.failures, 0)
    elif pgdat_balanced(seg, node) == 0:
        store_relaxed(seg, pgdat + PGDAT.failures, load_relaxed(seg, pgdat + PGDAT.failures) + 1)
    release_throttled(seg, me)
    return total


@jit
def kswapd_work(seg, me, pcp_cpu, node):
    """One run while awake, with its times."""
    pgdat = pgdat_of(seg, node)
    start = now_ns(seg)
    store_relaxed(seg, pgdat + PGDAT.state, KSWAPD_AWAKE)
    store_relaxed(seg, pgdat + PGDAT.requested, 0)
    freed = balance_pgdat(seg, me, pcp_cpu, node)
    spent = now_ns(seg) - start
    seg[pgdat + PGDAT.active_ns] += spent
    hist_record(seg, me, HIST.kswapd_run_ns, spent)
    trace_event(seg, me, EV.mm_vmscan_kswapd_run, node, freed)


@jit
def kswapd_begin(seg, me, node):
    """At time zero: asleep, and allowed to eat every reserve from now on."""
    fetch_add_relaxed(seg, proc_of(seg, me) + PROC.flags, PF_MEMALLOC)
    store_relaxed(seg, pgdat_of(seg, node) + PGDAT.state, KSWAPD_ASLEEP)


@jit
def kswapd_step(seg, me, pcp_cpu, node, doze_until):
    """One step: work if wanted, doze, or sleep. doze_until: what the last step returned, 0 at first.

    Returns the time until which it dozes, or 0 when it sleeps for good; the caller sleeps until then, or until rung.
    """
    pgdat = pgdat_of(seg, node)
    rung = load_relaxed(seg, pgdat + PGDAT.requested)
    balanced = pgdat_balanced(seg, node)
    if doze_until != 0:
        if rung == 0 and now_ns(seg) < doze_until:
            return doze_until
        if rung != 0:
            count(seg, me, VM.kswapd_low_wmark_hit_quickly)
        elif balanced == 0:
            count(seg, me, VM.kswapd_high_wmark_hit_quickly)
            rung = 1
    if rung == 0:
        store_relaxed(seg, pgdat + PGDAT.state, KSWAPD_ASLEEP)
        return 0
    kswapd_work(seg, me, pcp_cpu, node)
    if load_relaxed(seg, pgdat + PGDAT.failures) >= MAX_RECLAIM_RETRIES:
        store_relaxed(seg, pgdat + PGDAT.requested, 0)  # hopeless: until somebody else has made progress
        store_relaxed(seg, pgdat + PGDAT.state, KSWAPD_ASLEEP)
        return 0
    if pgdat_balanced(seg, node) == 0:
        store_relaxed(seg, pgdat + PGDAT.requested, 1)  # not done: at once again, after a look at the run's state
        return now_ns(seg)
    store_relaxed(seg, pgdat + PGDAT.state, KSWAPD_DOZING)
    return now_ns(seg) + DOZE_NS


@jit
def reaper_wake(seg, me, pcp_cpu, node):
    """The OOM reaper's part, done by the first kswapd: when it has to be back, 0: no victim is waited for."""
    return oom_reap(seg, me, pcp_cpu) if node == 0 else 0
