"""Sources "grown" (S6) and "rescue" (S7): a pool per CPU that grows after an emergency, and a reserve beside it.

Rule    finding the grown pool empty is an emergency. The worker then raises the target by grow_pages, up to
        grow_limit_pages, and fetches what is missing; without an emergency for shrink_after_ms it lowers the target to
        the base and gives back what lies there, and pages that come home later go on to the allocator.
        The rescue reserve never grows: it is asked while the grown pool is empty, and its pages come back to it.
        Both are under krc->lock.
After   the mails of 2020-09-23 to 25 (KF 1.2, S6 and S7).
"""

from emu.arch import jit, jit_apart
from emu.mm import NO_PAGE, PG_BNODE
from emu.policy.pool import (
    GROWN,
    HOME_GROWN,
    HOME_RESCUE,
    POOL,
    RESCUE,
    cpu_pool,
    pool_get,
    pool_put,
    set_home,
)
from emu.policy.stock import held_add
from emu.stats import VM, count


@jit_apart
def take_grown(seg, me, cpu, stock, now):
    """A page of the grown pool. Under krc->lock; legal in every context. Empty: an emergency, noted for the worker."""
    pool = cpu_pool(seg, cpu, GROWN)
    pfn = pool_get(seg, me, pool, PG_BNODE, cpu, now)
    if pfn == NO_PAGE:
        count(seg, me, VM.grown_empty)
        seg[pool + POOL.t_emergency] = now
        if seg[pool + POOL.t_first] == 0:
            seg[pool + POOL.t_first] = now
        return NO_PAGE
    count(seg, me, VM.grown_hit)
    set_home(seg, pfn, HOME_GROWN)
    held_add(seg, stock, 1)
    return pfn


@jit_apart
def take_rescue(seg, me, cpu, stock, now):
    """A page of the rescue reserve. Under krc->lock; legal in every context."""
    pfn = pool_get(seg, me, cpu_pool(seg, cpu, RESCUE), PG_BNODE, cpu, now)
    if pfn == NO_PAGE:
        count(seg, me, VM.rescue_empty)
        return NO_PAGE
    count(seg, me, VM.rescue_hit)
    set_home(seg, pfn, HOME_RESCUE)
    held_add(seg, stock, 1)
    return pfn


@jit
def put_grown(seg, me, cpu, pfn, now):
    """A page comes home: into the pool, or, if the pool has shrunk meanwhile, on to the allocator (0)."""
    pool = cpu_pool(seg, cpu, GROWN)
    if seg[pool + POOL.total] > seg[pool + POOL.target]:
        seg[pool + POOL.total] -= 1
        count(seg, me, VM.grown_shrink_page)
        return 0
    return pool_put(seg, me, pool, pfn, PG_BNODE, cpu, now)
