"""Sources that ask the allocator for what it can give without waiting for a lock: S11 to S14 and S21.

Rule    no-locks (S11)       LOW, this CPU's list of the wanted type; empty: nothing, and no slow path
        no-locks-late (S12)  the flag is met inside rmqueue_bulk() only: the walk at LOW, and the next one at MIN
        gfp-zero (S13)       value 0: LOW, then MIN; never the last half batch of the CPU's lists
        freelist-copy (S14)  a copy of the walk without locks: MIN with lowmem_reserve, wanted type, no reserves
        trylock (S21)        alloc_pages_nolock(): MIN at once, trylocks, refills, zeroes
        None of them wakes kswapd. Legal in every context: what is locked is tried once.
After   KF 1.2 (S11 to S14, S21), 2.12.
"""

from emu.arch import jit, jit_apart
from emu.mm import (
    ALLOC_NO_LOCKS,
    ALLOC_WMARK_LOW,
    ALLOC_WMARK_MIN,
    GFP_NOWARN,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_BNODE,
    PG_TAKEN,
    ZONE,
    alloc_pages_nolock,
    get_page_from_freelist,
    page_move,
    pcp_count,
    pcp_of,
    zone_of,
)
from emu.policy.stock import held_add
from emu.shm import MAP, region
from emu.stats import VM, count
from emu.sync import CTX_HARDIRQ, CTX_NMI, HELD, LOCKDEP, held_of, lockdep_on


@jit
def account(seg, me, cpu, stock, pfn):
    """A page that the walk gave becomes a bnode's."""
    if pfn == NO_PAGE:
        count(seg, me, VM.lists_miss)
        return NO_PAGE
    count(seg, me, VM.lists_hit)
    page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
    held_add(seg, stock, 1)
    return pfn


@jit
def walk(seg, me, cpu, mark):
    """One walk without locks at a mark."""
    return get_page_from_freelist(seg, me, cpu, GFP_NOWARN, 0, MIGRATE_UNMOVABLE, mark | ALLOC_NO_LOCKS)


@jit_apart
def take_no_locks(seg, me, cpu, stock, now):
    """S11. Under krc->lock; legal in every context."""
    return account(seg, me, cpu, stock, walk(seg, me, cpu, ALLOC_WMARK_LOW))


@jit_apart
def take_no_locks_late(seg, me, cpu, stock, now):
    """S12. Under krc->lock; legal in every context."""
    pfn = walk(seg, me, cpu, ALLOC_WMARK_LOW)
    if pfn == NO_PAGE:
        pfn = walk(seg, me, cpu, ALLOC_WMARK_MIN)
    return account(seg, me, cpu, stock, pfn)


@jit_apart
def take_gfp_zero(seg, me, cpu, stock, now):
    """S13. Under krc->lock; legal in every context. Leaves half a batch on the CPU's lists."""
    left = 0
    batch = 1
    for index in range(region(seg, MAP.nr_zones)):
        left += pcp_count(seg, pcp_of(seg, index, cpu))
        batch = max(batch, seg[zone_of(seg, index) + ZONE.batch])
    if left <= batch // 2:
        count(seg, me, VM.lists_miss)
        return NO_PAGE
    pfn = walk(seg, me, cpu, ALLOC_WMARK_LOW)
    if pfn == NO_PAGE:
        pfn = walk(seg, me, cpu, ALLOC_WMARK_MIN)
    return account(seg, me, cpu, stock, pfn)


@jit_apart
def take_freelist_copy(seg, me, cpu, stock, now):
    """S14. Under krc->lock; legal in every context."""
    return account(seg, me, cpu, stock, walk(seg, me, cpu, ALLOC_WMARK_MIN))


@jit
def is_refused(seg, me):
    """1 where alloc_pages_nolock() says no at once: a hard interrupt or an NMI on PREEMPT_RT."""
    if lockdep_on(seg) == 0 or seg[region(seg, MAP.lockdep) + LOCKDEP.rt] == 0:
        return 0
    context = seg[held_of(seg, me) + HELD.context]
    return 1 if context == CTX_HARDIRQ or context == CTX_NMI else 0


@jit_apart
def take_trylock(seg, me, cpu, stock, now):
    """S21. Under krc->lock; legal in every context, but refused in hard interrupts and NMI on PREEMPT_RT."""
    pfn = NO_PAGE
    if is_refused(seg, me) == 0:
        pfn = alloc_pages_nolock(seg, me, cpu, 0)
    if pfn == NO_PAGE:
        count(seg, me, VM.trylock_miss)
        return NO_PAGE
    count(seg, me, VM.trylock_hit)
    page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
    held_add(seg, stock, 1)
    return pfn
