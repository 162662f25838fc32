"""LRU lists: pages that may be taken away, by node, kind and activity, and the one mapping that each of them has.

Holds   LRUVEC, the slot word, and the steps of a page between its owner, the lists and a reclaimer.
Rule    a page on a list is in state PG_LRU and owned by the process that maps it. Lists change under lru_lock. A slot
        is the page's only mapping, a word of its owner: page number << 1, and bit 0, the accessed bit, which the owner
        sets at a touch. Everybody changes a slot by compare-and-swap: who clears it has unmapped the page. An owner
        that leaves clears its slots first and then takes from the lists what it finds there; a page that somebody has
        isolated meanwhile is freed by whoever would put it back (lru_putback).
Limits  one mapping per page. Kinds have lists of their own, where the kernel has anon and file.
After   Linux mm/vmscan.c, mm/swap.c: isolate_lru_folios, move_folios_to_lru, folio_add_lru.
"""

from emu.arch import cmpxchg_relaxed, jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import (
    PAGE,
    PG_LRU,
    PG_TAKEN,
    ZONE,
    free_page,
    page_move,
    page_move_owned,
    page_of,
    page_state,
    zone_index_of,
    zone_of,
)
from emu.shm import MAP, line, region, struct
from emu.sync import LOCK, spin_lock_timed, spin_unlock_timed
from emu.vmscan.state import LRU_DIRTY, LRU_FILE, LRU_KINDS, TASK, VMSCAN, task_of, vmscan_of

NR_LRU_LISTS = 2 * LRU_KINDS  # list of a kind: 2 * kind, inactive; + 1, active
INACTIVE, ACTIVE = 0, 1
EMPTY, EVICTED = 0, 1  # slot words: never mapped, or given up; reclaimed
ACCESSED = 1

LRUVEC = struct(
    "lruvec",
    line("lru_lock", ("lock", LOCK.SIZE)),
    line("lru_lock; counts: read anywhere", ("head", NR_LRU_LISTS), ("count", NR_LRU_LISTS)),
    line("lru_lock", ("tail", NR_LRU_LISTS)),
)

# PAGE.counters of an LRU page: kind in bits 0-3, active in bit 4, owner from bit 8 on. PAGE.home: its slot.
_ACTIVE_BIT, _OWNER_SHIFT = 16, 8


@jit
def lruvec_of(seg, node):
    """Word offset of a node's lists."""
    return region(seg, MAP.lruvecs) + node * LRUVEC.SIZE


@jit
def node_of_page(seg, pfn):
    """Node that a page belongs to."""
    return seg[zone_of(seg, zone_index_of(seg, pfn)) + ZONE.node]


@jit
def lru_size(seg, node, kind, active):
    """Pages on one list: a reading without lock."""
    return load_relaxed(seg, lruvec_of(seg, node) + LRUVEC.count + 2 * kind + active)


@jit
def slot_page(word):
    """Page that a slot maps, 0 if none."""
    return word >> 1


@jit
def list_add(seg, vec, which, pfn):
    """Put a page at the head of a list. Under lru_lock."""
    page = page_of(seg, pfn)
    first = seg[vec + LRUVEC.head + which]
    seg[page + PAGE.prev] = 0
    seg[page + PAGE.next] = first
    if first != 0:
        seg[page_of(seg, first) + PAGE.prev] = pfn
    else:
        seg[vec + LRUVEC.tail + which] = pfn
    seg[vec + LRUVEC.head + which] = pfn
    store_relaxed(seg, vec + LRUVEC.count + which, seg[vec + LRUVEC.count + which] + 1)


@jit
def list_del(seg, vec, which, pfn):
    """Take a page off its list. Under lru_lock."""
    page = page_of(seg, pfn)
    before = seg[page + PAGE.prev]
    after = seg[page + PAGE.next]
    if before != 0:
        seg[page_of(seg, before) + PAGE.next] = after
    else:
        seg[vec + LRUVEC.head + which] = after
    if after != 0:
        seg[page_of(seg, after) + PAGE.prev] = before
    else:
        seg[vec + LRUVEC.tail + which] = before
    store_relaxed(seg, vec + LRUVEC.count + which, seg[vec + LRUVEC.count + which] - 1)


@jit
def list_of(seg, pfn):
    """List that a page's words put it on."""
    word = seg[page_of(seg, pfn) + PAGE.counters]
    return 2 * (word & 15) + (1 if word & _ACTIVE_BIT != 0 else 0)


@jit
def owner_of(seg, pfn):
    """Process that maps an LRU page, also while the page is isolated."""
    return seg[page_of(seg, pfn) + PAGE.counters] >> _OWNER_SHIFT


@jit
def kind_of(seg, pfn):
    """Kind of an LRU page, also while it is isolated."""
    return seg[page_of(seg, pfn) + PAGE.counters] & 15


@jit
def slot_of(seg, pfn):
    """Word that maps an LRU page, also while it is isolated."""
    return seg[page_of(seg, pfn) + PAGE.home]


@jit
def lru_mark(seg, pfn, slot, kind, owner, active):
    """Say what a page is for the lists. Its holder only."""
    page = page_of(seg, pfn)
    seg[page + PAGE.home] = slot
    seg[page + PAGE.counters] = kind | (_ACTIVE_BIT if active != 0 else 0) | owner << _OWNER_SHIFT


@jit
def lru_activate(seg, pfn, active):
    """Choose the list that lru_putback() will use. The page's holder only."""
    word = page_of(seg, pfn) + PAGE.counters
    seg[word] = seg[word] | _ACTIVE_BIT if active != 0 else seg[word] & ~_ACTIVE_BIT


@jit_apart
def lru_putback(seg, me, pcp_cpu, pfn):
    """Put a page that `me` holds on its list, at the head; freed instead if nobody maps it any more. 1 if listed."""
    vec = lruvec_of(seg, node_of_page(seg, pfn))
    spin_lock_timed(seg, me, vec + LRUVEC.lock)
    mapped = 1 if slot_page(load_relaxed(seg, slot_of(seg, pfn))) == pfn else 0
    if mapped != 0 and page_move(seg, me, pfn, PG_TAKEN, PG_LRU, owner_of(seg, pfn)) != 0:
        list_add(seg, vec, list_of(seg, pfn), pfn)
    spin_unlock_timed(seg, me, vec + LRUVEC.lock)
    if mapped == 0:
        free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
    return mapped


@jit
def lru_add(seg, me, pcp_cpu, pfn, slot, kind, active):
    """Give a page that `me` has just mapped in its own word `slot` to the lists. 1, or 0 if it was unmapped since."""
    lru_mark(seg, pfn, slot, kind, me, active)
    return lru_putback(seg, me, pcp_cpu, pfn)


@jit_apart
def page_cache_add(seg, me, pcp_cpu, pfn):
    """Make a page that `me` holds page cache that nobody has mapped: clean, inactive, its slot in its own record. 0."""
    slot = page_of(seg, pfn) + PAGE.stamp
    store_relaxed(seg, slot, pfn << 1)
    return lru_add(seg, me, pcp_cpu, pfn, slot, LRU_FILE, INACTIVE)


@jit
def file_pages(seg):
    """Pages of files on the lists of all nodes: a reading without lock."""
    pages = 0
    for node in range(seg[vmscan_of(seg) + VMSCAN.nr_nodes]):
        for active in range(INACTIVE, ACTIVE + 1):
            pages += lru_size(seg, node, LRU_FILE, active) + lru_size(seg, node, LRU_DIRTY, active)
    return pages


@jit_apart
def lru_isolate(seg, me, node, which, pages):
    """Take up to `pages` (SWAP_CLUSTER_MAX at most) pages off a list's tail into TASK.isolated; returns how many."""
    vec = lruvec_of(seg, node)
    out = task_of(seg, me) + TASK.isolated
    got = 0
    spin_lock_timed(seg, me, vec + LRUVEC.lock)
    while got < pages:
        pfn = seg[vec + LRUVEC.tail + which]
        if pfn == 0:
            break
        list_del(seg, vec, which, pfn)
        if page_move_owned(seg, me, pfn, PG_LRU, owner_of(seg, pfn), PG_TAKEN, me) == 0:
            break
        seg[out + got] = pfn
        got += 1
    spin_unlock_timed(seg, me, vec + LRUVEC.lock)
    return got


@jit_apart
def lru_remove(seg, me, pcp_cpu, pfn, slot, owner):
    """Free a page that was just unmapped from its owner's `slot`, unless a reclaimer has it, who will. 1 if freed."""
    vec = lruvec_of(seg, node_of_page(seg, pfn))
    spin_lock_timed(seg, me, vec + LRUVEC.lock)
    listed = 0
    unmapped = slot_page(load_relaxed(seg, slot)) != pfn  # else the page came back here, by another way, since
    if unmapped and page_state(seg, pfn) == PG_LRU and slot_of(seg, pfn) == slot and owner_of(seg, pfn) == owner:
        listed = page_move_owned(seg, me, pfn, PG_LRU, owner, PG_TAKEN, me)
        list_del(seg, vec, list_of(seg, pfn), pfn)
    spin_unlock_timed(seg, me, vec + LRUVEC.lock)
    if listed != 0:
        free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
    return listed


@jit
def slot_swap(seg, slot, word, becomes):
    """Change a slot from `word`; 1 if it was that. The one way to change a slot that others know."""
    # relaxed: the slot orders nothing; pages change hands under lru_lock
    return 1 if cmpxchg_relaxed(seg, slot, word, becomes) == word else 0
