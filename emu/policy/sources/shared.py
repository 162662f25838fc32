"""Source "shared-reserve" (S15): one emergency pool of the machine, open to every critical user.

Rule    whoever takes a page from it gives it back to it, when he pleases. Nobody is kept from calling himself critical,
        which is the point. One lock; its own.
Limits  the reserve alone: what is not critical asks the allocator.
After   the mail of 2020-09-23 (KF 1.2, S15).
"""

from emu.arch import jit_apart
from emu.mm import NO_PAGE, PG_BNODE, PG_TAKEN
from emu.policy.pool import (
    HOME_NONE,
    HOME_SHARED,
    POOL,
    POOL_SHARED,
    pool_get,
    pool_of,
    pool_put,
    set_home,
    take_locked,
)
from emu.policy.stock import held_add
from emu.shm import now_ns
from emu.stats import VM, count
from emu.sync import LC, may_enter, spin_lock, spin_unlock


@jit_apart
def take_shared_reserve(seg, me, cpu, stock, now):
    """A page of the shared pool for a bnode. Under krc->lock; takes the pool's raw lock."""
    pfn = NO_PAGE
    if may_enter(seg, me, cpu, LC.pool_raw) != 0:
        pfn = take_locked(seg, me, pool_of(seg, POOL_SHARED), PG_BNODE, cpu)
    if pfn == NO_PAGE:
        count(seg, me, VM.shared_reserve_empty)
        return NO_PAGE
    count(seg, me, VM.shared_reserve_hit)
    set_home(seg, pfn, HOME_SHARED)
    held_add(seg, stock, 1)
    return pfn


@jit_apart
def put_shared(seg, me, cpu, pfn, was):
    """A page of the shared pool comes home. Anyone who holds one."""
    pool = pool_of(seg, POOL_SHARED)
    spin_lock(seg, me, pool + POOL.lock)
    pool_put(seg, me, pool, pfn, was, cpu, now_ns(seg))
    spin_unlock(seg, me, pool + POOL.lock)
    return 1


@jit_apart
def shared_reserve_take(seg, me, cpu):
    """A page for another user of the machine, in state PG_TAKEN and owned by process `me`; NO_PAGE if it is empty.

    Any process, any context but with the pool's lock held. The caller gives it back by shared_reserve_put().
    """
    pool = pool_of(seg, POOL_SHARED)
    spin_lock(seg, me, pool + POOL.lock)
    pfn = pool_get(seg, me, pool, PG_TAKEN, me, now_ns(seg))
    if pfn == NO_PAGE:
        seg[pool + POOL.others_denied] += 1
    else:
        seg[pool + POOL.others_out] += 1
        set_home(seg, pfn, HOME_SHARED)
    spin_unlock(seg, me, pool + POOL.lock)
    return pfn


@jit_apart
def shared_reserve_put(seg, me, cpu, pfn):
    """Give back a page from shared_reserve_take(). The process that took it. Returns 1."""
    pool = pool_of(seg, POOL_SHARED)
    set_home(seg, pfn, HOME_NONE)
    spin_lock(seg, me, pool + POOL.lock)
    seg[pool + POOL.others_out] -= 1
    pool_put(seg, me, pool, pfn, PG_TAKEN, cpu, now_ns(seg))
    spin_unlock(seg, me, pool + POOL.lock)
    return 1
