"""The worker's part of a pool that grows (S6, S7): raise the target after an emergency, lower it after a quiet time.

Rule    called by the refill worker, one run at a time per CPU. The target moves under krc->lock; pages are fetched
        and given back without it. A page that comes home to a pool above its target goes on to the allocator
        (sources/grown.py), so pages still out shrink it too.
After   the mails of 2020-09-23 to 25 (KF 1.2, S6 and S7).
"""

from emu.arch import jit, jit_apart, load_relaxed
from emu.mm import MIGRATE_UNMOVABLE, NO_PAGE, PG_TAKEN, alloc_page, free_page
from emu.policy.pool import GROWN, HOME_NONE, POOL, cpu_pool, pool_get, pool_put, set_home
from emu.policy.stock import POLICY, STOCK, policy_of, stock_now
from emu.stats import HIST, VM, count, hist_record
from emu.sync import spin_lock, spin_unlock

SHRINK_AT_ONCE = 64  # pages given back per step of the worker


@jit_apart
def grow_pool(seg, me, pcp_cpu, cpu, stock):
    """The worker's part after an emergency: raise the target, fetch what is missing. Returns the pages brought."""
    policy = policy_of(seg)
    pool = cpu_pool(seg, cpu, GROWN)
    lock = seg[stock + STOCK.lock]
    spin_lock(seg, me, lock)
    first = seg[pool + POOL.t_first]
    if first != 0:
        seg[pool + POOL.t_first] = 0
        limit = max(seg[policy + POLICY.grow_limit], seg[policy + POLICY.base_pages])
        target = min(seg[pool + POOL.target] + seg[policy + POLICY.grow_pages], limit)
        if target > seg[pool + POOL.target]:
            seg[pool + POOL.target] = target
            seg[pool + POOL.grown] += 1
            count(seg, me, VM.grown_raise)
    want = seg[pool + POOL.target] - seg[pool + POOL.total]
    spin_unlock(seg, me, lock)
    pages = 0
    while pages < want:
        pfn = alloc_page(seg, me, pcp_cpu, seg[policy + POLICY.gfp], MIGRATE_UNMOVABLE)
        if pfn == NO_PAGE:
            count(seg, me, VM.krc_refill_fail)
            break
        spin_lock(seg, me, lock)
        now = stock_now(seg, stock)
        seg[pool + POOL.total] += 1
        pool_put(seg, me, pool, pfn, PG_TAKEN, cpu, now)
        spin_unlock(seg, me, lock)
        count(seg, me, VM.grown_page)
        pages += 1
        if pages == want and first != 0:
            hist_record(seg, me, HIST.grow_ns, now - first)
    return pages


@jit
def shrink_due(seg, cpu):
    """When the CPU's pool has been quiet long enough to shrink; 0 if it is at its base or never shrinks."""
    policy = policy_of(seg)
    quiet = seg[policy + POLICY.shrink_ns]
    pool = cpu_pool(seg, cpu, GROWN)
    raised = load_relaxed(seg, pool + POOL.target) > seg[policy + POLICY.base_pages]
    surplus = load_relaxed(seg, pool + POOL.total) > load_relaxed(seg, pool + POOL.target)
    if quiet == 0 or not (raised or surplus and load_relaxed(seg, pool + POOL.nr) > 0):
        return 0
    return load_relaxed(seg, pool + POOL.t_emergency) + quiet


@jit_apart
def shrink_pool(seg, me, pcp_cpu, cpu, stock):
    """The worker's part after a quiet time: target to the base, surplus pages back. Bounded; returns how many went."""
    pool = cpu_pool(seg, cpu, GROWN)
    lock = seg[stock + STOCK.lock]
    gone = 0
    while gone < SHRINK_AT_ONCE:
        spin_lock(seg, me, lock)
        now = stock_now(seg, stock)
        if seg[pool + POOL.target] > seg[policy_of(seg) + POLICY.base_pages]:
            seg[pool + POOL.target] = seg[policy_of(seg) + POLICY.base_pages]
            count(seg, me, VM.grown_lower)
        pfn = NO_PAGE
        if seg[pool + POOL.total] > seg[pool + POOL.target] and seg[pool + POOL.nr] > 0:
            pfn = pool_get(seg, me, pool, PG_TAKEN, me, now)
            seg[pool + POOL.total] -= 1
        spin_unlock(seg, me, lock)
        if pfn == NO_PAGE:
            break
        set_home(seg, pfn, HOME_NONE)
        free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
        count(seg, me, VM.grown_shrink_page)
        gone += 1
    return gone
