"""The allocator's slow path: what a request does that fails at LOW.

Holds   alloc_slowpath_reclaim(), bound to the allocator's hook.
Rule    wake kswapd; try at MIN, then with the reserves of who may eat them. A request without direct reclaim, made by
        a reclaimer, or on a machine that does not reclaim ends here; the rest is direct.py.
After   Linux mm/page_alloc.c: __alloc_pages_slowpath (KF 3.5).
"""

from emu.arch import jit_apart, load_relaxed
from emu.mm import (
    GFP_DIRECT_RECLAIM,
    GFP_KSWAPD_RECLAIM,
    NO_PAGE,
    alloc_slowpath,
    get_page_from_freelist,
    gfp_pfmemalloc_flags,
    gfp_to_alloc_flags,
)
from emu.shm import PF_MEMALLOC, PROC, RUN, proc_of, run_state
from emu.vmscan.direct import may_sleep_here, reclaim_until
from emu.vmscan.state import VMSCAN, vmscan_of
from emu.vmscan.wakeup import wake_all_kswapds


@jit_apart
def alloc_slowpath_reclaim(seg, me, pcp_cpu, gfp, order, migratetype):
    """A page, or NO_PAGE, for a request that failed at LOW. Any process; sleeps only for GFP_DIRECT_RECLAIM."""
    if gfp & GFP_KSWAPD_RECLAIM != 0:
        wake_all_kswapds(seg, me)
    flags = gfp_to_alloc_flags(seg, gfp, me)
    pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, flags)
    if pfn != NO_PAGE:
        return pfn
    reserve = gfp_pfmemalloc_flags(seg, gfp, me)
    if reserve != 0:
        pfn = get_page_from_freelist(seg, me, pcp_cpu, gfp, order, migratetype, reserve)
        if pfn != NO_PAGE:
            return pfn
    vmscan = vmscan_of(seg)
    if gfp & GFP_DIRECT_RECLAIM == 0 or seg[vmscan + VMSCAN.active] == 0 or run_state(seg) != RUN:
        return NO_PAGE
    if load_relaxed(seg, proc_of(seg, me) + PROC.flags) & PF_MEMALLOC != 0:
        return NO_PAGE
    if may_sleep_here(seg, me) == 0:
        return NO_PAGE
    return reclaim_until(seg, me, pcp_cpu, gfp, order, migratetype)


alloc_slowpath.bind(alloc_slowpath_reclaim)
