"""zram: where anonymous pages go, compressed: so many of them to a page of memory.

Rule    storing a page may need a page, from whoever reclaims: a kswapd that cannot get one skips the page. Pages of the
        store are in state PG_ZRAM; pages = ceil(stored / ratio) at most, and fall back after loads.
Limits  no data is compressed: the ratio is a setting, the cost of it burnt by the reclaimer (shrink.py).
After   Linux drivers/block/zram, mm/zsmalloc.c.
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import (
    GFP_NOWAIT,
    GFP_NOWARN,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PAGE,
    PG_TAKEN,
    PG_ZRAM,
    alloc_page,
    free_page,
    page_move,
    page_of,
)
from emu.stats import VM, count
from emu.sync import spin_lock, spin_unlock
from emu.vmscan.state import VMSCAN, vmscan_of


@jit
def zram_room(seg):
    """Pages that the store would still take: the free swap of this machine."""
    vmscan = vmscan_of(seg)
    return max(0, seg[vmscan + VMSCAN.zram_limit] - load_relaxed(seg, vmscan + VMSCAN.zram_stored))


@jit
def zram_take_entry(seg, me):
    """Reserve room for one more page: 1 if there is, 0 if the store is full, -1 if it needs a page of memory first."""
    vmscan = vmscan_of(seg)
    answer = 0
    spin_lock(seg, me, vmscan + VMSCAN.zram_lock)
    stored = seg[vmscan + VMSCAN.zram_stored]
    if stored < seg[vmscan + VMSCAN.zram_limit]:
        answer = -1
        if stored < seg[vmscan + VMSCAN.zram_pages] * seg[vmscan + VMSCAN.zram_ratio]:
            store_relaxed(seg, vmscan + VMSCAN.zram_stored, stored + 1)
            answer = 1
            if stored + 1 > seg[vmscan + VMSCAN.zram_peak]:
                seg[vmscan + VMSCAN.zram_peak] = stored + 1
    spin_unlock(seg, me, vmscan + VMSCAN.zram_lock)
    return answer


@jit
def zram_add_page(seg, me, pfn):
    """Give the store a page that `me` holds."""
    vmscan = vmscan_of(seg)
    page_move(seg, me, pfn, PG_TAKEN, PG_ZRAM, 0)
    spin_lock(seg, me, vmscan + VMSCAN.zram_lock)
    seg[page_of(seg, pfn) + PAGE.next] = seg[vmscan + VMSCAN.zram_head]
    seg[vmscan + VMSCAN.zram_head] = pfn
    store_relaxed(seg, vmscan + VMSCAN.zram_pages, seg[vmscan + VMSCAN.zram_pages] + 1)
    spin_unlock(seg, me, vmscan + VMSCAN.zram_lock)


@jit_apart
def zram_store(seg, me, pcp_cpu):
    """Room for one page more, allocating memory for it if need be. 1, or 0: the store is full, or memory is."""
    got = zram_take_entry(seg, me)
    while got < 0:
        pfn = alloc_page(seg, me, pcp_cpu, GFP_NOWAIT | GFP_NOWARN, MIGRATE_UNMOVABLE)
        if pfn == NO_PAGE:
            count(seg, me, VM.reclaim_page_fail)
            return 0
        count(seg, me, VM.reclaim_page_alloc)
        zram_add_page(seg, me, pfn)
        got = zram_take_entry(seg, me)
    return got


@jit_apart
def zram_free(seg, me, pcp_cpu):
    """One stored page was loaded or given up: free a page of memory once two are unused. Returns 0."""
    vmscan = vmscan_of(seg)
    spare = NO_PAGE
    spin_lock(seg, me, vmscan + VMSCAN.zram_lock)
    stored = seg[vmscan + VMSCAN.zram_stored] - 1
    store_relaxed(seg, vmscan + VMSCAN.zram_stored, stored)
    pages = seg[vmscan + VMSCAN.zram_pages]
    if pages > 0 and stored <= (pages - 2) * seg[vmscan + VMSCAN.zram_ratio]:
        spare = seg[vmscan + VMSCAN.zram_head]
        seg[vmscan + VMSCAN.zram_head] = seg[page_of(seg, spare) + PAGE.next]
        store_relaxed(seg, vmscan + VMSCAN.zram_pages, pages - 1)
    spin_unlock(seg, me, vmscan + VMSCAN.zram_lock)
    if spare != NO_PAGE:
        free_page(seg, me, pcp_cpu, spare, PG_ZRAM, 0)
    return 0
