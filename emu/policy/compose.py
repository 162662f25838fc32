"""A policy at work: sources asked in order when a bnode is needed, and the way of a page back.

Rule    consulted only when a page is needed, never on the array path. Everything here runs under krc->lock.
"""

from emu.arch import jit, jit_apart
from emu.mm import NO_PAGE, PG_BNODE, free_page
from emu.policy.refill import window_close
from emu.policy.sources import SRC_DIRECT, is_static, put_static, take_from
from emu.policy.stock import POLICY, STOCK, cache_put, held_add, policy_of, stock_now, window_open
from emu.stats import VM, count
from emu.sync import spin_lock, spin_unlock
from emu.trace import EV, trace_event

GOT_NOTHING, TRY_DIRECT = 0, -1


@jit_apart
def take_page(seg, me, cpu, stock, one_arg):
    """A page in state PG_BNODE from the first source that has one. Mutator of `cpu`, under krc->lock.

    Returns the page; TRY_DIRECT when the composition's next source needs the lock dropped (one-argument calls
    only); GOT_NOTHING when every source failed, and then the fallback window is open.
    """
    policy = policy_of(seg)
    now = stock_now(seg, stock)
    sources = seg[policy + POLICY.nr_sources]
    at = policy + POLICY.sources
    if one_arg != 0:
        sources = seg[policy + POLICY.nr_one_arg]
        at = policy + POLICY.one_arg
    for i in range(sources):
        source = seg[at + i]
        if source == SRC_DIRECT:
            return TRY_DIRECT
        pfn = take_from(seg, me, cpu, stock, source, now)
        if pfn != NO_PAGE:
            page_found(seg, me, stock, now)
            return pfn
    page_missed(seg, me, cpu, stock, now)
    return GOT_NOTHING


@jit
def page_found(seg, me, stock, now):
    """Account for a page found. Under krc->lock."""
    seg[stock + STOCK.hits] += 1
    count(seg, me, VM.bnode_alloc)
    if seg[stock + STOCK.window_start] != 0:
        window_close(seg, me, stock, now)


@jit
def page_missed(seg, me, cpu, stock, now):
    """Account for a call that found no page. Under krc->lock."""
    count(seg, me, VM.kvfree_page_miss)
    if seg[stock + STOCK.window_start] == 0:
        trace_event(seg, me, EV.rcu_kvfree_miss, cpu, seg[stock + STOCK.nr_cached])
    window_open(seg, stock, now)


@jit
def direct_found(seg, me, stock):
    """Account for a page that a one-argument caller fetched itself. Under krc->lock."""
    now = stock_now(seg, stock)
    held_add(seg, stock, 1)
    page_found(seg, me, stock, now)


@jit
def direct_missed(seg, me, cpu, stock):
    """Account for a one-argument caller whose own request failed: a miss, as of any source. Under krc->lock."""
    page_missed(seg, me, cpu, stock, stock_now(seg, stock))


@jit_apart
def put_page(seg, me, pcp_cpu, cpu, stock, pfn):
    """A bnode's page is empty: back to its reserve, else to the cache of `cpu`, else to the allocator. Reclaim only."""
    lock = seg[stock + STOCK.lock]
    spin_lock(seg, me, lock)
    stock_now(seg, stock)
    kept = 1
    if is_static(seg, pfn) != 0:
        put_static(seg, me, cpu, stock, pfn)
    elif cache_put(seg, me, cpu, stock, pfn, PG_BNODE) != 0:
        count(seg, me, VM.krc_cache_put)
    else:
        held_add(seg, stock, -1)
        kept = 0
    spin_unlock(seg, me, lock)
    count(seg, me, VM.bnode_free)
    if kept == 0:
        free_page(seg, me, pcp_cpu, pfn, PG_BNODE, cpu)
    return kept


@jit_apart
def drop_page(seg, me, pcp_cpu, cpu, stock, pfn):
    """As put_page(), past the cache: a reserve page to its reserve, any other to the allocator. Reclaim only."""
    lock = seg[stock + STOCK.lock]
    spin_lock(seg, me, lock)
    stock_now(seg, stock)
    kept = is_static(seg, pfn)
    if kept != 0:
        put_static(seg, me, cpu, stock, pfn)
    else:
        held_add(seg, stock, -1)
    spin_unlock(seg, me, lock)
    count(seg, me, VM.bnode_free)
    if kept == 0:
        free_page(seg, me, pcp_cpu, pfn, PG_BNODE, cpu)
    return kept
