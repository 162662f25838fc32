"""Looks at a machine's memory from outside: the ledger, the free lists walked link by link, the fault in words.

Plain reads of the segment by a test alone; nothing here calls the steps under test but count_states().
"""

from emu.mm import (
    MAX_ORDER,
    MIGRATE_TYPES,
    NO_PAGE,
    PAGE,
    PAGE_STATES,
    PG_BUDDY,
    SLAB_OBJECTS,
    ZONE,
    count_states,
    page_of,
    scratch_of,
    zone_of,
)
from emu.mm.gfp import ALLOC_NO_WATERMARKS, ALLOC_WMARK_LOW, gfp_pfmemalloc_flags, gfp_to_alloc_flags
from emu.mm.zone import gfp_zone, lower_mark, wmark_pages
from emu.shm import HEADER, RUN


def zone_word(seg, name):
    """A word of the only zone, by name."""
    return seg[zone_of(seg, 0) + getattr(ZONE, name)]


def set_zone(seg, **values):
    """Write words of the only zone, by name."""
    for name, value in values.items():
        seg[zone_of(seg, 0) + getattr(ZONE, name)] = value


def fault_of(seg):
    """The first fault: (code, a, b, c); all zeros without one."""
    return tuple(seg[at] for at in (HEADER.fault, HEADER.fault_a, HEADER.fault_b, HEADER.fault_c))


def clear_fault(seg):
    """Forget the fault and let the run go on."""
    seg[HEADER.fault] = 0
    seg[HEADER.run_state] = RUN


def ledger(seg):
    """Pages by state, those there are; `objects` in use on slab pages. Every page has a state, or this fails."""
    out = scratch_of(seg, seg[HEADER.nr_procs] - 1)
    assert count_states(seg, out) == 0, "pages that no state names"
    pages = {name: seg[out + i] for i, name in enumerate(PAGE_STATES) if seg[out + i]}
    assert sum(pages.values()) == zone_word(seg, "managed")
    if seg[out + SLAB_OBJECTS]:
        pages["objects"] = seg[out + SLAB_OBJECTS]
    return pages


def free_list(seg, order, kind):
    """First pages of the blocks on one free list, head first; the links are held against each other."""
    slot = order * MIGRATE_TYPES + kind
    zone = zone_of(seg, 0)
    pfns, before, pfn = [], NO_PAGE, seg[zone + ZONE.free_head + slot]
    while pfn != NO_PAGE:
        page = page_of(seg, pfn)
        assert seg[page + PAGE.prev] == before, f"page {pfn} points back to {seg[page + PAGE.prev]}, not to {before}"
        assert seg[page] == PG_BUDDY | order << 8 | kind << 16, f"page {pfn} has word {seg[page]:#x}"
        assert pfn % (1 << order) == 0, f"block {pfn} is not aligned to its order {order}"
        pfns.append(pfn)
        before, pfn = pfn, seg[page + PAGE.next]
    assert len(pfns) == seg[zone + ZONE.free_count + slot]
    return pfns


def free_blocks(seg):
    """pfn -> (order, type) of every free block; no two overlap, counters and bit masks agree with the lists."""
    blocks, pages = {}, set()
    for kind in range(MIGRATE_TYPES):
        mask = 0
        for order in range(MAX_ORDER + 1):
            for pfn in free_list(seg, order, kind):
                span = set(range(pfn, pfn + (1 << order)))
                assert not span & pages, f"block {pfn} of order {order} overlaps another"
                pages |= span
                blocks[pfn] = (order, kind)
                mask |= 1 << order
        assert seg[zone_of(seg, 0) + ZONE.orders + kind] == mask
    assert len(pages) == zone_word(seg, "nr_free")
    if pages:
        assert min(pages) >= zone_word(seg, "start_pfn") and max(pages) < zone_word(seg, "end_pfn")
    return blocks


def mark_for(seg, zone, gfp, first_pass, me=0):
    """Free pages that a request must leave: at LOW (first_pass), or on the plain slow path."""
    flags = ALLOC_WMARK_LOW
    if not first_pass:
        flags = gfp_pfmemalloc_flags(seg, gfp, me) or gfp_to_alloc_flags(seg, gfp, me)
    if flags & ALLOC_NO_WATERMARKS:
        return 0
    return lower_mark(wmark_pages(seg, zone, flags), flags) + seg[zone + ZONE.lowmem_reserve + gfp_zone(gfp)]
