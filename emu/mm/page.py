"""struct page: state, owner, links; and the pageblocks that carry a migratetype.

Holds   PAGE records (the mem_map), page states and their legal moves, pageblock types.
Rule    a page has one holder, who alone moves its state: check what it was, then write what it is. A move from
        another state than the caller believes is a double free or a foreign free, and faults at the spot.
        A page frame number is the page's word offset in the segment divided by 512: frame and address
        are one shift apart, and 0 is never a page.
Limits  one size of page, 4 KiB. Zone and migratetype are per pageblock of 512 pages (2 MiB).
After   Linux struct page, include/linux/pageblock-flags.h.
"""

from emu.arch import jit, load_relaxed, store_relaxed
from emu.shm import F_PAGE_OWNER, F_PAGE_STATE, MAP, raise_fault, record, region

PAGE_SHIFT = 9  # words: 512 words = 4 KiB
PAGE_WORDS = 1 << PAGE_SHIFT
PAGEBLOCK_ORDER = 9
NO_PAGE = 0

# `link` belongs to the lock-free stacks; `next`, `prev` to lists under a lock; `counters` to the slab.
PAGE = record("page", "state", "link", "next", "prev", "counters", "cache", "home", "stamp")

# state word: state in bits 0-7, order 8-15, migratetype 16-23, owner from bit 32 on
(PG_ABSENT, PG_BUDDY, PG_PCP, PG_TAKEN, PG_CACHE, PG_STATIC, PG_BNODE, PG_SLAB, PG_VMALLOC, PG_LRU,
 PG_ZRAM, PG_TRYLOCK) = range(12)
PAGE_STATES = ("absent", "buddy", "pcp", "taken", "cache", "static", "bnode", "slab", "vmalloc", "lru",
               "zram", "trylock_free")
ORDER_SHIFT, TYPE_SHIFT, OWNER_SHIFT = 8, 16, 32

MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_HIGHATOMIC = 0, 1, 2, 3
MIGRATE_PCPTYPES = 3
MIGRATE_TYPES = 4
MIGRATE_NAMES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic")

ZONE_SHIFT = 8  # pageblock word: migratetype in bits 0-7, zone from bit 8 on


@jit
def page_of(seg, pfn):
    """Word offset of a page's record."""
    return region(seg, MAP.page_base) + pfn * PAGE.SIZE


@jit
def page_links(seg):
    """Base such that page `pfn`'s stack link stands at `base + pfn * PAGE.SIZE`."""
    return region(seg, MAP.page_base) + PAGE.link


@jit
def page_state(seg, pfn):
    """State of a page, as seen now."""
    return load_relaxed(seg, page_of(seg, pfn)) & 0xFF


@jit
def page_owner(seg, pfn):
    """Owner tag of a page: a process (taken), a CPU (cache, static, bnode, vmalloc) or a slab cache; from 0."""
    return load_relaxed(seg, page_of(seg, pfn)) >> OWNER_SHIFT


@jit
def page_move(seg, me, pfn, was, becomes, owner):
    """Move a page from state `was` to `becomes` with a new owner. Its holder only. 1, or 0 after a fault."""
    page = page_of(seg, pfn)
    word = load_relaxed(seg, page)
    if word & 0xFF != was:
        raise_fault(seg, me, F_PAGE_STATE, pfn, word & 0xFF, was)
        return 0
    store_relaxed(seg, page, becomes | owner << OWNER_SHIFT)
    return 1


@jit
def page_move_owned(seg, me, pfn, was, was_owner, becomes, owner):
    """page_move() that also insists on the present owner: for frees."""
    page = page_of(seg, pfn)
    word = load_relaxed(seg, page)
    if word != was | was_owner << OWNER_SHIFT:
        if word & 0xFF != was:
            raise_fault(seg, me, F_PAGE_STATE, pfn, word & 0xFF, was)
        else:
            raise_fault(seg, me, F_PAGE_OWNER, pfn, word >> OWNER_SHIFT, was_owner)
        return 0
    store_relaxed(seg, page, becomes | owner << OWNER_SHIFT)
    return 1


@jit
def pageblock_of(seg, pfn):
    """Word offset of the pageblock that holds a page."""
    return region(seg, MAP.block_base) + (pfn >> PAGEBLOCK_ORDER)


@jit
def pageblock_type(seg, pfn):
    """Migratetype of the page's block; changed under zone->lock, read anywhere."""
    return load_relaxed(seg, pageblock_of(seg, pfn)) & 0xFF


@jit
def zone_index_of(seg, pfn):
    """Zone of the page's block. Constant after boot."""
    return load_relaxed(seg, pageblock_of(seg, pfn)) >> ZONE_SHIFT


@jit
def address_of(pfn):
    """First word of the page in the segment."""
    return pfn << PAGE_SHIFT


@jit
def pfn_of(address):
    """Page that holds a word of the pool."""
    return address >> PAGE_SHIFT
