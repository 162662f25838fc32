"""A zone: its marks, its free count, its lock, and who may go below MIN.

Holds   ZONE, the order-0 watermark test, the floors of KF 3.3.
Rule    nr_free moves under zone->lock only and is read anywhere (relaxed: the kernel's test is as racy). Pages on
        PCP lists are not in it.
After   Linux include/linux/mmzone.h, zone_watermark_ok() and gfp_to_alloc_flags() in mm/page_alloc.c.
"""

from emu.arch import jit, load_relaxed, store_relaxed
from emu.mm.page import MIGRATE_TYPES
from emu.shm import MAP, line, region, struct
from emu.stats import HIST, hist_record
from emu.sync import LOCK, spin_lock_timed, spin_unlock_timed

NR_ORDERS = 11  # orders 0..10
NR_LISTS = NR_ORDERS * MIGRATE_TYPES

ZONE = struct(
    "zone",
    line("boot()", "index", "start_pfn", "end_pfn", "managed", "wmark_min", "wmark_low", "wmark_high", "reserve",
         "batch", "high_min", "high_max", "auto_high", "boost"),
    line("zone->lock", ("lock", LOCK.SIZE)),
    line("zone->lock", "nr_free", "nr_free_min", "nr_highatomic"),
    line("zone->lock", ("orders", MIGRATE_TYPES)),  # bit per order with a free block, by migratetype
    line("zone->lock", ("free_head", NR_LISTS)),
    line("zone->lock", ("free_count", NR_LISTS)),
)

# gfp bits: what the request may do (values are ours, names are the kernel's)
GFP_DIRECT_RECLAIM, GFP_KSWAPD_RECLAIM, GFP_HIGH, GFP_NORETRY, GFP_NOMEMALLOC, GFP_NOWARN, GFP_MEMALLOC = (
    1, 2, 4, 8, 16, 32, 64)
GFP_KERNEL = GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM
GFP_NOWAIT = GFP_KSWAPD_RECLAIM
GFP_ATOMIC = GFP_HIGH | GFP_KSWAPD_RECLAIM
GFP_KERNEL_NORETRY = GFP_KERNEL | GFP_NORETRY | GFP_NOMEMALLOC | GFP_NOWARN
GFP_BY_NAME = {
    "kernel": GFP_KERNEL | GFP_NOWARN,
    "kernel-noretry": GFP_KERNEL_NORETRY,
    "nowait": GFP_NOWAIT | GFP_NOWARN,
    "atomic": GFP_ATOMIC | GFP_NOWARN,
}


@jit
def zone_of(seg, index):
    """Word offset of zone `index`; 0 is the highest zone, the first in the zonelist."""
    return region(seg, MAP.zones) + index * ZONE.SIZE


@jit
def zone_lock(seg, me, zone):
    """Take zone->lock. A spinning lock; ACQ lock.section."""
    spin_lock_timed(seg, me, zone + ZONE.lock)


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
def mark_for(seg, zone, gfp, first_pass):
    """The number of free pages that an order-0 request with these flags must leave untouched, in this zone.

    first_pass: 1 for the attempt that every allocation makes at LOW, 0 for the slow path at MIN and below.
    """
    if first_pass != 0:
        mark = seg[zone + ZONE.wmark_low] + seg[zone + ZONE.boost]
    else:
        mark = seg[zone + ZONE.wmark_min] + seg[zone + ZONE.boost]
        if gfp & GFP_MEMALLOC != 0 and gfp & GFP_NOMEMALLOC == 0:
            mark = 0
        elif gfp & GFP_HIGH != 0:
            mark -= mark // 2
            if gfp & GFP_DIRECT_RECLAIM == 0 and gfp & GFP_NOMEMALLOC == 0:
                mark -= mark // 4
    return mark + seg[zone + ZONE.reserve]


@jit
def zone_watermark_ok(seg, zone, mark):
    """1 if free pages, less those kept for high-order atomics, exceed `mark`. Strictly greater, as the kernel."""
    free = load_relaxed(seg, zone + ZONE.nr_free) - load_relaxed(seg, zone + ZONE.nr_highatomic)
    return 1 if free > mark else 0
