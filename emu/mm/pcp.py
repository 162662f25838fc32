"""Per-CPU page lists: order-0 pages in front of a zone, on strictly lock-free stacks.

Holds   PCP, take and put, refill and drain in batches under one hold of zone->lock, both sizing rules.
Rule    one stack per migratetype; `count` is the sum of their depths, so it cannot disagree with them. Anyone may
        take or put at any instant: mutator and workers of a CPU preempt each other anywhere. A page on a
        list is in state PG_PCP and not in zone.nr_free: refill and drain move nr_free under the lock.
        The tuning words (high, alloc_factor, free_count) are hints: raced updates cost precision only.
Limits  drain takes from the top, where the kernel takes the oldest pages from the tail: a stack gives up one end
        only. It changes which pages leave, never how many.
After   Linux mm/page_alloc.c: rmqueue_pcplist, nr_pcp_alloc, nr_pcp_free, nr_pcp_high (KF 3.4).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.buddy import free_by_block_type, rmqueue_run
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
from emu.mm.zone import ZONE, zone_lock, zone_unlock
from emu.ring import stack_count, stack_pop, stack_pop_many, stack_push, stack_push_many
from emu.shm import MAP, line, region, struct
from emu.stats import VM, count_n
from emu.trace import EV, trace_event

PCP = struct(
    "pcp",
    line("anyone, by compare-and-swap", ("lists", MIGRATE_PCPTYPES)),
    line("processes of this CPU, as hints", "high", "alloc_factor", "free_count"),
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


@jit_apart
def rmqueue_bulk(seg, me, zone, migratetype, want, dst):
    """Take up to `want` pages from the buddy under one hold of zone->lock into words dst..; returns how many."""
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
    factor = load_relaxed(seg, pcp + PCP.alloc_factor)
    want = batch << factor
    high = min(load_relaxed(seg, pcp + PCP.high) + want, seg[zone + ZONE.high_max])
    store_relaxed(seg, pcp + PCP.high, high)
    room = max(high - pcp_count(seg, pcp) - batch, batch)
    if want <= room and factor < PCP_BATCH_SCALE_MAX:
        store_relaxed(seg, pcp + PCP.alloc_factor, factor + 1)
    return min(want, room, BATCH_LIMIT)


@jit
def rmqueue_pcplist(seg, me, zone, pcp, migratetype):
    """A page by way of the CPU's list, which is refilled by a batch when empty; NO_PAGE if the zone has none."""
    if seg[zone + ZONE.auto_high] != 0:
        freed = load_relaxed(seg, pcp + PCP.free_count)
        if freed != 0:
            store_relaxed(seg, pcp + PCP.free_count, freed >> 1)
    pfn = pcp_take(seg, me, pcp, migratetype)
    if pfn != NO_PAGE:
        return pfn
    dst = scratch_of(seg, me)
    want = nr_pcp_alloc(seg, zone, pcp)
    got = rmqueue_bulk(seg, me, zone, migratetype, want, dst)
    if got == 0:
        return NO_PAGE
    count_n(seg, me, VM.pcp_refill_pages, got)
    for i in range(1, got):
        page_move(seg, me, seg[dst + i], PG_TAKEN, PG_PCP, 0)
    if got > 1:
        stack_push_many(seg, pcp + PCP.lists + migratetype, page_links(seg), PAGE.SIZE, dst + 1, got - 1)
    return seg[dst]


@jit_apart
def pcp_drain(seg, me, zone, pcp, pages):
    """Move up to `pages` pages (BATCH_LIMIT at most) from the lists to the buddy, the fullest list first; how many."""
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
def free_to_pcp(seg, me, zone, pcp, pfn):
    """Free a page that `me` holds to the CPU's list of its pageblock's type, draining when the list is over `high`."""
    migratetype = pageblock_type(seg, pfn)
    if migratetype >= MIGRATE_PCPTYPES:
        migratetype = MIGRATE_MOVABLE
    pcp_put(seg, me, pcp, pfn, migratetype)
    batch = seg[zone + ZONE.batch]
    high = load_relaxed(seg, pcp + PCP.high)
    if seg[zone + ZONE.auto_high] == 0:
        if pcp_count(seg, pcp) >= high:
            pcp_drain(seg, me, zone, pcp, batch)
        return
    store_relaxed(seg, pcp + PCP.alloc_factor, load_relaxed(seg, pcp + PCP.alloc_factor) >> 1)
    freed = min(load_relaxed(seg, pcp + PCP.free_count) + 1, batch << PCP_BATCH_SCALE_MAX)
    store_relaxed(seg, pcp + PCP.free_count, freed)
    if pcp_count(seg, pcp) >= high:
        pcp_drain(seg, me, zone, pcp, min(max(freed, batch), max(high - batch, batch), BATCH_LIMIT))


@jit_apart
def pcp_decay(seg, me, zone, pcp):
    """What the vmstat worker does each second to a self-tuned list: high -= high/8, drain the excess (v6.7 on)."""
    high_min = seg[zone + ZONE.high_min]
    high = load_relaxed(seg, pcp + PCP.high)
    if high > high_min:
        most = seg[zone + ZONE.batch] << PCP_BATCH_SCALE_MAX  # drained in one go, so `high` stays within reach
        high = max(pcp_count(seg, pcp) - most, high - (high >> 3), high_min)
        store_relaxed(seg, pcp + PCP.high, high)
    excess = pcp_count(seg, pcp) - high
    if excess > 0:
        return pcp_drain(seg, me, zone, pcp, min(excess, seg[zone + ZONE.batch] << PCP_BATCH_SCALE_MAX, BATCH_LIMIT))
    return 0
