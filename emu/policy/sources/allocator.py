"""Sources that ask the page allocator in the caller's context: "nowait" (S8), "atomic" (S9), "direct" (one-argument).

Limits  under krc->lock, as v5.7 to v5.10 did; "direct" may reclaim and is called with the lock dropped.
"""

from emu.arch import jit
from emu.mm import (
    GFP_ATOMIC,
    GFP_NOWAIT,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_BNODE,
    PG_TAKEN,
    alloc_page,
    page_move,
)
from emu.policy.stock import POLICY, held_add, policy_of
from emu.stats import VM, count


@jit
def take_direct(seg, me, cpu, gfp):
    """A page straight from the allocator, for a bnode of `cpu`; the caller accounts for it (held_add)."""
    pfn = alloc_page(seg, me, cpu, gfp, MIGRATE_UNMOVABLE)
    if pfn == NO_PAGE:
        count(seg, me, VM.direct_alloc_miss)
        return NO_PAGE
    count(seg, me, VM.direct_alloc_hit)
    page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
    return pfn


@jit
def take_nowait(seg, me, cpu, stock, now):
    """GFP_NOWAIT under krc->lock: obeys MIN, wakes kswapd."""
    pfn = take_direct(seg, me, cpu, GFP_NOWAIT)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return pfn


@jit
def take_atomic(seg, me, cpu, stock, now):
    """GFP_ATOMIC under krc->lock: eats five eighths of MIN."""
    pfn = take_direct(seg, me, cpu, GFP_ATOMIC)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return pfn


@jit
def take_sleeping(seg, me, cpu):
    """The one-argument caller's own allocation, with krc->lock dropped: GFP_KERNEL|NORETRY|NOMEMALLOC|NOWARN."""
    return take_direct(seg, me, cpu, seg[policy_of(seg) + POLICY.direct_gfp])
