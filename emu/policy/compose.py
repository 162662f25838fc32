"""A policy at work: sources asked in order when a bnode is needed, and the way of a page back.

Rule    consulted only when a page is needed, never on the array path. Everything here runs under krc->lock, but for
        take_unlocked(), for which the caller drops it. A page with a home (PAGE.home) goes there first; what its home
        does not keep, and what has none, goes to the cache, else to the allocator.
"""

from emu.arch import jit, jit_apart
from emu.mm import NO_PAGE, PG_BNODE, free_page
from emu.policy.pool import (
    HOME_GROWN,
    HOME_MEMPOOL,
    HOME_NONE,
    HOME_RESCUE,
    HOME_SHARED,
    HOME_STATIC,
    HOME_USER,
    RESCUE,
    cpu_pool,
    home_of,
    pool_put,
    set_home,
)
from emu.policy.refill import window_close
from emu.policy.softirq import note_low
from emu.policy.sources import mempool_free, needs_unlock, put_grown, put_shared, put_static, take_from
from emu.policy.stock import (
    ON_LOW_STOCK,
    POLICY,
    STOCK,
    cache_put,
    held_add,
    policy_of,
    stock_now,
    window_open,
)
from emu.policy.user import put_user
from emu.stats import VM, count
from emu.sync import spin_lock, spin_unlock
from emu.trace import EV, trace_event

GOT_NOTHING = 0


@jit_apart
def take_page(seg, me, cpu, stock, one_arg, first):
    """A page in state PG_BNODE from the first source, from number `first` on, that has one. Mutator, under krc->lock.

    Returns the page; -(i + 1) when source number i needs the lock dropped: the caller then asks source_at() by
    take_unlocked() and, if that has nothing, goes on here from i + 1; GOT_NOTHING when every source failed, and
    then the fallback window is open.
    """
    now = stock_now(seg, stock)
    for i in range(first, nr_sources(seg, one_arg)):
        source = source_at(seg, one_arg, i)
        if needs_unlock(seg, me, cpu, source, one_arg) != 0:
            return -(i + 1)
        pfn = take_from(seg, me, cpu, stock, source, now)
        if pfn != NO_PAGE:
            page_found(seg, me, stock, now)
            return pfn
    page_missed(seg, me, cpu, stock, now)
    return GOT_NOTHING


@jit
def nr_sources(seg, one_arg):
    """How many sources a call of this form has."""
    policy = policy_of(seg)
    return seg[policy + POLICY.nr_one_arg] if one_arg != 0 else seg[policy + POLICY.nr_sources]


@jit
def source_at(seg, one_arg, i):
    """Source number i of a call of this form."""
    policy = policy_of(seg)
    return seg[policy + POLICY.one_arg + i] if one_arg != 0 else seg[policy + POLICY.sources + i]


@jit
def page_found(seg, me, stock, now):
    """Account for a page found. Under krc->lock."""
    seg[stock + STOCK.hits] += 1
    count(seg, me, VM.bnode_alloc)
    if seg[stock + STOCK.window_start] != 0:
        window_close(seg, me, stock, now)
    if seg[policy_of(seg) + POLICY.trigger] == ON_LOW_STOCK:
        note_low(seg, stock, now)


@jit
def page_missed(seg, me, cpu, stock, now):
    """Account for a call that found no page. Under krc->lock."""
    count(seg, me, VM.kvfree_page_miss)
    if seg[stock + STOCK.window_start] == 0:
        trace_event(seg, me, EV.rcu_kvfree_miss, cpu, seg[stock + STOCK.nr_cached])
    window_open(seg, stock, now)


@jit
def page_fetched(seg, me, stock):
    """Account for a page that take_unlocked() brought. Under krc->lock, taken again."""
    now = stock_now(seg, stock)
    held_add(seg, stock, 1)
    page_found(seg, me, stock, now)


@jit_apart
def put_home(seg, me, cpu, stock, pfn, home):
    """Offer a bnode's page to where it came from; 1 if it was kept. Under krc->lock.

    Not kept, it has no home any more, and is still a bnode of the CPU.
    """
    kept = 0
    if home == HOME_STATIC:
        put_static(seg, me, cpu, stock, pfn)
        return 1
    if home >= HOME_USER:
        return put_user(seg, me, cpu, stock, pfn, home - HOME_USER)
    set_home(seg, pfn, HOME_NONE)
    if home == HOME_MEMPOOL:
        kept = mempool_free(seg, me, cpu, pfn)
    elif home == HOME_SHARED:
        kept = put_shared(seg, me, cpu, pfn, PG_BNODE)
    elif home == HOME_GROWN:
        kept = put_grown(seg, me, cpu, pfn, seg[stock + STOCK.stamp])
    elif home == HOME_RESCUE:
        kept = pool_put(seg, me, cpu_pool(seg, cpu, RESCUE), pfn, PG_BNODE, cpu, seg[stock + STOCK.stamp])
    if kept != 0:
        held_add(seg, stock, -1)
    return kept


@jit
def has_cache_claim(home):
    """1 if a page whose home did not keep it may go into the cache: pages of pools are the allocator's then."""
    return 1 if home == HOME_NONE or home >= HOME_USER else 0


@jit
def give_back(seg, me, pcp_cpu, cpu, stock, pfn, past_cache):
    """A bnode's page is empty: home, else, unless past_cache, to the cache, else to the allocator. 1 if it was kept."""
    lock = seg[stock + STOCK.lock]
    spin_lock(seg, me, lock)
    stock_now(seg, stock)
    home = home_of(seg, pfn)
    kept = 0
    if home != HOME_NONE:
        kept = put_home(seg, me, cpu, stock, pfn, home)
    if kept == 0 and past_cache == 0 and has_cache_claim(home) != 0:
        kept = cache_put(seg, me, cpu, stock, pfn, PG_BNODE)
        if kept != 0:
            count(seg, me, VM.krc_cache_put)
    if kept == 0:
        held_add(seg, stock, -1)
    spin_unlock(seg, me, lock)
    count(seg, me, VM.bnode_free)
    if kept == 0:
        free_page(seg, me, pcp_cpu, pfn, PG_BNODE, cpu)
    return kept


@jit_apart
def put_page(seg, me, pcp_cpu, cpu, stock, pfn):
    """A bnode's page is empty: back to its home, else to the cache of `cpu`, else to the allocator. Reclaim only."""
    return give_back(seg, me, pcp_cpu, cpu, stock, pfn, 0)


@jit_apart
def drop_page(seg, me, pcp_cpu, cpu, stock, pfn):
    """As put_page(), past the cache: home, or to the allocator. Reclaim only."""
    return give_back(seg, me, pcp_cpu, cpu, stock, pfn, 1)
