"""Allocation and free by the kernel's path, of every order, over all zones.

Holds   alloc_pages(), free_pages(), the walk over the zonelist, and the lock-less pop that the thread was about.
Rule    the watermark test looks at NR_FREE_PAGES and comes before the PCP: a request can fail although its CPU has
        pages on its lists. First walk at LOW; then the slow path (hook alloc_slowpath), whose plain form is one walk at
        MIN, lowered by what the flags may eat (KF 3.3). Zones are walked in the order of the CPU's node.
        Each page of a block in somebody's hands is in state PG_TAKEN by itself: users move them one by one.
Limits  no cpusets, no zone_reclaim: a zone below its mark is passed over.
After   Linux mm/page_alloc.c: get_page_from_freelist, rmqueue, __alloc_pages; the lock-less pop: RFC 2/4 of
        2020-09-18, by the exact rule of KF 2.2.
"""

from emu.arch import Hook, jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.buddy import free_by_block_type, rmqueue, rmqueue_smallest
from emu.mm.deferred import free_deferred, free_later
from emu.mm.gfp import (
    ALLOC_HARDER,
    ALLOC_HIGHATOMIC,
    ALLOC_NO_LOCKS,
    ALLOC_NO_WATERMARKS,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_TRYLOCK,
    ALLOC_WMARK_HIGH,
    ALLOC_WMARK_LOW,
    CFG_MEMORY,
    GFP_DIRECT_RECLAIM,
    GFP_HIGH,
    GFP_MEMALLOC,
    GFP_NOMEMALLOC,
    GFP_THISNODE,
    GFP_ZERO,
    RESERVE_V63,
    cfg_memory,
    gfp_pfmemalloc_flags,
    gfp_to_alloc_flags,
)
from emu.mm.highatomic import reserve_highatomic
from emu.mm.node import NODE, node_of, node_of_cpu
from emu.mm.page import (
    MIGRATE_HIGHATOMIC,
    MIGRATE_PCPTYPES,
    NO_PAGE,
    OWNER_SHIFT,
    PAGE_WORDS,
    PG_TAKEN,
    address_of,
    page_move_owned,
    page_of,
    zone_index_of,
)
from emu.mm.pcp import free_to_pcp, pcp_of, pcp_take, pcp_trylock, pcp_unlock, rmqueue_pcplist
from emu.mm.zone import (
    PCP_V59,
    ZONE,
    ZONE_DMA,
    ZONE_DMA32,
    gfp_zone,
    wmark_pages,
    zone_free_add,
    zone_lock,
    zone_may_lock,
    zone_of,
    zone_trylock,
    zone_unlock,
    zone_watermark_fast,
    zone_watermark_ok,
)
from emu.shm import F_WATERMARK, HEADER, PF_MEMALLOC, PF_OOM_VICTIM, PF_RT, PROC, proc_of, raise_fault
from emu.stats import VM, count, count_n

# (seg, me, pcp_cpu, gfp, order, migratetype) -> first page or NO_PAGE: what follows when the walk at LOW has failed.
alloc_slowpath = Hook("alloc_slowpath", 5)


@jit
def count_alloc(seg, me, zone, pages):
    """Count pages handed out, by the kind of their zone."""
    kind = seg[zone + ZONE.kind]
    if kind == ZONE_DMA:
        count_n(seg, me, VM.pgalloc_dma, pages)
    elif kind == ZONE_DMA32:
        count_n(seg, me, VM.pgalloc_dma32, pages)
    else:
        count_n(seg, me, VM.pgalloc_normal, pages)


@jit
def take_reserved(seg, me, zone, order):
    """A block from the lists kept for high-order atomics, now held by `me`; NO_PAGE if none. Under zone->lock."""
    pfn = rmqueue_smallest(seg, me, zone, order, MIGRATE_HIGHATOMIC)
    if pfn != NO_PAGE:
        zone_free_add(seg, zone, -(1 << order))
        store_relaxed(seg, page_of(seg, pfn), PG_TAKEN | me << OWNER_SHIFT)
    return pfn


@jit_apart
def rmqueue_buddy(seg, me, zone, order, migratetype, alloc_flags):
    """A block straight from the free lists, each page held by `me`; NO_PAGE if none, or the lock is not free."""
    if alloc_flags & ALLOC_NO_LOCKS != 0:
        return NO_PAGE
    if alloc_flags & ALLOC_TRYLOCK != 0:
        if zone_trylock(seg, me, zone) == 0:
            count(seg, me, VM.zone_trylock_fail)
            return NO_PAGE
    else:
        if zone_may_lock(seg, me, zone) == 0:
            return NO_PAGE
        zone_lock(seg, me, zone)
    pfn = NO_PAGE
    if order > 0 and alloc_flags & ALLOC_HIGHATOMIC != 0:
        pfn = take_reserved(seg, me, zone, order)
    if pfn == NO_PAGE:
        pfn = rmqueue(seg, me, zone, order, migratetype)
        if pfn == NO_PAGE and alloc_flags & (ALLOC_OOM | ALLOC_NON_BLOCK | ALLOC_HARDER) != 0:
            pfn = take_reserved(seg, me, zone, order)
    zone_unlock(seg, me, zone)
    if pfn != NO_PAGE:
        for i in range(1 << order):
            store_relaxed(seg, page_of(seg, pfn + i), PG_TAKEN | me << OWNER_SHIFT)
    return pfn


@jit
def rmqueue_any(seg, me, zone, index, pcp_cpu, order, migratetype, alloc_flags):
    """A block of a zone: order 0 by the CPU's list, then (from rule v6.1 on) and else from the free lists."""
    if order > 0:
        return rmqueue_buddy(seg, me, zone, order, migratetype, alloc_flags)
    pfn = rmqueue_pcplist(seg, me, zone, pcp_of(seg, index, pcp_cpu), migratetype, alloc_flags)
    if pfn == NO_PAGE and seg[zone + ZONE.pcp_rule] != PCP_V59:
        pfn = rmqueue_buddy(seg, me, zone, 0, migratetype, alloc_flags)
    return pfn


@jit
def passes_mark(seg, zone, order, gfp, alloc_flags):
    """1 if the zone's free pages allow this request. A self-tuning PCP first notes whether HIGH is passed (v6.7 on)."""
    if alloc_flags & ALLOC_NO_WATERMARKS != 0:
        return 1
    if seg[zone + ZONE.auto_high] != 0 and load_relaxed(seg, zone + ZONE.below_high) == 0:
        high = wmark_pages(seg, zone, ALLOC_WMARK_HIGH)
        if zone_watermark_ok(seg, zone, order, high, gfp_zone(gfp), alloc_flags) != 0:
            return 1
        store_relaxed(seg, zone + ZONE.below_high, 1)
    return zone_watermark_fast(seg, zone, order, gfp, alloc_flags)


@jit_apart
def get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, alloc_flags):
    """One walk over the zonelist: first page of a block of 2^order, all PG_TAKEN by `me`; NO_PAGE if no zone gives one.

    alloc_flags: ALLOC_*, with one of ALLOC_WMARK_*. With ALLOC_NO_LOCKS the CPU's lists alone are asked, with
    ALLOC_TRYLOCK no lock is waited for: both legal where the caller may not spin.
    """
    node = node_of(seg, node_of_cpu(seg, pcp_cpu))
    highest = gfp_zone(gfp)
    zones = seg[node + NODE.nr_zones]
    if gfp & GFP_THISNODE != 0:
        zones = seg[node + NODE.own_zones]
    for at in range(zones):
        index = seg[node + NODE.zonelist + at]
        zone = zone_of(seg, index)
        if seg[zone + ZONE.kind] > highest:
            continue
        free_before = load_relaxed(seg, zone + ZONE.nr_free)
        if passes_mark(seg, zone, order, gfp, alloc_flags) == 0:
            continue
        pfn = rmqueue_any(seg, me, zone, index, pcp_cpu, order, migratetype, alloc_flags)
        if pfn == NO_PAGE:
            continue
        count_alloc(seg, me, zone, 1 << order)
        if order == 0:
            check_floor(seg, me, zone, gfp, free_before)
        elif alloc_flags & ALLOC_HIGHATOMIC != 0:
            reserve_highatomic(seg, me, zone, pfn)
        if gfp & GFP_ZERO != 0:
            clear_pages(seg, pfn, order)
        return pfn
    return NO_PAGE


@jit
def clear_pages(seg, pfn, order):
    """Zero a block that the caller holds."""
    at = address_of(pfn)
    for i in range(PAGE_WORDS << order):
        seg[at + i] = 0


@jit
def check_floor(seg, me, zone, gfp, free_before):
    """Invariants 5 and 8: no order-0 request got a page by this path at or below the floor of its flags.

    Computed apart from the watermark test, from MIN, the lowmem reserve and the table of KF 3.3, and against a free
    count that was read before the test; frees by others in between are why it is the floor that is checked.
    """
    mine = load_relaxed(seg, proc_of(seg, me) + PROC.flags)
    if seg[HEADER.verify] == 0 or gfp & GFP_MEMALLOC != 0 or mine & PF_MEMALLOC != 0:
        return
    newer = seg[cfg_memory(seg) + CFG_MEMORY.reserve_rule] == RESERVE_V63
    minimum = seg[zone + ZONE.wmark_min]
    eighths = 8
    if gfp & GFP_HIGH != 0:
        eighths = 4
        if gfp & GFP_DIRECT_RECLAIM == 0 and gfp & GFP_NOMEMALLOC == 0:
            eighths = 3
    if mine & PF_RT != 0 and gfp & GFP_DIRECT_RECLAIM != 0:
        eighths = min(eighths, 4) if newer else eighths * 3 // 4
    if mine & PF_OOM_VICTIM != 0 and gfp & GFP_NOMEMALLOC == 0:
        eighths = min(eighths, 4)
    floor = minimum * eighths // 8 + seg[zone + ZONE.lowmem_reserve + gfp_zone(gfp)]
    # One unit of slack for the kernel's two roundings (m -= m/2, m -= m/4); a racing free can only help the caller.
    if free_before + 2 <= floor and load_relaxed(seg, zone + ZONE.nr_free) + 2 <= floor:
        raise_fault(seg, me, F_WATERMARK, free_before, floor, seg[zone + ZONE.index])


@jit_apart
def alloc_once_more(seg, me, pcp_cpu, gfp, order, migratetype):
    """The slow path without reclaim: a walk at MIN, one with the reserves that the process may eat, then failure."""
    pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, gfp_to_alloc_flags(seg, gfp, me))
    if pfn != NO_PAGE:
        return pfn
    reserves = gfp_pfmemalloc_flags(seg, gfp, me)
    if reserves == 0:
        return NO_PAGE
    return get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, reserves)


alloc_slowpath.bind(alloc_once_more)


@jit_apart
def alloc_pages(seg, me, pcp_cpu, gfp, order, migratetype):
    """First page of a block of 2^order, each page in state PG_TAKEN by `me`, or NO_PAGE. Runs as CPU `pcp_cpu`."""
    pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, ALLOC_WMARK_LOW)
    if pfn == NO_PAGE:
        pfn = alloc_slowpath(seg, me, pcp_cpu, gfp, order, migratetype)
        if pfn == NO_PAGE:
            count(seg, me, VM.pgalloc_fail)
    return pfn


@jit_apart
def alloc_page(seg, me, pcp_cpu, gfp, migratetype):
    """One page for process `me`, in state PG_TAKEN, or NO_PAGE. Runs as CPU `pcp_cpu` of the machine."""
    return alloc_pages(seg, me, pcp_cpu, gfp, 0, migratetype)


@jit_apart
def free_to_zone(seg, me, zone, pfn, order, nolock):
    """Give a block that `me` holds straight to the free lists, with what others had to leave behind.

    nolock 1: never waits; where zone->lock is not free the block is left to the next ordinary free of the zone.
    """
    if nolock == 0 and zone_may_lock(seg, me, zone) != 0:
        zone_lock(seg, me, zone)
        free_deferred(seg, me, zone)
    elif zone_trylock(seg, me, zone) == 0:
        free_later(seg, me, zone, pfn, order)
        return 0
    free_by_block_type(seg, me, zone, pfn, order)
    zone_unlock(seg, me, zone)
    return 0


@jit
def release_pages(seg, me, pfn, order, was, was_owner):
    """Take every page of a block out of state `was` of `was_owner`; 0 after a fault at the first that is not in it."""
    for i in range(1 << order):
        if page_move_owned(seg, me, pfn + i, was, was_owner, PG_TAKEN, me) == 0:
            return 0
    count_n(seg, me, VM.pgfree, 1 << order)
    return 1


@jit
def free_held(seg, me, pcp_cpu, pfn, order, nolock):
    """Free a block that `me` holds: order 0 to the CPU's list; to the buddy if pcp->lock is held, and any other."""
    index = zone_index_of(seg, pfn)
    zone = zone_of(seg, index)
    if order == 0:
        pcp = pcp_of(seg, index, pcp_cpu)
        if pcp_trylock(seg, me, zone, pcp) != 0:
            free_to_pcp(seg, me, zone, pcp, pfn, 1 - nolock)
            pcp_unlock(seg, me, zone, pcp)
            return
    free_to_zone(seg, me, zone, pfn, order, nolock)


@jit_apart
def free_page(seg, me, pcp_cpu, pfn, was, was_owner):
    """Free a page in state `was` with owner `was_owner`; anything else is a double or foreign free, and faults."""
    if release_pages(seg, me, pfn, 0, was, was_owner) != 0:
        free_held(seg, me, pcp_cpu, pfn, 0, 0)
    return 0


@jit_apart
def free_pages(seg, me, pcp_cpu, pfn, order, was, was_owner):
    """Free a block of 2^order pages, every one of them in state `was` with owner `was_owner`."""
    if release_pages(seg, me, pfn, order, was, was_owner) != 0:
        free_held(seg, me, pcp_cpu, pfn, order, 0)
    return 0


@jit
def alloc_page_lockless(seg, me, pcp_cpu):
    """Pop a page from this CPU's lists, or NO_PAGE: no lock, no watermark, any migratetype, whatever it costs others.

    Zones in zonelist order, types in index order; page accounting as an allocation. Legal in every context.
    """
    node = node_of(seg, node_of_cpu(seg, pcp_cpu))
    for at in range(seg[node + NODE.nr_zones]):
        index = seg[node + NODE.zonelist + at]
        pcp = pcp_of(seg, index, pcp_cpu)
        for kind in range(MIGRATE_PCPTYPES):
            pfn = pcp_take(seg, me, pcp, kind)
            if pfn != NO_PAGE:
                count_alloc(seg, me, zone_of(seg, index), 1)
                return pfn
    return NO_PAGE
