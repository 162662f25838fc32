"""Reclaim of a node: lists scanned by priority, pages unmapped, stored or written, and freed; then the shrinkers.

Holds   shrink_node(), what kswapd and direct reclaim share; what a reclaim of a page costs.
Rule    scan size of a list = its length >> priority, weighed by swappiness. A page whose accessed bit is set goes to
        the active list; another one is unmapped and freed. The cost of a page's kind is burnt by whoever reclaims it.
        Only kswapd writes dirty pages back. TASK.scanned and TASK.reclaimed add up over one reclaimer's pass.
Limits  no cost model between anon and file beside swappiness; no working-set protection of refaulted pages but their
        place on the active list.
After   Linux mm/vmscan.c: shrink_lruvec, get_scan_count, shrink_inactive_list, shrink_active_list (KF 3.5 to 3.7).
"""

from emu.arch import fetch_add_relaxed, jit, jit_apart, load_relaxed
from emu.mm import PG_TAKEN, free_page
from emu.rcu import rcu_tick
from emu.shm import MUTATOR, PROC, STOP, now_ns, proc_of, run_state
from emu.stats import VM, count, count_n
from emu.vmscan.lru import (
    ACCESSED,
    ACTIVE,
    EVICTED,
    INACTIVE,
    kind_of,
    lru_activate,
    lru_isolate,
    lru_putback,
    lru_size,
    owner_of,
    slot_of,
    slot_page,
    slot_swap,
)
from emu.vmscan.shrinker import do_shrink_slab
from emu.vmscan.state import (
    LRU_ANON,
    LRU_DIRTY,
    LRU_KINDS,
    MM,
    SWAP_CLUSTER_MAX,
    TASK,
    VMSCAN,
    app_of,
    mm_of,
    task_of,
    vmscan_of,
)
from emu.vmscan.zram import zram_free, zram_room, zram_store


@jit
def mm_add(seg, owner, rss, swap):
    """Move the counts of the application that process `owner` is; nothing for anybody else."""
    app = app_of(seg, owner)
    if app >= 0:
        mm = mm_of(seg, app)
        fetch_add_relaxed(seg, mm + MM.rss, rss)
        if swap != 0:
            fetch_add_relaxed(seg, mm + MM.swap, swap)


@jit
def tick(seg, me):
    """A mutator in reclaim still has its clock ticks, and is at a scheduling point."""
    proc = proc_of(seg, me)
    if seg[proc + PROC.role] == MUTATOR:
        rcu_tick(seg, me, seg[proc + PROC.cpu], now_ns(seg), 1)


@jit_apart
def burn(seg, me, ns):
    """Be busy for `ns`: what the emulated work costs. Returns 0."""
    until = now_ns(seg) + ns
    while now_ns(seg) < until and run_state(seg) < STOP:
        pass
    return 0


@jit
def evict(seg, me, pcp_cpu, pfn, kswapd):
    """Try to unmap an isolated page and pay for it: 1 if it may be freed, 0 if it is to be kept (its list chosen)."""
    slot = slot_of(seg, pfn)
    kind = kind_of(seg, pfn)
    word = load_relaxed(seg, slot)
    if slot_page(word) != pfn:
        return 0  # its owner has left it: lru_putback() frees it
    if word & ACCESSED != 0:
        slot_swap(seg, slot, word, word & ~ACCESSED)
        lru_activate(seg, pfn, ACTIVE)
        count(seg, me, VM.pgactivate)
        return 0
    if kind == LRU_DIRTY and kswapd == 0:
        return 0
    if kind == LRU_ANON and zram_store(seg, me, pcp_cpu) == 0:
        lru_activate(seg, pfn, ACTIVE)
        return 0
    if slot_swap(seg, slot, word, EVICTED) == 0:  # touched, or left, meanwhile
        if kind == LRU_ANON:
            zram_free(seg, me, pcp_cpu)
        return 0
    burn(seg, me, seg[vmscan_of(seg) + VMSCAN.cost_ns + kind])
    mm_add(seg, owner_of(seg, pfn), -1, 1 if kind == LRU_ANON else 0)
    if kind == LRU_ANON:
        count(seg, me, VM.pswpout)
    return 1


@jit_apart
def shrink_inactive_list(seg, me, pcp_cpu, node, kind, pages, kswapd):
    """Scan up to SWAP_CLUSTER_MAX pages of a kind's inactive list; returns those freed."""
    got = lru_isolate(seg, me, node, 2 * kind + INACTIVE, min(pages, SWAP_CLUSTER_MAX))
    if got == 0:
        return 0
    task = task_of(seg, me)
    freed = 0
    for i in range(got):
        pfn = seg[task + TASK.isolated + i]
        if evict(seg, me, pcp_cpu, pfn, kswapd) != 0:
            free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
            freed += 1
        else:
            lru_putback(seg, me, pcp_cpu, pfn)
    seg[task + TASK.scanned] += got
    seg[task + TASK.reclaimed] += freed
    count_n(seg, me, VM.pgscan_kswapd if kswapd != 0 else VM.pgscan_direct, got)
    count_n(seg, me, VM.pgsteal_kswapd if kswapd != 0 else VM.pgsteal_direct, freed)
    tick(seg, me)
    return freed


@jit_apart
def shrink_active_list(seg, me, pcp_cpu, node, kind, pages):
    """Move up to SWAP_CLUSTER_MAX pages from a kind's active list to its inactive one, accessed bits cleared."""
    got = lru_isolate(seg, me, node, 2 * kind + ACTIVE, min(pages, SWAP_CLUSTER_MAX))
    for i in range(got):
        pfn = seg[task_of(seg, me) + TASK.isolated + i]
        slot = slot_of(seg, pfn)
        word = load_relaxed(seg, slot)
        if slot_page(word) == pfn and word & ACCESSED != 0:
            slot_swap(seg, slot, word, word & ~ACCESSED)
        lru_activate(seg, pfn, INACTIVE)
        lru_putback(seg, me, pcp_cpu, pfn)
    count_n(seg, me, VM.pgrefill, got)
    count_n(seg, me, VM.pgdeactivate, got)
    return got


@jit
def inactive_is_low(seg, node, kind):
    """1 if the inactive list is shorter than the active one: the ratio of a machine below 1 GiB of this kind."""
    return 1 if lru_size(seg, node, kind, INACTIVE) < lru_size(seg, node, kind, ACTIVE) else 0


@jit
def scan_count(seg, node, kind, priority):
    """Pages of a kind to scan at this priority. Anonymous memory without room in zram is not scanned."""
    size = lru_size(seg, node, kind, INACTIVE) + lru_size(seg, node, kind, ACTIVE)
    if kind == LRU_ANON and zram_room(seg) == 0:
        return 0
    scan = size >> priority
    if priority == 0:
        return scan
    swappiness = seg[vmscan_of(seg) + VMSCAN.swappiness]
    share = swappiness if kind == LRU_ANON else 200 - swappiness
    return scan * share // 200


@jit_apart
def shrink_kind(seg, me, pcp_cpu, node, kind, priority, target, kswapd):
    """Scan one kind's lists of a node at this priority, until the pass has its target. Returns the pages freed."""
    scan = scan_count(seg, node, kind, priority)
    freed = 0
    while scan > 0 and run_state(seg) < STOP:
        if inactive_is_low(seg, node, kind) != 0:
            shrink_active_list(seg, me, pcp_cpu, node, kind, scan)
        before = seg[task_of(seg, me) + TASK.scanned]
        freed += shrink_inactive_list(seg, me, pcp_cpu, node, kind, scan, kswapd)
        if seg[task_of(seg, me) + TASK.scanned] == before:
            break
        scan -= SWAP_CLUSTER_MAX
        if seg[task_of(seg, me) + TASK.reclaimed] >= target:
            break
    return freed


@jit_apart
def shrink_node(seg, me, pcp_cpu, node, priority, target, kswapd):
    """One pass over a node: lists, then shrinkers. Returns the pages freed; TASK.scanned and .reclaimed grow."""
    freed = 0
    for kind in range(LRU_KINDS):
        freed += shrink_kind(seg, me, pcp_cpu, node, kind, priority, target, kswapd)
    do_shrink_slab(seg, me, pcp_cpu, priority)
    tick(seg, me)
    return freed


@jit
def reclaimable_pages(seg, node):
    """Pages that reclaim could still take from a node: zone_reclaimable_pages()."""
    pages = 0
    for kind in range(LRU_KINDS):
        if kind != LRU_ANON or zram_room(seg) > 0:
            pages += lru_size(seg, node, kind, INACTIVE) + lru_size(seg, node, kind, ACTIVE)
    return pages
