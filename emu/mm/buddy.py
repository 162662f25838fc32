"""The buddy allocator: free blocks by order and migratetype, split on demand, merged on free.

Holds   the free lists of a zone and the steps over them.
Rule    everything here runs under zone->lock and moves zone.nr_free by what it hands out or takes back. A free
        block is known by its first page: state, order and list in one word. Pages inside a block keep
        stale words, which is sound: a block's buddy of the same order can only lie inside a larger free
        block if the block itself does, and that is a double free.
Limits  orders 0..10. Blocks stay inside their zone because zones are aligned to the largest block.
After   Linux mm/page_alloc.c: __rmqueue_smallest, expand, __rmqueue_claim, __free_one_page (KF 3.1, 3.10).
"""

from emu.arch import ctz64, jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.page import (
    MIGRATE_HIGHATOMIC,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_TYPES,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    ORDER_SHIFT,
    OWNER_SHIFT,
    PAGE,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_LRU,
    PG_TAKEN,
    TYPE_SHIFT,
    ZONE_SHIFT,
    page_of,
    pageblock_of,
    pageblock_type,
)
from emu.mm.zone import NR_ORDERS, ZONE, zone_free_add
from emu.shm import F_LIST_BROKEN, F_PAGE_STATE, HEADER, raise_fault
from emu.stats import VM, count
from emu.trace import EV, trace_event

MAX_ORDER = NR_ORDERS - 1


@jit
def highatomic_add(seg, zone, pages):
    """Move the number of free pages that are kept for high-order atomic requests. Under zone->lock."""
    store_relaxed(seg, zone + ZONE.nr_free_highatomic, seg[zone + ZONE.nr_free_highatomic] + pages)


@jit
def area_add(seg, zone, pfn, order, migratetype):
    """Put a free block at the head of its list. Under zone->lock."""
    slot = order * MIGRATE_TYPES + migratetype
    head = zone + ZONE.free_head + slot
    page = page_of(seg, pfn)
    first = seg[head]
    store_relaxed(seg, page + PAGE.state, PG_BUDDY | order << ORDER_SHIFT | migratetype << TYPE_SHIFT)
    seg[page + PAGE.next] = first
    seg[page + PAGE.prev] = NO_PAGE
    if first != NO_PAGE:
        seg[page_of(seg, first) + PAGE.prev] = pfn
    seg[head] = pfn
    seg[zone + ZONE.free_count + slot] += 1
    orders = zone + ZONE.orders + migratetype
    store_relaxed(seg, orders, seg[orders] | 1 << order)  # relaxed: watermark tests read it without the lock
    if migratetype == MIGRATE_HIGHATOMIC:
        highatomic_add(seg, zone, 1 << order)


@jit
def area_del(seg, zone, pfn, order, migratetype):
    """Take a free block off its list. Under zone->lock."""
    slot = order * MIGRATE_TYPES + migratetype
    page = page_of(seg, pfn)
    after = seg[page + PAGE.next]
    before = seg[page + PAGE.prev]
    if after != NO_PAGE:
        seg[page_of(seg, after) + PAGE.prev] = before
    if before != NO_PAGE:
        seg[page_of(seg, before) + PAGE.next] = after
    else:
        seg[zone + ZONE.free_head + slot] = after
        if after == NO_PAGE:
            orders = zone + ZONE.orders + migratetype
            store_relaxed(seg, orders, seg[orders] & ~(1 << order))
    seg[zone + ZONE.free_count + slot] -= 1
    if migratetype == MIGRATE_HIGHATOMIC:
        highatomic_add(seg, zone, -(1 << order))


@jit
def expand(seg, zone, pfn, low, high, migratetype):
    """Split a block of order `high` down to `low`; the upper halves go to the lists. Under zone->lock."""
    while high > low:
        high -= 1
        area_add(seg, zone, pfn + (1 << high), high, migratetype)


@jit
def rmqueue_smallest(seg, me, zone, order, migratetype):
    """First page of a block of the wanted order and type, split from the smallest one; NO_PAGE if none."""
    orders = seg[zone + ZONE.orders + migratetype] >> order
    if orders == 0:
        return NO_PAGE
    found = order + ctz64(orders)
    pfn = seg[zone + ZONE.free_head + found * MIGRATE_TYPES + migratetype]
    if seg[HEADER.verify] != 0:
        word = load_relaxed(seg, page_of(seg, pfn))
        if word != PG_BUDDY | found << ORDER_SHIFT | migratetype << TYPE_SHIFT:
            raise_fault(seg, me, F_LIST_BROKEN, found, pfn, word)
            return NO_PAGE
    area_del(seg, zone, pfn, found, migratetype)
    expand(seg, zone, pfn, order, found, migratetype)
    return pfn


@jit
def fallback_type(migratetype, attempt):
    """The attempt-th (0, 1) migratetype to steal from."""
    if migratetype == MIGRATE_MOVABLE:
        return MIGRATE_RECLAIMABLE if attempt == 0 else MIGRATE_UNMOVABLE
    if migratetype == MIGRATE_RECLAIMABLE:
        return MIGRATE_UNMOVABLE if attempt == 0 else MIGRATE_MOVABLE
    return MIGRATE_RECLAIMABLE if attempt == 0 else MIGRATE_MOVABLE


@jit
def set_pageblock_type(seg, pfn, migratetype):
    """Give the pageblock of `pfn` another migratetype. Under zone->lock; read elsewhere without it."""
    block = pageblock_of(seg, pfn)
    word = load_relaxed(seg, block)
    store_relaxed(seg, block, (word >> ZONE_SHIFT) << ZONE_SHIFT | migratetype)


@jit
def move_freepages_block(seg, zone, pfn, migratetype):
    """Move the free blocks of one pageblock to the lists of another type; returns the pages moved."""
    start = pfn >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
    end = start + (1 << PAGEBLOCK_ORDER)
    moved = 0
    at = start
    while at < end:
        word = load_relaxed(seg, page_of(seg, at))
        order = word >> ORDER_SHIFT & 0xFF
        was = word >> TYPE_SHIFT & 0xFF
        if word & 0xFF == PG_BUDDY and at & ((1 << order) - 1) == 0 and on_list(seg, zone, at, order, was) != 0:
            area_del(seg, zone, at, order, was)
            area_add(seg, zone, at, order, migratetype)
            moved += 1 << order
            at += 1 << order
        else:
            at += 1
    return moved


@jit
def on_list(seg, zone, pfn, order, migratetype):
    """1 if `pfn` really heads a listed free block: its neighbours (or the list head) point back at it."""
    page = page_of(seg, pfn)
    before = seg[page + PAGE.prev]
    if before == NO_PAGE:
        return 1 if seg[zone + ZONE.free_head + order * MIGRATE_TYPES + migratetype] == pfn else 0
    return 1 if seg[page_of(seg, before) + PAGE.next] == pfn else 0


@jit
def boost_watermark(seg, zone):
    """A pageblock gets mixed: raise every mark by a pageblock, up to the zone's limit. Under zone->lock."""
    limit = seg[zone + ZONE.boost_max]
    if limit > 0:
        boost = seg[zone + ZONE.boost] + (1 << PAGEBLOCK_ORDER)
        store_relaxed(seg, zone + ZONE.boost, min(boost, max(limit, 1 << PAGEBLOCK_ORDER)))
        store_relaxed(seg, zone + ZONE.boosted, 1)


@jit
def compatible_pages(seg, zone, pfn, was, migratetype):
    """Pages in use in the pageblock of `pfn` that a user of `migratetype` may well live beside. Under zone->lock.

    For a movable request the movable ones; for another, in a movable block, all that are not movable; else none:
    unmovable and reclaimable users cannot be told apart.
    """
    if migratetype != MIGRATE_MOVABLE and was != MIGRATE_MOVABLE:
        return 0
    start = pfn >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
    end = min(start + (1 << PAGEBLOCK_ORDER), seg[zone + ZONE.end_pfn])
    free = 0
    movable = 0
    at = start
    while at < end:
        word = load_relaxed(seg, page_of(seg, at))
        order = word >> ORDER_SHIFT & 0xFF
        if word & 0xFF == PG_BUDDY and at & ((1 << order) - 1) == 0 and (
                on_list(seg, zone, at, order, word >> TYPE_SHIFT & 0xFF) != 0):
            free += 1 << order
            at += 1 << order
        else:
            if word & 0xFF == PG_LRU:
                movable += 1
            at += 1
    return movable if migratetype == MIGRATE_MOVABLE else end - start - free - movable


@jit
def claim_block(seg, zone, pfn, order, was, migratetype):
    """Bring the stolen block of `order` and type `was` under `migratetype`, with its pageblock where the rule allows.

    A block of at least a pageblock changes type whole. In a smaller one the pageblock's free pages move to
    our lists, and its type changes when they and the compatible ones are at least half of it.
    """
    if order >= PAGEBLOCK_ORDER:
        area_del(seg, zone, pfn, order, was)
        area_add(seg, zone, pfn, order, migratetype)
        for block in range(1 << (order - PAGEBLOCK_ORDER)):
            set_pageblock_type(seg, pfn + (block << PAGEBLOCK_ORDER), migratetype)
        return
    boost_watermark(seg, zone)
    alike = compatible_pages(seg, zone, pfn, was, migratetype)
    if move_freepages_block(seg, zone, pfn, migratetype) + alike >= 1 << (PAGEBLOCK_ORDER - 1):
        set_pageblock_type(seg, pfn, migratetype)


@jit_apart
def rmqueue_fallback(seg, me, zone, order, migratetype):
    """Steal from another type: the largest block first, so that as few blocks as possible get mixed.

    A movable request claims no block below half a pageblock's order: it takes the smallest one that will do.
    """
    lowest = max(order, PAGEBLOCK_ORDER // 2) if migratetype == MIGRATE_MOVABLE else order
    at = MAX_ORDER
    while at >= lowest:
        for attempt in range(2):
            was = fallback_type(migratetype, attempt)
            pfn = seg[zone + ZONE.free_head + at * MIGRATE_TYPES + was]
            if pfn != NO_PAGE:
                claim_block(seg, zone, pfn, at, was, migratetype)
                count(seg, me, VM.mm_page_alloc_extfrag)
                trace_event(seg, me, EV.mm_page_alloc_extfrag, pfn, at)
                return rmqueue_smallest(seg, me, zone, order, migratetype)
        at -= 1
    for at in range(order, lowest):
        for attempt in range(2):
            was = fallback_type(migratetype, attempt)
            pfn = seg[zone + ZONE.free_head + at * MIGRATE_TYPES + was]
            if pfn != NO_PAGE:
                count(seg, me, VM.mm_page_alloc_extfrag)
                trace_event(seg, me, EV.mm_page_alloc_extfrag, pfn, at)
                return rmqueue_smallest(seg, me, zone, order, was)
    return NO_PAGE


@jit
def rmqueue(seg, me, zone, order, migratetype):
    """Take a block of 2^order pages for process `me`, or NO_PAGE. Under zone->lock."""
    pfn = rmqueue_smallest(seg, me, zone, order, migratetype)
    if pfn == NO_PAGE:
        pfn = rmqueue_fallback(seg, me, zone, order, migratetype)
        if pfn == NO_PAGE:
            return NO_PAGE
    zone_free_add(seg, zone, -(1 << order))
    store_relaxed(seg, page_of(seg, pfn), PG_TAKEN | order << ORDER_SHIFT | me << OWNER_SHIFT)
    return pfn


@jit
def rmqueue_run(seg, me, zone, migratetype, want, dst):
    """Take up to `want` single pages from the smallest block there is, into words dst..; returns how many, 0 if none.

    Page by page the kernel would split that block, take its first page, and find the halves it has just listed as the
    smallest ones: the same pages in the same order, and the same blocks left over. Under zone->lock.
    """
    orders = seg[zone + ZONE.orders + migratetype]
    if orders == 0:
        pfn = rmqueue_fallback(seg, me, zone, 0, migratetype)
        if pfn == NO_PAGE:
            return 0
        zone_free_add(seg, zone, -1)
        store_relaxed(seg, page_of(seg, pfn), PG_TAKEN | me << OWNER_SHIFT)
        seg[dst] = pfn
        return 1
    order = ctz64(orders)
    pfn = seg[zone + ZONE.free_head + order * MIGRATE_TYPES + migratetype]
    if seg[HEADER.verify] != 0:
        word = load_relaxed(seg, page_of(seg, pfn))
        if word != PG_BUDDY | order << ORDER_SHIFT | migratetype << TYPE_SHIFT:
            raise_fault(seg, me, F_LIST_BROKEN, order, pfn, word)
            return 0
    area_del(seg, zone, pfn, order, migratetype)
    taken = min(1 << order, want)
    for i in range(taken):
        store_relaxed(seg, page_of(seg, pfn + i), PG_TAKEN | me << OWNER_SHIFT)
        seg[dst + i] = pfn + i
    rest = taken
    while rest < 1 << order:
        size = ctz64(rest)
        area_add(seg, zone, pfn + rest, size, migratetype)
        rest += 1 << size
    zone_free_add(seg, zone, -taken)
    return taken


@jit
def free_one_page(seg, me, zone, pfn, order, migratetype):
    """Give back a block, merging it with its free buddy as long as there is one. Under zone->lock.

    The caller has moved the page's state away from its last use; a page that is free already faults.
    """
    page_word = load_relaxed(seg, page_of(seg, pfn))
    if page_word & 0xFF == PG_BUDDY:
        raise_fault(seg, me, F_PAGE_STATE, pfn, PG_BUDDY, PG_TAKEN)
        return
    # Merged into a lower block, the page keeps this word: without it a second free would not be seen.
    store_relaxed(seg, page_of(seg, pfn), PG_BUDDY | order << ORDER_SHIFT | migratetype << TYPE_SHIFT)
    zone_free_add(seg, zone, 1 << order)
    end = seg[zone + ZONE.end_pfn]
    while order < MAX_ORDER:
        buddy = pfn ^ (1 << order)
        if buddy >= end or buddy < seg[zone + ZONE.start_pfn]:
            break
        word = load_relaxed(seg, page_of(seg, buddy))
        if word & 0xFFFF != PG_BUDDY | order << ORDER_SHIFT:
            break
        buddy_type = word >> TYPE_SHIFT & 0xFF
        if order >= PAGEBLOCK_ORDER and buddy_type != migratetype:
            break
        area_del(seg, zone, buddy, order, buddy_type)
        pfn &= buddy
        order += 1
    area_add(seg, zone, pfn, order, migratetype)


@jit
def free_by_block_type(seg, me, zone, pfn, order):
    """free_one_page() onto the list of the page's own pageblock."""
    free_one_page(seg, me, zone, pfn, order, pageblock_type(seg, pfn))
