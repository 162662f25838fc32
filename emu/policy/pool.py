"""Pools: pages set aside, and the steps over one, whoever it belongs to.

Holds   POOL, the numbers of the pools, the HOME_* values of PAGE.home, get and put, and the boot-time fill.
Rule    a pool is under one lock: its own (mempool, shared), or the krc's (grown, rescue and shelf, one of each per
        CPU). `nr` pages lie in it, `total` belong to it, wherever they are. A page that has a home bears it in
        PAGE.home from the moment it is taken until it is given up, so the free side finds its way back.
        A pool's own lock is taken last: under krc->lock, or with none held.
Limits  LIFO, as the kernel's mempool. A page on the way back to another CPU's krc is put into that CPU's pool.
After   Linux mm/mempool.c (add_element, remove_element).
"""

from emu.arch import jit, store_relaxed
from emu.mm import NO_PAGE, PAGE, PG_STATIC, page_move, page_of
from emu.shm import MAP, line, now_ns, region, struct
from emu.sync import LOCK, rt_spin_lock, rt_spin_unlock

POOL = struct(
    "pool",
    line("its holder; waiters: anyone", ("lock", LOCK.SIZE)),
    line("the pool's lock", "head", "nr", "total", "target", "low", "takes", "empty", "grown", "stamp", "idle_ns",
         "t_emergency", "t_first", "t_short", "whole_ns", "others_out", "others_denied"),
    line("anyone, by read-modify-write", "freed", "waiters"),
)

POOL_MEMPOOL, POOL_SHARED, POOL_FIRST_CPU = 0, 1, 2
GROWN, RESCUE, SHELF = 0, 1, 2
POOLS_PER_CPU = 3

# PAGE.home: whose page it is. HOME_HANDED: handed out by emu.policy.api in this very call, see user.py.
HOME_NONE, HOME_STATIC, HOME_MEMPOOL, HOME_SHARED, HOME_GROWN, HOME_RESCUE, HOME_HANDED, HOME_USER = range(8)


@jit
def pool_of(seg, number):
    """Word offset of a pool."""
    return region(seg, MAP.pools) + number * POOL.SIZE


@jit
def cpu_pool(seg, cpu, which):
    """Word offset of a CPU's pool: GROWN, RESCUE or SHELF."""
    return pool_of(seg, POOL_FIRST_CPU + cpu * POOLS_PER_CPU + which)


def pools_in_all(cpus: int) -> int:
    """How many pools a machine has."""
    return POOL_FIRST_CPU + cpus * POOLS_PER_CPU


@jit
def home_of(seg, pfn):
    """Whose page it is. Its holder only."""
    return seg[page_of(seg, pfn) + PAGE.home]


@jit
def set_home(seg, pfn, home):
    """Say whose page it is. Its holder only."""
    seg[page_of(seg, pfn) + PAGE.home] = home


@jit
def pool_settle(seg, pool, now):
    """Bring the pool's idle pages x ns up to `now`. Under its lock."""
    if seg[pool + POOL.stamp] != 0:  # 0: before time zero, when nothing is counted
        seg[pool + POOL.idle_ns] += max(0, now - seg[pool + POOL.stamp]) * seg[pool + POOL.nr]
        seg[pool + POOL.stamp] = now


@jit
def pool_get(seg, me, pool, becomes, owner, now):
    """Take the last page put, in state `becomes`; NO_PAGE if the pool is empty. Under its lock."""
    pfn = seg[pool + POOL.head]
    if pfn == NO_PAGE:
        seg[pool + POOL.empty] += 1
        return NO_PAGE
    pool_settle(seg, pool, now)
    seg[pool + POOL.head] = seg[page_of(seg, pfn) + PAGE.next]
    left = seg[pool + POOL.nr] - 1
    store_relaxed(seg, pool + POOL.nr, left)
    if left < seg[pool + POOL.low]:
        seg[pool + POOL.low] = left
    if seg[pool + POOL.t_short] == 0:
        seg[pool + POOL.t_short] = now
    seg[pool + POOL.takes] += 1
    page_move(seg, me, pfn, PG_STATIC, becomes, owner)
    return pfn


@jit
def pool_put(seg, me, pool, pfn, was, owner, now):
    """Put a page in state `was` on top. Under its lock. 1, or 0 after a fault."""
    if page_move(seg, me, pfn, was, PG_STATIC, owner) == 0:
        return 0
    pool_settle(seg, pool, now)
    seg[page_of(seg, pfn) + PAGE.next] = seg[pool + POOL.head]
    seg[pool + POOL.head] = pfn
    store_relaxed(seg, pool + POOL.nr, seg[pool + POOL.nr] + 1)
    if seg[pool + POOL.nr] >= seg[pool + POOL.target] and seg[pool + POOL.t_short] != 0:
        # the longest time that the reserve was not whole
        seg[pool + POOL.whole_ns] = max(seg[pool + POOL.whole_ns], now - seg[pool + POOL.t_short])
        seg[pool + POOL.t_short] = 0
    return 1


@jit
def take_locked(seg, me, pool, becomes, owner):
    """pool_get() under the pool's own lock. Not from a holder of it."""
    rt_spin_lock(seg, me, pool + POOL.lock)
    pfn = pool_get(seg, me, pool, becomes, owner, now_ns(seg))
    rt_spin_unlock(seg, me, pool + POOL.lock)
    return pfn


@jit
def put_if_short(seg, me, pool, pfn, was, owner):
    """Put a page into a pool with a lock of its own if it has fewer than its target; 1 if it was put."""
    kept = 0
    rt_spin_lock(seg, me, pool + POOL.lock)
    if seg[pool + POOL.nr] < seg[pool + POOL.target]:
        kept = pool_put(seg, me, pool, pfn, was, owner, now_ns(seg))
    rt_spin_unlock(seg, me, pool + POOL.lock)
    return kept
