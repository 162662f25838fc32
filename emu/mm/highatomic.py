"""Pageblocks for high-order atomic requests: set aside after such a request succeeds, given back under pressure.

Rule    the zone's pages in such blocks are at most ZONE.highatomic_max; the marks do not count their free pages for
        anybody without reserve rights (ZONE.nr_free_highatomic, kept by the free lists).
After   Linux reserve_highatomic_pageblock(), unreserve_highatomic_pageblock() (KF 3.3).
"""

from emu.arch import jit, jit_apart, load_relaxed
from emu.mm.buddy import move_freepages_block, set_pageblock_type
from emu.mm.node import NODE, node_of, node_of_cpu
from emu.mm.page import (
    MIGRATE_HIGHATOMIC,
    MIGRATE_TYPES,
    NO_PAGE,
    PAGEBLOCK_ORDER,
    pageblock_type,
)
from emu.mm.zone import NR_ORDERS, ZONE, zone_lock, zone_of, zone_unlock
from emu.stats import VM, count

PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER


@jit_apart
def reserve_highatomic(seg, me, zone, pfn):
    """Set the pageblock of `pfn` aside, if the zone has not enough of them. 1 if done. After a success at order > 0."""
    if load_relaxed(seg, zone + ZONE.nr_reserved_highatomic) >= seg[zone + ZONE.highatomic_max]:
        return 0
    done = 0
    zone_lock(seg, me, zone)
    reserved = seg[zone + ZONE.nr_reserved_highatomic]
    if reserved < seg[zone + ZONE.highatomic_max] and pageblock_type(seg, pfn) != MIGRATE_HIGHATOMIC:
        seg[zone + ZONE.nr_reserved_highatomic] = reserved + PAGEBLOCK_PAGES
        set_pageblock_type(seg, pfn, MIGRATE_HIGHATOMIC)
        move_freepages_block(seg, zone, pfn, MIGRATE_HIGHATOMIC)
        count(seg, me, VM.pageblock_highatomic)
        done = 1
    zone_unlock(seg, me, zone)
    return done


@jit
def unreserve_in(seg, me, zone, migratetype):
    """Give one block with free pages of this zone back to `migratetype`; 1 if there was one. Under zone->lock."""
    for order in range(NR_ORDERS):
        pfn = seg[zone + ZONE.free_head + order * MIGRATE_TYPES + MIGRATE_HIGHATOMIC]
        if pfn != NO_PAGE:
            left = seg[zone + ZONE.nr_reserved_highatomic] - PAGEBLOCK_PAGES
            seg[zone + ZONE.nr_reserved_highatomic] = max(0, left)
            set_pageblock_type(seg, pfn, migratetype)
            move_freepages_block(seg, zone, pfn, migratetype)
            count(seg, me, VM.pageblock_unreserve)
            return 1
    return 0


@jit_apart
def unreserve_highatomic(seg, me, pcp_cpu, migratetype, force):
    """Give one reserved pageblock back to `migratetype`, the nearest zone first; 1 if one was found.

    force 0 leaves each zone its last block. Anyone who may take zone->lock; for the slow path, before it calls OOM.
    """
    node = node_of(seg, node_of_cpu(seg, pcp_cpu))
    for at in range(seg[node + NODE.nr_zones]):
        zone = zone_of(seg, seg[node + NODE.zonelist + at])
        reserved = load_relaxed(seg, zone + ZONE.nr_reserved_highatomic)
        if reserved == 0 or (force == 0 and reserved <= PAGEBLOCK_PAGES):
            continue
        zone_lock(seg, me, zone)
        done = unreserve_in(seg, me, zone, migratetype)
        zone_unlock(seg, me, zone)
        if done != 0:
            return 1
    return 0
