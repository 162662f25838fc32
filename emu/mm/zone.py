"""A zone: its marks, its free count, its lock, and the watermark test.

Holds   ZONE, the watermark test of any order with the floors of KF 3.3.
Rule    nr_free moves under zone->lock only and is read anywhere (relaxed: the kernel's test is as racy). Pages on
        PCP lists are not in it.
After   Linux include/linux/mmzone.h, __zone_watermark_ok() and zone_watermark_fast() in mm/page_alloc.c.
"""

from emu.arch import jit, load_relaxed, store_relaxed
from emu.mm.gfp import (
    ALLOC_HARDER,
    ALLOC_HIGHATOMIC,
    ALLOC_MIN_RESERVE,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_RESERVES,
    ALLOC_WMARK_MASK,
    ALLOC_WMARK_MIN,
    GFP_DMA,
    GFP_DMA32,
    GFP_HIGH,
)
from emu.mm.page import MIGRATE_HIGHATOMIC, MIGRATE_PCPTYPES, MIGRATE_TYPES
from emu.shm import MAP, line, region, struct
from emu.stats import HIST, hist_record
from emu.sync import LC, LOCK, may_acquire, spin_lock_timed, spin_trylock_timed, spin_unlock_timed

NR_ORDERS = 11  # orders 0..10
NR_LISTS = NR_ORDERS * MIGRATE_TYPES
ZONE_DMA, ZONE_DMA32, ZONE_NORMAL = 0, 1, 2  # ZONE.kind, and an index into lowmem_reserve
ZONE_NAMES = ("DMA", "DMA32", "NORMAL")
MAX_NR_ZONES = len(ZONE_NAMES)
PCP_V59, PCP_V61, PCP_V67 = 0, 1, 2  # ZONE.pcp_rule
PCP_RULES = {"v5.9": PCP_V59, "v6.1": PCP_V61, "v6.7": PCP_V67}

ZONE = struct(
    "zone",
    line("boot()", "index", "node", "kind", "start_pfn", "end_pfn", "managed", "wmark_min", "wmark_low", "wmark_high",
         "batch", "high_min", "high_max", "auto_high", "pcp_rule", "boost_max", "highatomic_max"),
    # added to a mark when the request could have used the zone of this kind
    line("boot()", ("lowmem_reserve", MAX_NR_ZONES)),
    line("zone->lock", ("lock", LOCK.SIZE)),
    line("zone->lock", "nr_free", "nr_free_min", "nr_reserved_highatomic", "nr_free_highatomic", "boost"),
    line("zone->lock", ("orders", MIGRATE_TYPES)),  # bit per order with a free block, by migratetype
    line("zone->lock", ("free_head", NR_LISTS)),
    line("zone->lock", ("free_count", NR_LISTS)),
    # below_high: nr_free was seen at or below HIGH; reclaim_active: kswapd frees here; boosted: kswapd is wanted
    line("anyone, as hints", "below_high", "reclaim_active", "boosted"),
    line("anyone, by compare-and-swap", "trylock_free"),  # pages that a free without zone->lock left behind
)
assert (ZONE.wmark_low, ZONE.wmark_high) == (ZONE.wmark_min + 1, ZONE.wmark_min + 2)  # ALLOC_WMARK_* is the distance


@jit
def zone_of(seg, index):
    """Word offset of zone `index`; 0 is the NORMAL zone of node 0."""
    return region(seg, MAP.zones) + index * ZONE.SIZE


@jit
def zone_lock(seg, me, zone):
    """Take zone->lock. A spinning lock; ACQ lock.section."""
    spin_lock_timed(seg, me, zone + ZONE.lock)


@jit
def zone_may_lock(seg, me, zone):
    """Ask the emulated lockdep before waiting for zone->lock: 0 if the caller has to do without. Not for a trylock."""
    return may_acquire(seg, me, LC.zone, zone + ZONE.lock)


@jit
def zone_trylock(seg, me, zone):
    """Take zone->lock if it is free; 1 if taken. Legal in every context."""
    return spin_trylock_timed(seg, me, zone + ZONE.lock)


@jit
def zone_unlock(seg, me, zone):
    """Release zone->lock and record how long it was held."""
    hist_record(seg, me, HIST.zone_lock_hold_ns, spin_unlock_timed(seg, me, zone + ZONE.lock))


@jit
def zone_free_add(seg, zone, pages):
    """Move NR_FREE_PAGES by `pages`. Under zone->lock."""
    free = seg[zone + ZONE.nr_free] + pages
    store_relaxed(seg, zone + ZONE.nr_free, free)  # relaxed: watermark tests elsewhere read it without the lock
    if free < seg[zone + ZONE.nr_free_min]:
        seg[zone + ZONE.nr_free_min] = free


@jit
def gfp_zone(gfp):
    """The highest kind of zone that the request may use."""
    if gfp & GFP_DMA != 0:
        return ZONE_DMA
    return ZONE_DMA32 if gfp & GFP_DMA32 != 0 else ZONE_NORMAL


@jit
def wmark_pages(seg, zone, alloc_flags):
    """The mark that the flags name, with the boost."""
    mark = seg[zone + ZONE.wmark_min + (alloc_flags & ALLOC_WMARK_MASK)]
    return mark + load_relaxed(seg, zone + ZONE.boost)


@jit
def lower_mark(mark, alloc_flags):
    """What of a mark is left for a request that may eat reserves."""
    if alloc_flags & ALLOC_MIN_RESERVE != 0:
        mark -= mark // 2
        if alloc_flags & ALLOC_NON_BLOCK != 0:
            mark -= mark // 4
    if alloc_flags & ALLOC_HARDER != 0:
        mark -= mark // 4
    if alloc_flags & ALLOC_OOM != 0:
        mark -= mark // 2
    return mark


@jit
def zone_watermark_ok(seg, zone, order, mark, highest, alloc_flags):
    """1 if free pages exceed what the request must leave, and a block of its order is there. Strictly greater.

    mark: a mark of the zone before anything is taken off; highest: gfp_zone() of the request.
    """
    free = load_relaxed(seg, zone + ZONE.nr_free) - ((1 << order) - 1)
    if alloc_flags & ALLOC_RESERVES == 0:
        free -= load_relaxed(seg, zone + ZONE.nr_free_highatomic)
    if free <= lower_mark(mark, alloc_flags) + seg[zone + ZONE.lowmem_reserve + highest]:
        return 0
    if order == 0:
        return 1
    for kind in range(MIGRATE_PCPTYPES):
        if load_relaxed(seg, zone + ZONE.orders + kind) >> order != 0:
            return 1
    if alloc_flags & (ALLOC_HIGHATOMIC | ALLOC_OOM) == 0:
        return 0
    return 1 if load_relaxed(seg, zone + ZONE.orders + MIGRATE_HIGHATOMIC) >> order != 0 else 0


@jit
def zone_watermark_fast(seg, zone, order, gfp, alloc_flags):
    """zone_watermark_ok() at the mark that the flags name; a boost does not stop __GFP_HIGH, order 0, at MIN."""
    mark = wmark_pages(seg, zone, alloc_flags)
    highest = gfp_zone(gfp)
    if zone_watermark_ok(seg, zone, order, mark, highest, alloc_flags) != 0:
        return 1
    if order != 0 or gfp & GFP_HIGH == 0 or alloc_flags & ALLOC_WMARK_MASK != ALLOC_WMARK_MIN:
        return 0
    return zone_watermark_ok(seg, zone, 0, seg[zone + ZONE.wmark_min], highest, alloc_flags)
