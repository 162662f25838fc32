"""kvfree_rcu()'s shrinker: under memory pressure, give cached pages back and let batches go early.

Holds   what is bound to the hooks of emu.vmscan: count and scan.
Rule    count: objects queued and pages cached, over all CPUs. From v6.1 on it also sets every CPU's back-off: the next
        refill is delayed and brings one page. scan, CPU by CPU: empties the page cache (from v6.1 on) and has the
        monitor run at once, until it has done what was asked for.
Limits  the kernel runs the monitor in the caller. Here it is asked of its daemon, which alone may hand batches over.
After   Linux kfree_rcu_shrink_count, kfree_rcu_shrink_scan, drain_page_cache (KF 2.10).
"""

from emu.arch import jit, jit_apart, load_relaxed, smp_mb, store_relaxed
from emu.kvfree.krc import KRC, KVFREE, krc_of, kvfree_of
from emu.mm import NO_PAGE, PG_BNODE, free_page
from emu.policy import STOCK, cache_get, held_add, stock_now, stock_of
from emu.shm import HEADER, now_ns
from emu.stats import VM, count, count_n
from emu.sync import proc_ring, spin_lock, spin_unlock
from emu.vmscan import shrink_count, shrink_scan


@jit_apart
def kfree_rcu_shrink_count(seg, me):
    """Objects queued and pages cached; from v6.1 on, back-off for every CPU. Any reclaimer."""
    caches = seg[kvfree_of(seg) + KVFREE.shrinks_cache]
    total = 0
    for cpu in range(seg[HEADER.nr_cpus]):
        total += load_relaxed(seg, krc_of(seg, cpu) + KRC.count)
        if caches != 0:
            stock = stock_of(seg, cpu)
            total += load_relaxed(seg, stock + STOCK.nr_cached)
            store_relaxed(seg, stock + STOCK.backoff, 1)
    count(seg, me, VM.kfree_rcu_shrink_count)
    return total


@jit_apart
def drain_page_cache(seg, me, pcp_cpu, cpu):
    """Free every page of a CPU's cache, one by one; returns how many."""
    stock = stock_of(seg, cpu)
    lock = krc_of(seg, cpu)
    freed = 0
    while True:
        spin_lock(seg, me, lock)
        stock_now(seg, stock)
        pfn = cache_get(seg, me, cpu, stock)
        if pfn != NO_PAGE:
            held_add(seg, stock, -1)
        spin_unlock(seg, me, lock)
        if pfn == NO_PAGE:
            return freed
        free_page(seg, me, pcp_cpu, pfn, PG_BNODE, cpu)
        freed += 1


@jit
def monitor_now(seg, me, cpu):
    """Have a CPU's monitor run at once, if anything is queued; returns the objects queued, 0 if it was asked before."""
    krc = krc_of(seg, cpu)
    spin_lock(seg, me, krc)
    now = now_ns(seg)
    queued = seg[krc + KRC.count]
    due = load_relaxed(seg, krc + KRC.monitor_due)
    if due != 0 and due <= now:
        queued = 0
    if queued != 0:
        store_relaxed(seg, krc + KRC.monitor_due, now)
        smp_mb()  # MB monitor.arm: due time before the daemon's wake time. Pairs with reclaim_step()
    spin_unlock(seg, me, krc)
    if queued != 0:
        proc_ring(seg, seg[krc + KRC.reclaim])
    return queued


@jit_apart
def kfree_rcu_shrink_scan(seg, me, pcp_cpu, nr):
    """Free about `nr`, CPU by CPU. Any reclaimer, under no lock; returns what it has set free."""
    caches = seg[kvfree_of(seg) + KVFREE.shrinks_cache]
    freed = 0
    for cpu in range(seg[HEADER.nr_cpus]):
        if caches != 0:
            pages = drain_page_cache(seg, me, pcp_cpu, cpu)
            count_n(seg, me, VM.kfree_rcu_shrink_pages, pages)
            freed += pages
        freed += monitor_now(seg, me, cpu)
        if freed >= nr:
            break
    return freed


shrink_count.bind(kfree_rcu_shrink_count)
shrink_scan.bind(kfree_rcu_shrink_scan)
