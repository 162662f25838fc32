"""Bringing memory up: pageblocks, free lists, zones, slab caches; and the count of every page at the end.

Rule    runs in the launcher alone, before the first fork or after the last exit.
"""

from emu.arch import jit, load_relaxed
from emu.mm.buddy import MAX_ORDER, area_add, on_list, rmqueue, set_pageblock_type
from emu.mm.node import NODE, node_of, node_of_cpu, zonelist_index
from emu.mm.page import (
    MIGRATE_MOVABLE,
    MIGRATE_TYPES,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    ORDER_SHIFT,
    OWNER_SHIFT,
    PAGE_STATES,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_SLAB,
    PG_TAKEN,
    TYPE_SHIFT,
    ZONE_SHIFT,
    page_of,
    pageblock_of,
    pageblock_type,
)
from emu.mm.slab import slab_in_use
from emu.mm.zone import ZONE, zone_free_add, zone_of
from emu.shm import MAP, region

SLAB_OBJECTS = len(PAGE_STATES)  # word of count_states() behind those of the page states


@jit
def free_range(seg, zone, start, end):
    """Give a fresh range of pages to the free lists, in the largest aligned blocks of one type."""
    pfn = start
    while pfn < end:
        order = MAX_ORDER
        while pfn & ((1 << order) - 1) != 0 or pfn + (1 << order) > end:
            order -= 1
        kind = pageblock_type(seg, pfn)
        if order > PAGEBLOCK_ORDER and pageblock_type(seg, pfn + (1 << PAGEBLOCK_ORDER)) != kind:
            order = PAGEBLOCK_ORDER
        area_add(seg, zone, pfn, order, kind)
        zone_free_add(seg, zone, 1 << order)
        pfn += 1 << order


@jit
def set_zone_of_blocks(seg, zone):
    """Note in the pageblocks of a zone whose range is set that they are its own. Before boot_zone_pages()."""
    pfn = seg[zone + ZONE.start_pfn]
    while pfn < seg[zone + ZONE.end_pfn]:
        seg[pageblock_of(seg, pfn)] = seg[zone + ZONE.index] << ZONE_SHIFT
        pfn += 1 << PAGEBLOCK_ORDER


@jit
def type_pageblocks(seg, start, end, unmovable):
    """Type the range's pageblocks: the first `unmovable` of them UNMOVABLE, the others MOVABLE."""
    pfn = start
    done = 0
    while pfn < end:
        set_pageblock_type(seg, pfn, MIGRATE_UNMOVABLE if done < unmovable else MIGRATE_MOVABLE)
        done += 1
        pfn += 1 << PAGEBLOCK_ORDER


@jit
def boot_zone_pages(seg, zone, unmovable):
    """Free every page of a zone whose range and marks are set, and type its pageblocks. Before anything else runs."""
    start = seg[zone + ZONE.start_pfn]
    end = seg[zone + ZONE.end_pfn]
    type_pageblocks(seg, start, end, unmovable)
    free_range(seg, zone, start, end)
    seg[zone + ZONE.nr_free_min] = end - start


@jit
def boot_page(seg, pcp_cpu):
    """A page for process 0 from the nearest zone that has one, past marks and lists; NO_PAGE if none. Launcher only."""
    node = node_of_cpu(seg, pcp_cpu)
    for at in range(seg[node_of(seg, node) + NODE.nr_zones]):
        pfn = rmqueue(seg, 0, zone_of(seg, zonelist_index(seg, node, at)), 0, MIGRATE_UNMOVABLE)
        if pfn != NO_PAGE:
            return pfn
    return NO_PAGE


@jit
def is_free_block(seg, zone, pfn, word):
    """1 if a page with this word heads a listed free block of the zone."""
    if word & 0xFF != PG_BUDDY:
        return 0
    return on_list(seg, zone, pfn, word >> ORDER_SHIFT & 0xFF, word >> TYPE_SHIFT & 0xFF)


@jit
def count_zone_states(seg, zone, out):
    """count_states() of one zone, added to words out.."""
    pfn = seg[zone + ZONE.start_pfn]
    end = seg[zone + ZONE.end_pfn]
    unknown = 0
    while pfn < end:
        word = load_relaxed(seg, page_of(seg, pfn))
        state = word & 0xFF
        if is_free_block(seg, zone, pfn, word) != 0:
            seg[out + PG_BUDDY] += 1 << (word >> ORDER_SHIFT & 0xFF)
            pfn += 1 << (word >> ORDER_SHIFT & 0xFF)
            continue
        if state <= PG_BUDDY or state >= SLAB_OBJECTS:
            unknown += 1
        else:
            seg[out + state] += 1
            if state == PG_SLAB:
                seg[out + SLAB_OBJECTS] += slab_in_use(seg, pfn)
        pfn += 1
    return unknown


@jit
def count_states(seg, out):
    """Count pages by state into words out.., slab objects in use behind them; returns pages that no state names.

    Words out+0..: pages by state; out+SLAB_OBJECTS: objects that slab pages count as in use. Nothing may run beside it.
    """
    for i in range(SLAB_OBJECTS + 1):
        seg[out + i] = 0
    unknown = 0
    for index in range(region(seg, MAP.nr_zones)):
        unknown += count_zone_states(seg, zone_of(seg, index), out)
    return unknown


@jit
def count_zone_free(seg, zone):
    """Pages on a zone's free lists, counted list by list: must equal its NR_FREE_PAGES."""
    pages = 0
    for order in range(MAX_ORDER + 1):
        for kind in range(MIGRATE_TYPES):
            pages += seg[zone + ZONE.free_count + order * MIGRATE_TYPES + kind] << order
    return pages


@jit
def count_free_blocks(seg):
    """Pages on the free lists of all zones."""
    pages = 0
    for index in range(region(seg, MAP.nr_zones)):
        pages += count_zone_free(seg, zone_of(seg, index))
    return pages


@jit
def find_taken(seg, after, out):
    """The next page beyond `after` that is in some process's hands: its owner goes to word out; 0 if none."""
    for index in range(region(seg, MAP.nr_zones)):
        zone = zone_of(seg, index)
        pfn = max(after + 1, seg[zone + ZONE.start_pfn])
        while pfn < seg[zone + ZONE.end_pfn]:
            word = load_relaxed(seg, page_of(seg, pfn))
            if is_free_block(seg, zone, pfn, word) != 0:
                pfn += 1 << (word >> ORDER_SHIFT & 0xFF)
                continue
            if word & 0xFF == PG_TAKEN:
                seg[out] = word >> OWNER_SHIFT
                return pfn
            pfn += 1
    return 0
