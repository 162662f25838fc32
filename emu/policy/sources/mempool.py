"""Source "mempool" (S5): the allocator first, then the reserve, then sleep until an element is freed; "mempool-raw".

Rule    the kernel's contract. mempool_alloc(gfp): the allocator without direct reclaim, the reserve, the allocator with
        all flags; who may not sleep gets nothing then, who may sleeps until an element is freed or POOL_SLEEP_NS have
        passed, and tries again, for as long as the run lasts. mempool_free(): a reserve that is short gets
        the page, and one waiter is woken; else the allocator gets it. Two-argument callers ask with GFP_NOWAIT
        under krc->lock, one-argument callers with GFP_KERNEL and the lock dropped.
        "mempool-raw" is mempool_alloc_preallocated() with a raw lock: the reserve alone, legal in every context.
Edges   pool.wait   an element in the reserve against a waiter that is about to sleep
Limits  one pool for the machine. Progress only if every element comes back; a caller sleeps idle for RCU.
After   Linux mm/mempool.c (KF 5).
"""

from emu.arch import (
    fetch_add_acq_rel,
    fetch_add_relaxed,
    futex_wait,
    futex_wake,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    smp_mb,
)
from emu.mm import (
    GFP_KERNEL_NORETRY,
    GFP_NOMEMALLOC,
    GFP_NORETRY,
    GFP_NOWAIT,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_BNODE,
    PG_TAKEN,
    alloc_page,
    page_move,
)
from emu.policy.pool import HOME_MEMPOOL, POOL, POOL_MEMPOOL, pool_of, put_if_short, set_home, take_locked
from emu.policy.stock import held_add
from emu.rcu import rcu_eqs_enter, rcu_eqs_exit
from emu.shm import STOP, now_ns, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import LC, may_enter

POOL_SLEEP_NS = 5_000_000_000
LOOK_NS = 20_000_000  # of which each part is slept through; the end of a run is looked for between two


@jit
def from_allocator(seg, me, cpu, gfp):
    """An element from the underlying allocator, or NO_PAGE."""
    pfn = alloc_page(seg, me, cpu, gfp, MIGRATE_UNMOVABLE)
    if pfn != NO_PAGE:
        page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
        set_home(seg, pfn, HOME_MEMPOOL)
        count(seg, me, VM.mempool_hit)
    return pfn


@jit
def from_reserve(seg, me, cpu):
    """An element of the reserve, or NO_PAGE."""
    pfn = take_locked(seg, me, pool_of(seg, POOL_MEMPOOL), PG_BNODE, cpu)
    if pfn == NO_PAGE:
        count(seg, me, VM.mempool_empty)
        return NO_PAGE
    set_home(seg, pfn, HOME_MEMPOOL)
    count(seg, me, VM.mempool_reserve_hit)
    return pfn


@jit_apart
def take_mempool(seg, me, cpu, stock, now):
    """mempool_alloc(GFP_NOWAIT): never sleeps. Under krc->lock; takes zone->lock and the pool's."""
    pfn = from_allocator(seg, me, cpu, GFP_NOWAIT | GFP_NOMEMALLOC | GFP_NORETRY)
    if pfn == NO_PAGE and may_enter(seg, me, cpu, LC.pool) != 0:
        pfn = from_reserve(seg, me, cpu)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return pfn


@jit_apart
def take_mempool_raw(seg, me, cpu, stock, now):
    """The reserve alone, under a raw lock. Legal in every context."""
    pfn = from_reserve(seg, me, cpu)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return pfn


@jit_apart
def mempool_alloc_sleeping(seg, me, cpu):
    """mempool_alloc(GFP_KERNEL): no lock held, sleepable context. NO_PAGE only when the run ends meanwhile.

    The caller accounts for the page (held_add).
    """
    pool = pool_of(seg, POOL_MEMPOOL)
    pfn = from_allocator(seg, me, cpu, GFP_NOWAIT | GFP_NOMEMALLOC | GFP_NORETRY)
    while pfn == NO_PAGE:
        seen = load_acquire(seg, pool + POOL.freed)  # ACQ pool.wait: the bell before the reserve. Pairs with wake_one()
        pfn = from_reserve(seg, me, cpu)
        if pfn == NO_PAGE:
            pfn = from_allocator(seg, me, cpu, GFP_KERNEL_NORETRY)
        if pfn == NO_PAGE:
            if run_state(seg) >= STOP:
                return NO_PAGE
            wait_for_element(seg, me, cpu, pool, seen)
    return pfn


@jit_apart
def wait_for_element(seg, me, cpu, pool, seen):
    """Sleep until an element is freed after `seen` was read, at most POOL_SLEEP_NS. The CPU is idle for RCU."""
    start = now_ns(seg)
    count(seg, me, VM.mempool_wait)
    rcu_eqs_enter(seg, me, cpu)
    fetch_add_relaxed(seg, pool + POOL.waiters, 1)
    smp_mb()  # MB pool.wait: announcement before the look at the bell. Pairs with wake_one()
    while load_relaxed(seg, pool + POOL.freed) == seen and run_state(seg) < STOP:
        now = now_ns(seg)
        if now - start >= POOL_SLEEP_NS:
            break
        futex_wait(seg, pool + POOL.freed, seen, min(now + LOOK_NS, start + POOL_SLEEP_NS))
    fetch_add_relaxed(seg, pool + POOL.waiters, -1)
    rcu_eqs_exit(seg, cpu)
    hist_record(seg, me, HIST.mempool_wait_ns, now_ns(seg) - start)
    return 0


@jit_apart
def mempool_free(seg, me, cpu, pfn):
    """Give an element back: to the reserve if it is short, waking one waiter (1); else it is the allocator's (0)."""
    pool = pool_of(seg, POOL_MEMPOOL)
    kept = put_if_short(seg, me, pool, pfn, PG_BNODE, cpu)
    if kept != 0:
        wake_one(seg, pool)
    return kept


@jit
def wake_one(seg, pool):
    """An element has come back: wake one waiter, if there is any."""
    fetch_add_acq_rel(seg, pool + POOL.freed, 1)  # REL pool.wait: the reserve before the bell. Pairs with ACQ above
    smp_mb()  # MB pool.wait: the bell before the look at waiters. Pairs with wait_for_element()
    if load_relaxed(seg, pool + POOL.waiters) != 0:
        futex_wake(seg, pool + POOL.freed, 1)
