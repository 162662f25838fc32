"""Per-CPU page lists: order-0 pages in front of a zone, on strictly lock-free stacks.

Holds   PCP, take and put, refill and drain in batches under one hold of zone->lock, the three sizing rules.
Rule    one stack per migratetype; `count` is the sum of their depths, so it cannot disagree with them. Anyone may
        take or put at any instant: mutator and workers of a CPU preempt each other anywhere. A page on a
        list is in state PG_PCP and not in zone.nr_free: refill and drain move nr_free under the lock.
        From rule v6.1 on the kernel's paths hold pcp->lock, by trylock: who fails goes to the buddy. The stacks do not
        need it; it is there to be contended. The lock-less pop goes past it.
        The tuning words (high, alloc_factor, free_count, free_factor) are hints: raced updates cost precision only.
Limits  order 0 only, where newer kernels keep orders 0..3 and THP: higher orders go to the buddy. A drain takes from
        the top, where the kernel takes the oldest pages from the tail: a stack gives up one end only. It changes
        which pages leave, never how many.
After   Linux mm/page_alloc.c: rmqueue_pcplist, nr_pcp_alloc, nr_pcp_free, nr_pcp_high (KF 3.4).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.buddy import free_by_block_type, rmqueue_run
from emu.mm.gfp import ALLOC_NO_LOCKS, ALLOC_TRYLOCK, ALLOC_WMARK_HIGH
from emu.mm.page import (
    MIGRATE_MOVABLE,
    MIGRATE_PCPTYPES,
    NO_PAGE,
    PAGE,
    PG_PCP,
    PG_TAKEN,
    page_links,
    page_move,
    pageblock_type,
)
from emu.mm.zone import (
    PCP_V59,
    PCP_V61,
    PCP_V67,
    ZONE,
    wmark_pages,
    zone_lock,
    zone_may_lock,
    zone_trylock,
    zone_unlock,
)
from emu.ring import stack_count, stack_pop, stack_pop_many, stack_push, stack_push_many
from emu.shm import MAP, line, region, struct
from emu.stats import VM, count, count_n
from emu.sync import LOCK, spin_lock_timed, spin_trylock_timed, spin_unlock_timed
from emu.trace import EV, trace_event

PCP = struct(
    "pcp",
    line("anyone, by compare-and-swap", ("lists", MIGRATE_PCPTYPES)),
    line("processes of this CPU, as hints", "high", "alloc_factor", "free_count", "free_factor"),
    line("pcp->lock", ("lock", LOCK.SIZE)),
)

PCP_BATCH_SCALE_MAX = 5
BATCH_LIMIT = 63 << PCP_BATCH_SCALE_MAX  # the most pages moved under one hold of zone->lock
SCRATCH_WORDS = 2048  # private words per process for page numbers in flight
assert SCRATCH_WORDS >= BATCH_LIMIT


@jit
def pcp_of(seg, zone_index, pcp_cpu):
    """Word offset of a CPU's page lists in a zone."""
    return region(seg, MAP.pcp) + (zone_index * region(seg, MAP.nr_pcp_cpus) + pcp_cpu) * PCP.SIZE


@jit
def scratch_of(seg, me):
    """Private words of process `me`."""
    return region(seg, MAP.scratch) + me * SCRATCH_WORDS


@jit
def pcp_count(seg, pcp):
    """Pages on the CPU's lists in this zone."""
    links = page_links(seg)
    total = 0
    for kind in range(MIGRATE_PCPTYPES):
        total += stack_count(seg, pcp + PCP.lists + kind, links, PAGE.SIZE)
    return total


@jit
def pcp_take(seg, me, pcp, migratetype):
    """Top page of one list, now held by `me`; NO_PAGE if it is empty. Lock-free, anyone. IRQs-off pop of the kernel."""
    pfn = stack_pop(seg, pcp + PCP.lists + migratetype, page_links(seg), PAGE.SIZE)
    if pfn < 0:
        return NO_PAGE
    page_move(seg, me, pfn, PG_PCP, PG_TAKEN, me)
    return pfn


@jit
def pcp_put(seg, me, pcp, pfn, migratetype):
    """Put a page that `me` holds on top of a list. Lock-free, anyone."""
    if page_move(seg, me, pfn, PG_TAKEN, PG_PCP, 0) != 0:
        stack_push(seg, pcp + PCP.lists + migratetype, page_links(seg), PAGE.SIZE, pfn)


@jit
def pcp_trylock(seg, me, zone, pcp):
    """1 if the kernel's paths may use the list now: pcp->lock was free, or the rule knows no such lock."""
    if seg[zone + ZONE.pcp_rule] == PCP_V59:
        return 1
    if spin_trylock_timed(seg, me, pcp + PCP.lock) == 0:
        count(seg, me, VM.pcp_lock_contended)
        return 0
    return 1


@jit
def pcp_lock(seg, me, zone, pcp):
    """Take pcp->lock, where the rule knows it: for drains. Before zone->lock."""
    if seg[zone + ZONE.pcp_rule] != PCP_V59:
        spin_lock_timed(seg, me, pcp + PCP.lock)


@jit
def pcp_unlock(seg, me, zone, pcp):
    """Release what pcp_trylock() or pcp_lock() took."""
    if seg[zone + ZONE.pcp_rule] != PCP_V59:
        spin_unlock_timed(seg, me, pcp + PCP.lock)


@jit_apart
def rmqueue_bulk(seg, me, zone, migratetype, want, dst, alloc_flags):
    """Take up to `want` pages from the buddy under one hold of zone->lock into words dst..; returns how many.

    With ALLOC_TRYLOCK none if the lock is not free.
    """
    if alloc_flags & ALLOC_TRYLOCK != 0:
        if zone_trylock(seg, me, zone) == 0:
            count(seg, me, VM.zone_trylock_fail)
            return 0
    else:
        if zone_may_lock(seg, me, zone) == 0:
            return 0
        zone_lock(seg, me, zone)
    got = 0
    while got < want:
        taken = rmqueue_run(seg, me, zone, migratetype, want - got, dst + got)
        if taken == 0:
            break
        got += taken
    zone_unlock(seg, me, zone)
    return got


@jit_apart
def free_pcppages_bulk(seg, me, zone, src, pages):
    """Give the pages in words src.. back to the buddy under one hold of zone->lock."""
    zone_lock(seg, me, zone)
    for i in range(pages):
        free_by_block_type(seg, me, zone, seg[src + i], 0)
    zone_unlock(seg, me, zone)
    return 0


@jit
def nr_pcp_alloc(seg, zone, pcp):
    """How many pages to take on a miss: one batch, or more for a CPU that misses again and again (v6.7 on)."""
    batch = seg[zone + ZONE.batch]
    if seg[zone + ZONE.auto_high] == 0:
        return min(batch, BATCH_LIMIT)
    high = min(max(load_relaxed(seg, pcp + PCP.high), seg[zone + ZONE.high_min]), seg[zone + ZONE.high_max])
    if high < batch:
        return 1
    factor = load_relaxed(seg, pcp + PCP.alloc_factor)
    want = batch << factor
    if load_relaxed(seg, zone + ZONE.below_high) == 0:
        high = min(high + want, seg[zone + ZONE.high_max])
    store_relaxed(seg, pcp + PCP.high, high)
    room = max(high - pcp_count(seg, pcp) - batch, batch)
    if want <= room and factor < PCP_BATCH_SCALE_MAX:
        store_relaxed(seg, pcp + PCP.alloc_factor, factor + 1)
    return min(want, room, BATCH_LIMIT)


@jit
def take_or_refill(seg, me, zone, pcp, migratetype, alloc_flags):
    """A page of the CPU's list, which is refilled when empty; NO_PAGE if that brought none, or is not allowed."""
    rule = seg[zone + ZONE.pcp_rule]
    if rule == PCP_V61:
        store_relaxed(seg, pcp + PCP.free_factor, load_relaxed(seg, pcp + PCP.free_factor) >> 1)
    elif rule == PCP_V67:
        freed = load_relaxed(seg, pcp + PCP.free_count)
        if freed != 0:
            store_relaxed(seg, pcp + PCP.free_count, freed >> 1)
    pfn = pcp_take(seg, me, pcp, migratetype)
    if pfn != NO_PAGE or alloc_flags & ALLOC_NO_LOCKS != 0:
        return pfn
    dst = scratch_of(seg, me)
    want = nr_pcp_alloc(seg, zone, pcp)
    got = rmqueue_bulk(seg, me, zone, migratetype, want, dst, alloc_flags)
    if got == 0:
        return NO_PAGE
    count_n(seg, me, VM.pcp_refill_pages, got)
    for i in range(1, got):
        page_move(seg, me, seg[dst + i], PG_TAKEN, PG_PCP, 0)
    if got > 1:
        stack_push_many(seg, pcp + PCP.lists + migratetype, page_links(seg), PAGE.SIZE, dst + 1, got - 1)
    return seg[dst]


@jit_apart
def rmqueue_pcplist(seg, me, zone, pcp, migratetype, alloc_flags):
    """A page by way of the CPU's list; NO_PAGE if pcp->lock is held, or neither list nor zone has one."""
    if pcp_trylock(seg, me, zone, pcp) == 0:
        return NO_PAGE
    pfn = take_or_refill(seg, me, zone, pcp, migratetype, alloc_flags)
    pcp_unlock(seg, me, zone, pcp)
    return pfn


@jit_apart
def pcp_drain(seg, me, zone, pcp, pages):
    """Move up to `pages` pages (BATCH_LIMIT at most) from the lists to the buddy, the fullest list first; how many."""
    if zone_may_lock(seg, me, zone) == 0:
        return 0  # the list stays over `high`, as after free_pages_nolock()
    pages = min(pages, BATCH_LIMIT)
    dst = scratch_of(seg, me)
    links = page_links(seg)
    got = 0
    while got < pages:
        best = 0
        depth = 0
        for kind in range(MIGRATE_PCPTYPES):
            here = stack_count(seg, pcp + PCP.lists + kind, links, PAGE.SIZE)
            if here > depth:
                depth = here
                best = kind
        if depth == 0:
            break
        got += stack_pop_many(seg, pcp + PCP.lists + best, links, PAGE.SIZE, dst + got, min(pages - got, depth))
    if got == 0:
        return 0
    for i in range(got):
        page_move(seg, me, seg[dst + i], PG_PCP, PG_TAKEN, me)
    free_pcppages_bulk(seg, me, zone, dst, got)
    count_n(seg, me, VM.pcp_drain_pages, got)
    trace_event(seg, me, EV.mm_page_pcpu_drain, seg[dst], got)
    return got


@jit
def nr_pcp_high(seg, zone, pcp):
    """How many pages the list may hold at this free. From rule v6.1 on less while kswapd frees pages in the zone."""
    rule = seg[zone + ZONE.pcp_rule]
    high = load_relaxed(seg, pcp + PCP.high)
    if rule == PCP_V59:
        return high
    batch = seg[zone + ZONE.batch]
    active = load_relaxed(seg, zone + ZONE.reclaim_active)
    if rule == PCP_V61:
        return min(batch << 2, high) if active != 0 else high
    high_min = seg[zone + ZONE.high_min]
    high_max = seg[zone + ZONE.high_max]
    high = min(max(high, high_min), high_max)
    shrunk = max(high - max(load_relaxed(seg, pcp + PCP.free_count), batch), high_min)
    if active != 0:
        store_relaxed(seg, pcp + PCP.high, shrunk)
        return min(batch << 2, shrunk)
    if high_min != high_max and load_relaxed(seg, zone + ZONE.below_high) != 0:
        store_relaxed(seg, pcp + PCP.high, shrunk)
        return max(pcp_count(seg, pcp), high_min)
    return high


@jit
def nr_pcp_free(seg, zone, pcp, high):
    """How many pages go at once when the list has reached `high`."""
    rule = seg[zone + ZONE.pcp_rule]
    batch = seg[zone + ZONE.batch]
    if rule == PCP_V59:
        return batch
    if high < batch:
        return 1
    most = max(high - batch, batch)
    if rule == PCP_V61:
        factor = load_relaxed(seg, pcp + PCP.free_factor)
        pages = batch << factor
        if pages < most:
            store_relaxed(seg, pcp + PCP.free_factor, factor + 1)
    else:
        pages = load_relaxed(seg, pcp + PCP.free_count)
    return min(max(pages, batch), most)


@jit
def free_to_pcp(seg, me, zone, pcp, pfn, may_drain):
    """Free a page that `me` holds to the CPU's list of its pageblock's type, draining when the list is over `high`.

    Under pcp->lock where the rule knows it. may_drain 0: the list may grow, no other lock is taken.
    """
    migratetype = pageblock_type(seg, pfn)
    if migratetype >= MIGRATE_PCPTYPES:
        migratetype = MIGRATE_MOVABLE
    pcp_put(seg, me, pcp, pfn, migratetype)
    if seg[zone + ZONE.pcp_rule] == PCP_V67:
        store_relaxed(seg, pcp + PCP.alloc_factor, load_relaxed(seg, pcp + PCP.alloc_factor) >> 1)
        most = seg[zone + ZONE.batch] << PCP_BATCH_SCALE_MAX
        store_relaxed(seg, pcp + PCP.free_count, min(load_relaxed(seg, pcp + PCP.free_count) + 1, most))
    if may_drain == 0:
        return
    high = nr_pcp_high(seg, zone, pcp)
    if pcp_count(seg, pcp) >= high:
        pcp_drain(seg, me, zone, pcp, nr_pcp_free(seg, zone, pcp, high))
        if load_relaxed(seg, zone + ZONE.below_high) != 0:
            # relaxed: a hint, as the kernel's bit
            if load_relaxed(seg, zone + ZONE.nr_free) > wmark_pages(seg, zone, ALLOC_WMARK_HIGH):
                store_relaxed(seg, zone + ZONE.below_high, 0)


@jit
def drain_pages_zone(seg, me, zone, pcp):
    """Give every page of a CPU's lists in one zone back to the buddy; how many. Anyone."""
    left = pcp_count(seg, pcp)
    if left == 0:
        return 0
    drained = 0
    pcp_lock(seg, me, zone, pcp)
    while left > 0:
        got = pcp_drain(seg, me, zone, pcp, left)
        if got == 0:
            break
        drained += got
        left -= got
    pcp_unlock(seg, me, zone, pcp)
    return drained


@jit_apart
def pcp_decay(seg, me, zone, pcp):
    """What the vmstat worker does each second to a self-tuned list: high -= high/8, drain the excess (v6.7 on)."""
    high_min = seg[zone + ZONE.high_min]
    high = load_relaxed(seg, pcp + PCP.high)
    most = min(seg[zone + ZONE.batch] << PCP_BATCH_SCALE_MAX, BATCH_LIMIT)  # drained in one go
    if high > high_min:
        high = max(pcp_count(seg, pcp) - most, high - (high >> 3), high_min)
        store_relaxed(seg, pcp + PCP.high, high)
    excess = pcp_count(seg, pcp) - high
    if excess <= 0:
        return 0
    pcp_lock(seg, me, zone, pcp)
    drained = pcp_drain(seg, me, zone, pcp, min(excess, most))
    pcp_unlock(seg, me, zone, pcp)
    return drained
