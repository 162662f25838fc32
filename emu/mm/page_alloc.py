"""Order-0 allocation and free by the kernel's path.

Holds   alloc_page(), free_page(), and the lock-less pop that the thread was about.
Rule    the watermark test looks at NR_FREE_PAGES and comes before the PCP: a request can fail although its CPU has
        pages on its lists. First pass at LOW; second at MIN, lowered by what the flags may eat (KF 3.3).
        Zones are walked in zonelist order.
Limits  no reclaim yet: a request that may reclaim fails where the kernel would start reclaiming.
After   Linux mm/page_alloc.c: get_page_from_freelist, __alloc_pages_slowpath; the lock-less pop: RFC 2/4 of
        2020-09-18, by the exact rule of KF 2.2.
"""

from emu.arch import jit, jit_apart, load_relaxed
from emu.mm.page import MIGRATE_PCPTYPES, NO_PAGE, PG_TAKEN, page_move_owned, zone_index_of
from emu.mm.pcp import free_to_pcp, pcp_of, pcp_take, rmqueue_pcplist
from emu.mm.zone import (
    GFP_DIRECT_RECLAIM,
    GFP_HIGH,
    GFP_MEMALLOC,
    GFP_NOMEMALLOC,
    ZONE,
    mark_for,
    zone_of,
    zone_watermark_ok,
)
from emu.shm import F_WATERMARK, HEADER, MAP, raise_fault, region
from emu.stats import VM, count


@jit
def get_page_from_freelist(seg, me, pcp_cpu, gfp, migratetype, first_pass):
    """One walk over the zonelist; NO_PAGE if no zone passes its mark and has a page."""
    for index in range(region(seg, MAP.nr_zones)):
        zone = zone_of(seg, index)
        mark = mark_for(seg, zone, gfp, first_pass)
        free_before = load_relaxed(seg, zone + ZONE.nr_free)
        if zone_watermark_ok(seg, zone, mark) == 0:
            continue
        pfn = rmqueue_pcplist(seg, me, zone, pcp_of(seg, index, pcp_cpu), migratetype)
        if pfn != NO_PAGE:
            check_floor(seg, me, zone, gfp, free_before)
            return pfn
    return NO_PAGE


@jit
def check_floor(seg, me, zone, gfp, free_before):
    """Invariant 5: no order-0 request got a page by this path at or below the floor of its flags.

    Computed apart from mark_for(), from MIN and the table of KF 3.3, and against a free count that was read
    before the test; frees by others in between are why it is the floor that is checked, not the pass's mark.
    """
    if seg[HEADER.verify] == 0 or gfp & GFP_MEMALLOC != 0:
        return
    minimum = seg[zone + ZONE.wmark_min]
    eighths = 8
    if gfp & GFP_HIGH != 0:
        eighths = 4
        if gfp & GFP_DIRECT_RECLAIM == 0 and gfp & GFP_NOMEMALLOC == 0:
            eighths = 3
    floor = minimum * eighths // 8
    # One unit of slack for the kernel's two roundings (m -= m/2, m -= m/4); a racing free can only help the caller.
    if free_before + 2 <= floor and load_relaxed(seg, zone + ZONE.nr_free) + 2 <= floor:
        raise_fault(seg, me, F_WATERMARK, free_before, floor, seg[zone + ZONE.index])


@jit_apart
def alloc_page(seg, me, pcp_cpu, gfp, migratetype):
    """One page for process `me`, in state PG_TAKEN, or NO_PAGE. Runs as CPU `pcp_cpu` of the machine."""
    pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, migratetype, 1)
    if pfn == NO_PAGE:
        pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, migratetype, 0)
    if pfn == NO_PAGE:
        count(seg, me, VM.pgalloc_fail)
    else:
        count(seg, me, VM.pgalloc_normal)
    return pfn


@jit_apart
def free_page(seg, me, pcp_cpu, pfn, was, was_owner):
    """Free a page in state `was` with owner `was_owner`; anything else is a double or foreign free, and faults."""
    if page_move_owned(seg, me, pfn, was, was_owner, PG_TAKEN, me) == 0:
        return 0
    index = zone_index_of(seg, pfn)
    count(seg, me, VM.pgfree)
    free_to_pcp(seg, me, zone_of(seg, index), pcp_of(seg, index, pcp_cpu), pfn)
    return 0


@jit
def alloc_page_lockless(seg, me, pcp_cpu):
    """Pop a page from this CPU's lists, or NO_PAGE: no lock, no watermark, any migratetype, whatever it costs others.

    Zones in zonelist order, types in index order; page accounting as an allocation. Legal in every context.
    """
    for index in range(region(seg, MAP.nr_zones)):
        pcp = pcp_of(seg, index, pcp_cpu)
        for kind in range(MIGRATE_PCPTYPES):
            pfn = pcp_take(seg, me, pcp, kind)
            if pfn != NO_PAGE:
                count(seg, me, VM.pgalloc_normal)
                return pfn
    return NO_PAGE
