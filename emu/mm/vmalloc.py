"""vmalloc objects: a page each, told from slab objects by a bit of the address, as the kernel tells them by range.

After   Linux mm/vmalloc.c, is_vmalloc_addr().
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm.page import MIGRATE_UNMOVABLE, NO_PAGE, PG_TAKEN, PG_VMALLOC, address_of, page_move, pfn_of
from emu.mm.page_alloc import alloc_page, free_page
from emu.mm.slab import LIVE, OBJECT_STATE, POISON, RCU_COOKIE, RCU_NEXT
from emu.shm import F_OBJECT_STATE, raise_fault
from emu.stats import VM, count

VMALLOC_SHIFT = 48
VMALLOC_START = 1 << VMALLOC_SHIFT


@jit
def is_vmalloc(obj):
    """1 for an object made by vmalloc(), 0 for one of a slab: also its channel."""
    return obj >> VMALLOC_SHIFT


@jit
def object_words(obj):
    """First word of an object of either kind."""
    return obj & (VMALLOC_START - 1)


@jit_apart
def vmalloc(seg, me, cpu, gfp):
    """An object of one page, alive, or 0."""
    pfn = alloc_page(seg, me, cpu, gfp, MIGRATE_UNMOVABLE)
    if pfn == NO_PAGE:
        return 0
    page_move(seg, me, pfn, PG_TAKEN, PG_VMALLOC, 0)
    at = address_of(pfn)
    seg[at + RCU_NEXT] = 0
    seg[at + RCU_COOKIE] = 0
    store_relaxed(seg, at + OBJECT_STATE, LIVE)
    count(seg, me, VM.vmalloc_alloc)
    return at | VMALLOC_START


@jit_apart
def vfree(seg, me, pcp_cpu, obj):
    """Free a vmalloc object and its page. Anyone; a second free faults."""
    at = object_words(obj)
    state = load_relaxed(seg, at + OBJECT_STATE)
    if state != LIVE:
        raise_fault(seg, me, F_OBJECT_STATE, obj, state, 0)
        return 0
    store_relaxed(seg, at + OBJECT_STATE, POISON)
    count(seg, me, VM.vmalloc_free)
    free_page(seg, me, pcp_cpu, pfn_of(at), PG_VMALLOC, 0)
    return 0
