"""The allocator for callers that may not wait for any lock: pages in any context, or none.

Holds   alloc_pages_nolock(), free_pages_nolock().
Rule    every lock is tried once. The mark is MIN at once, with no reserves; kswapd is not woken; there is no slow path.
        Pages come zeroed, at the price of clearing them.
Limits  the refusals of PREEMPT_RT (NMI, hard IRQ) are the caller's to make: what runs here has no context.
After   Linux alloc_pages_nolock(), free_pages_nolock() of mm/page_alloc.c, v6.15 on (KF 2.12).
"""

from emu.arch import jit_apart
from emu.mm.gfp import ALLOC_TRYLOCK, ALLOC_WMARK_MIN, GFP_NOMEMALLOC, GFP_NOWARN, GFP_ZERO
from emu.mm.page import MIGRATE_UNMOVABLE, NO_PAGE
from emu.mm.page_alloc import free_held, get_page_from_freelist, release_pages
from emu.stats import VM, count

NOLOCK_MAX_ORDER = 3  # orders that a PCP can hold in the kernel
GFP_NOLOCK = GFP_NOWARN | GFP_ZERO | GFP_NOMEMALLOC


@jit_apart
def alloc_pages_nolock(seg, me, pcp_cpu, order):
    """A zeroed block of order 0..3, each page PG_TAKEN by `me`, or NO_PAGE: not here, not now. Anyone, any context."""
    if order > NOLOCK_MAX_ORDER:
        return NO_PAGE
    pfn = get_page_from_freelist(seg, me, pcp_cpu, GFP_NOLOCK, order, MIGRATE_UNMOVABLE,
                                 ALLOC_TRYLOCK | ALLOC_WMARK_MIN)
    if pfn == NO_PAGE:
        count(seg, me, VM.nolock_fail)
    return pfn


@jit_apart
def free_pages_nolock(seg, me, pcp_cpu, pfn, was, was_owner):
    """Free one page as free_page() does, without waiting: to the CPU's list however long, the buddy, or for later."""
    if release_pages(seg, me, pfn, 0, was, was_owner) != 0:
        free_held(seg, me, pcp_cpu, pfn, 0, 1)
    return 0
