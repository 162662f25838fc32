"""Pages freed where no lock may be waited for: left on a list of their zone, for the next ordinary free.

Holds   ZONE.trylock_free, a lock-free stack of blocks, linked by their first pages.
Rule    free_later() anywhere; free_deferred() under zone->lock. Pages on the list are in state PG_TRYLOCK and not in
        zone.nr_free; the first page's word holds the block's order.
After   Linux zone->trylock_free_pages, add_page_to_zone_llist() (KF 2.12).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.buddy import free_by_block_type
from emu.mm.page import ORDER_SHIFT, OWNER_SHIFT, PAGE, PG_TAKEN, PG_TRYLOCK, page_links, page_of
from emu.mm.zone import ZONE
from emu.ring import stack_pop, stack_push
from emu.stats import VM, count_n


@jit_apart
def free_later(seg, me, zone, pfn, order):
    """Leave a block that `me` holds to the zone's next ordinary free. Lock-free, anyone."""
    for i in range(1 << order):
        store_relaxed(seg, page_of(seg, pfn + i), PG_TRYLOCK)
    store_relaxed(seg, page_of(seg, pfn), PG_TRYLOCK | order << ORDER_SHIFT)
    stack_push(seg, zone + ZONE.trylock_free, page_links(seg), PAGE.SIZE, pfn)
    count_n(seg, me, VM.pgfree_deferred, 1 << order)
    return 0


@jit
def free_deferred(seg, me, zone):
    """Free what others left behind. Under zone->lock."""
    if load_relaxed(seg, zone + ZONE.trylock_free) & 0xFFFF_FFFF != 0:
        free_all_deferred(seg, me, zone)


@jit_apart
def free_all_deferred(seg, me, zone):
    """The list, block by block."""
    while True:
        pfn = stack_pop(seg, zone + ZONE.trylock_free, page_links(seg), PAGE.SIZE)
        if pfn < 0:
            return 0
        order = load_relaxed(seg, page_of(seg, pfn)) >> ORDER_SHIFT & 0xFF
        for i in range(1 << order):
            store_relaxed(seg, page_of(seg, pfn + i), PG_TAKEN | me << OWNER_SHIFT)
        free_by_block_type(seg, me, zone, pfn, order)
