"""Memory: pages, buddy, zones, per-CPU lists, slabs. What the kernel's mm/ does for order-0 and small objects.

Door of the room. Knows nothing of grace periods, policies or kvfree_rcu().
"""

from emu.mm.boot import SLAB_OBJECTS, boot_zone_pages, count_free_blocks, count_states, find_taken
from emu.mm.buddy import MAX_ORDER, area_add, rmqueue
from emu.mm.page import (
    MIGRATE_MOVABLE,
    MIGRATE_NAMES,
    MIGRATE_PCPTYPES,
    MIGRATE_TYPES,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    OWNER_SHIFT,
    PAGE,
    PAGE_SHIFT,
    PAGE_STATES,
    PAGE_WORDS,
    PAGEBLOCK_ORDER,
    PG_ABSENT,
    PG_BNODE,
    PG_BUDDY,
    PG_CACHE,
    PG_LRU,
    PG_PCP,
    PG_SLAB,
    PG_STATIC,
    PG_TAKEN,
    PG_VMALLOC,
    PG_ZRAM,
    ZONE_SHIFT,
    address_of,
    page_links,
    page_move,
    page_move_owned,
    page_of,
    page_owner,
    page_state,
    pfn_of,
)
from emu.mm.page_alloc import alloc_page, alloc_page_lockless, free_page
from emu.mm.pcp import PCP, SCRATCH_WORDS, pcp_count, pcp_decay, pcp_drain, pcp_of, scratch_of
from emu.mm.slab import (
    CACHE,
    LIVE,
    OBJECT_STATE,
    PAYLOAD,
    POISON,
    RCU_COOKIE,
    RCU_NEXT,
    SLAB_CPU,
    cache_of,
    kfree,
    kfree_bulk,
    kmalloc,
    poison_object,
    slab_cpu_of,
    slab_flush_cpu,
    slab_in_use,
)
from emu.mm.vmalloc import VMALLOC_SHIFT, VMALLOC_START, is_vmalloc, object_words, vfree, vmalloc
from emu.mm.zone import (
    GFP_ATOMIC,
    GFP_BY_NAME,
    GFP_KERNEL,
    GFP_KERNEL_NORETRY,
    GFP_NOWAIT,
    ZONE,
    zone_of,
)

__all__ = [
    "CACHE", "GFP_ATOMIC", "GFP_BY_NAME", "GFP_KERNEL", "GFP_KERNEL_NORETRY", "GFP_NOWAIT", "LIVE", "MAX_ORDER",
    "MIGRATE_MOVABLE", "MIGRATE_NAMES", "MIGRATE_PCPTYPES", "MIGRATE_TYPES", "MIGRATE_UNMOVABLE", "NO_PAGE",
    "OBJECT_STATE", "OWNER_SHIFT", "PAGE", "PAGEBLOCK_ORDER", "PAGE_SHIFT", "PAGE_STATES", "PAGE_WORDS", "PAYLOAD",
    "PCP", "PG_ABSENT", "PG_BNODE", "PG_BUDDY", "PG_CACHE", "PG_LRU", "PG_PCP", "PG_SLAB", "PG_STATIC", "PG_TAKEN",
    "PG_VMALLOC", "PG_ZRAM", "POISON", "RCU_COOKIE", "RCU_NEXT", "SCRATCH_WORDS", "SLAB_CPU", "SLAB_OBJECTS",
    "VMALLOC_SHIFT", "VMALLOC_START", "ZONE", "ZONE_SHIFT", "address_of", "alloc_page", "alloc_page_lockless",
    "area_add",
    "boot_zone_pages", "cache_of", "count_free_blocks", "count_states", "find_taken", "free_page", "is_vmalloc",
    "kfree", "kfree_bulk", "kmalloc", "object_words", "page_links", "page_move", "page_move_owned", "page_of",
    "page_owner", "page_state", "pcp_count", "pcp_decay", "pcp_drain", "pcp_of", "pfn_of", "poison_object",
    "rmqueue", "scratch_of", "slab_cpu_of", "slab_flush_cpu", "slab_in_use", "vfree", "vmalloc", "zone_of",
]
