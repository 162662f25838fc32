"""Direct reclaim: a caller that may sleep frees pages for itself.

Holds   reclaim_until(), its rounds, the throttle, the wait for the killer.
Rule    reclaim 32 pages from priority 12 down, try, drain every CPU's lists once and try;
        NORETRY ends here; again while it helps, or 16 rounds without; then the OOM killer. A mutator in here
        has left the section of a kernel without preemption: reclaim is a scheduling point.
Limits  loops end with the load: a request then fails. No compaction; orders above 3 fail where they would cost a kill.
After   Linux mm/page_alloc.c: __alloc_pages_slowpath, should_reclaim_retry, __alloc_pages_may_oom (KF 3.5).
"""

from emu.arch import fetch_add_relaxed, jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import (
    ALLOC_WMARK_HIGH,
    ALLOC_WMARK_MIN,
    GFP_FS,
    GFP_NORETRY,
    GFP_RETRY_MAYFAIL,
    GFP_THISNODE,
    NO_PAGE,
    ZONE,
    drain_all_pages,
    get_page_from_freelist,
    gfp_pfmemalloc_flags,
    gfp_to_alloc_flags,
)
from emu.rcu import rcu_eqs_enter, rcu_eqs_exit
from emu.shm import APP, MUTATOR, PF_MEMALLOC, PROC, RUN, now_ns, proc_of, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import CPU, bell_seen, cpu_of, may_block, model_section, preempt_disable, preempt_enable, proc_sleep
from emu.trace import EV, trace_event
from emu.vmscan.oom import being_killed, out_of_memory
from emu.vmscan.psi import memstall_enter, memstall_leave
from emu.vmscan.shrink import reclaimable_pages, shrink_node
from emu.vmscan.state import (
    DEF_PRIORITY,
    MAX_RECLAIM_RETRIES,
    PGDAT,
    SWAP_CLUSTER_MAX,
    TASK,
    VMSCAN,
    pgdat_of,
    task_of,
    vmscan_of,
)
from emu.vmscan.wakeup import own_zone, own_zones, wake_all_kswapds

THROTTLE_LOOK_NS = 20_000_000
PAGE_ALLOC_COSTLY_ORDER = 3


@jit_apart
def leave_sections(seg, me):
    """A mutator that is to sleep leaves the section of a kernel without preemption. 1 if join_sections() has to act."""
    proc = proc_of(seg, me)
    if seg[proc + PROC.role] != MUTATOR:
        return 0
    cpu = seg[proc + PROC.cpu]
    inside = seg[cpu_of(seg, cpu) + CPU.section]
    if inside != 0:
        model_section(seg, cpu, 0)
        preempt_enable(seg, me, cpu)
    return inside


@jit_apart
def join_sections(seg, me, left):
    """Enter again what leave_sections() left. Returns 0."""
    if left != 0:
        cpu = seg[proc_of(seg, me) + PROC.cpu]
        preempt_disable(seg, cpu)
        model_section(seg, cpu, 1)
    return 0


@jit_apart
def sleep_until(seg, me, seen, deadline):
    """Sleep on the own bell; a mutator's CPU is idle for RCU meanwhile. May return early."""
    proc = proc_of(seg, me)
    if seg[proc + PROC.role] != MUTATOR:
        return proc_sleep(seg, me, seen, deadline)
    rcu_eqs_enter(seg, me, seg[proc + PROC.cpu])
    proc_sleep(seg, me, seen, deadline)
    rcu_eqs_exit(seg, seg[proc + PROC.cpu])
    return 0


@jit_apart
def sleep_jiffy(seg, me):
    """schedule_timeout(1). Returns 0."""
    return sleep_until(seg, me, bell_seen(seg, me), now_ns(seg) + seg[vmscan_of(seg) + VMSCAN.jiffy_ns])


@jit
def may_sleep_here(seg, me):
    """0 for a mutator in atomic context, counted as sleep_in_atomic: its flags have promised what it may not do."""
    proc = proc_of(seg, me)
    return may_block(seg, me, seg[proc + PROC.cpu]) if seg[proc + PROC.role] == MUTATOR else 1


@jit
def may_go_on(seg, me):
    """1 while a loop of the slow path may: the load runs, and the caller is not being killed."""
    return 1 if run_state(seg) == RUN and being_killed(seg, me) == 0 else 0


@jit
def allow_direct_reclaim(seg, node):
    """0 while a node is so short that callers have to wait for its kswapd: free at or below half of all MINs."""
    pgdat = pgdat_of(seg, node)
    if load_relaxed(seg, pgdat + PGDAT.failures) >= MAX_RECLAIM_RETRIES or reclaimable_pages(seg, node) == 0:
        return 1
    free = 0
    reserve = 0
    for at in range(own_zones(seg, node)):
        zone = own_zone(seg, node, at)
        free += load_relaxed(seg, zone + ZONE.nr_free)
        reserve += seg[zone + ZONE.wmark_min]
    return 1 if reserve == 0 or free > reserve // 2 else 0


@jit
def some_node_short(seg):
    """1 while allow_direct_reclaim() refuses for a node."""
    for node in range(seg[vmscan_of(seg) + VMSCAN.nr_nodes]):
        if allow_direct_reclaim(seg, node) == 0:
            return 1
    return 0


@jit_apart
def throttle_direct_reclaim(seg, me):
    """Hold back a task, never a worker, while kswapd has to come first. Returns the ns waited."""
    role = seg[proc_of(seg, me) + PROC.role]
    if seg[vmscan_of(seg) + VMSCAN.kswapd_on] == 0 or role not in (MUTATOR, APP) or some_node_short(seg) == 0:
        return 0
    count(seg, me, VM.pgscan_direct_throttle)
    start = now_ns(seg)
    word = task_of(seg, me) + TASK.throttled
    while may_go_on(seg, me) != 0:
        seen = bell_seen(seg, me)
        store_relaxed(seg, word, 1)  # relaxed: a wake-up that is missed costs one bounded sleep
        if some_node_short(seg) == 0:
            break
        wake_all_kswapds(seg, me)
        sleep_until(seg, me, seen, now_ns(seg) + THROTTLE_LOOK_NS)
    store_relaxed(seg, word, 0)
    waited = now_ns(seg) - start
    hist_record(seg, me, HIST.reclaim_throttle_ns, waited)
    return waited


@jit_apart
def try_to_free_pages(seg, me, pcp_cpu):
    """Direct reclaim: SWAP_CLUSTER_MAX pages, from priority 12 down to 0. Pages freed; 1 if throttled out."""
    task = task_of(seg, me)
    if throttle_direct_reclaim(seg, me) != 0 and may_go_on(seg, me) == 0:
        return 1
    count(seg, me, VM.allocstall_normal)
    trace_event(seg, me, EV.mm_vmscan_direct_reclaim_begin, pcp_cpu, 0)
    fetch_add_relaxed(seg, proc_of(seg, me) + PROC.flags, PF_MEMALLOC)
    seg[task + TASK.scanned] = 0
    seg[task + TASK.reclaimed] = 0
    priority = DEF_PRIORITY
    while priority >= 0 and run_state(seg) == RUN:
        for node in range(seg[vmscan_of(seg) + VMSCAN.nr_nodes]):
            if shrink_node(seg, me, pcp_cpu, node, priority, SWAP_CLUSTER_MAX, 0) > 0:
                store_relaxed(seg, pgdat_of(seg, node) + PGDAT.failures, 0)
        if seg[task + TASK.reclaimed] >= SWAP_CLUSTER_MAX:
            break
        priority -= 1
    fetch_add_relaxed(seg, proc_of(seg, me) + PROC.flags, -PF_MEMALLOC)
    trace_event(seg, me, EV.mm_vmscan_direct_reclaim_end, pcp_cpu, seg[task + TASK.reclaimed])
    return seg[task + TASK.reclaimed]


@jit_apart
def reclaim_for_request(seg, me, pcp_cpu):
    """One round of direct reclaim with everything a task pays for it: sections left, stall counted and timed."""
    start = now_ns(seg)
    left = leave_sections(seg, me)
    before = memstall_enter(seg, me)
    freed = try_to_free_pages(seg, me, pcp_cpu)
    memstall_leave(seg, me, before)
    join_sections(seg, me, left)
    hist_record(seg, me, HIST.direct_reclaim_ns, now_ns(seg) - start)
    return freed


@jit
def should_reclaim_retry(seg, fruitless):
    """1 if reclaiming again could let the request pass MIN: not after 16 fruitless rounds, nor beyond what there is."""
    if fruitless > MAX_RECLAIM_RETRIES:
        return 0
    for node in range(seg[vmscan_of(seg) + VMSCAN.nr_nodes]):
        available = reclaimable_pages(seg, node)
        for at in range(own_zones(seg, node)):
            zone = own_zone(seg, node, at)
            least = seg[zone + ZONE.wmark_min] + load_relaxed(seg, zone + ZONE.boost)
            if load_relaxed(seg, zone + ZONE.nr_free) + available > least:
                return 1
    return 0


@jit
def may_kill(gfp, order):
    """1 if the killer may be asked for this request."""
    if gfp & (GFP_RETRY_MAYFAIL | GFP_THISNODE) != 0 or order > PAGE_ALLOC_COSTLY_ORDER:
        return 0
    return 1


@jit_apart
def ask_killer(seg, me, gfp):
    """The OOM killer's turn, then a jiffy's wait for what it frees. 1: it is worth trying again."""
    left = leave_sections(seg, me)
    before = memstall_enter(seg, me)
    again = 1 if gfp & GFP_FS == 0 else out_of_memory(seg, me)  # without __GFP_FS nobody is killed, the loop goes on
    if again != 0:
        sleep_jiffy(seg, me)
    memstall_leave(seg, me, before)
    join_sections(seg, me, left)
    return again


@jit
def try_after_reclaim(seg, me, pcp_cpu, gfp, order, migratetype, flags):
    """What a round of reclaim was for; if others have it on their lists, those are drained, and it is tried again."""
    pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, flags)
    if pfn == NO_PAGE:
        drain_all_pages(seg, me, pcp_cpu)
        pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, flags)
    return pfn


@jit_apart
def reclaim_until(seg, me, pcp_cpu, gfp, order, migratetype):
    """The loop of a request that may reclaim: a page, or NO_PAGE."""
    flags = gfp_to_alloc_flags(seg, gfp, me)
    fruitless = 0
    while may_go_on(seg, me) != 0:
        freed = reclaim_for_request(seg, me, pcp_cpu)
        pfn = NO_PAGE
        if freed > 0:
            pfn = try_after_reclaim(seg, me, pcp_cpu, gfp, order, migratetype, flags)
        else:
            pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, flags)
        if pfn != NO_PAGE or gfp & GFP_NORETRY != 0:
            return pfn
        fruitless = 0 if freed > 0 else fruitless + 1
        wake_all_kswapds(seg, me)
        if should_reclaim_retry(seg, fruitless) != 0:
            if freed == 0:
                left = leave_sections(seg, me)
                sleep_jiffy(seg, me)
                join_sections(seg, me, left)
            continue
        # The last look is at HIGH: it finds something only if somebody has been killed since.
        pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, ALLOC_WMARK_HIGH)
        if pfn != NO_PAGE or may_kill(gfp, order) == 0 or ask_killer(seg, me, gfp) == 0:
            return pfn
        fruitless = 0
    # Killed, or the load is over: what the reserves of a victim give, or nothing.
    reserve = gfp_pfmemalloc_flags(seg, gfp, me)
    return get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, ALLOC_WMARK_MIN | reserve)
