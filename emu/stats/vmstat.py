"""Counters of one process, spelled as the kernel spells them.

Holds   VM (name -> index), VM_MEANING (what heavy activity of each says), count(), count_n(), counter(), and
        the reading side: read_counters(), sum_counters().
Rule    one block of counters per process, written by that process alone: a relaxed load and a relaxed store
        make an increment, no read-modify-write. Relaxed rather than plain, so that others read them live
        and the compiler neither sinks the store out of a loop nor merges it with a later one.
Limits  free-running int64. A sum over processes taken during a run is no snapshot: the blocks are read one
        after the other.
After   Linux include/linux/vm_event_item.h, Documentation/trace/events-kmem.rst (a table of meanings).
"""

from emu.arch import jit, load_relaxed, store_relaxed
from emu.shm import HEADER, MAP, record, region, round_to_line

# name -> what a high figure means. The order is the layout. Names without a twin in /proc/vmstat are our own.
VM_MEANING = {
    # Page allocator. High beside high kvfree_bulk: bnode pages make the round trip instead of staying cached.
    "pgalloc_normal": "pages handed out by the page allocator, to whomever; high means little is recycled above it",
    "pgalloc_dma32": "the same from zones DMA32; high beside pgalloc_normal means NORMAL zones are low",
    "pgalloc_dma": "the same from zones DMA; the last resort of ordinary requests",
    "pgfree": "pages given back to the page allocator; should follow pgalloc_normal, a growing gap is held memory",
    "pgalloc_fail": "page requests refused at a watermark or for lack of pages; the zone is under pressure",
    "pcp_refill_pages": "pages moved from the zone to a per-CPU list; high means lists run dry and zone->lock is hot",
    "pcp_drain_pages": "pages moved from a per-CPU list to the zone; high beside pcp_refill_pages means pages bounce",
    "pcp_lock_contended": "times pcp->lock was held and the request went to the buddy instead (rules v6.1 on)",
    "zone_trylock_fail": "requests that may not wait and found zone->lock held; each is a failure, or the next zone",
    "drain_all_pages": "times all CPUs' lists were emptied for a request that found nothing",
    "drain_local_pages": "CPU lists emptied for drain_all_pages; each makes the next lock-less pop there fail",
    "nolock_fail": "requests of alloc_pages_nolock() that got none: low memory, or locks held by others",
    "pgfree_deferred": "pages freed without zone->lock for want of it, and left for the next ordinary free",
    "pageblock_highatomic": "pageblocks set aside for high-order atomic requests",
    "pageblock_unreserve": "such pageblocks given back under pressure",
    "pcp_lockless_hit": "pages popped from a per-CPU list without a lock; the lock-less source is doing its work",
    "pcp_lockless_miss": "lock-less pops that found the per-CPU list empty; each is a fallback or the next source",
    "mm_page_alloc_extfrag": "pages taken from another migrate type's blocks; high means memory is fragmenting",
    # kvfree_rcu() calls, and where their objects went. calls = bulk + list + sync in the end.
    "kvfree_calls": "calls of kvfree_rcu(), both forms: the demand",
    "kvfree_bulk": "objects whose pointer went into a bnode: the fast way",
    "kvfree_fallback_list": "objects linked through their rcu_head for want of a page; freed one by one, dearer each",
    "kvfree_fallback_sync": "one-argument calls that had to wait for a grace period in place; callers were hurt",
    "kvfree_one_arg": "calls of the one-argument form; these have no rcu_head to fall back on",
    "kvfree_freed_bulk": "objects freed from bnodes after their grace period",
    "kvfree_freed_list": "objects freed from the rcu_head list after their grace period",
    "free_rcu_sheaf": "objects that kfree_rcu() put into a sheaf: neither array nor list",
    "free_rcu_sheaf_fail": "objects of a cache with sheaves that found none and took the old path",
    "kvfree_freed_sheaf": "objects whose sheaf's grace period ended",
    "alloc_cpu_sheaf": "objects allocated from a sheaf; high means what was freed is used again without a slab",
    "barn_get": "full sheaves taken from the barn",
    "barn_put": "full sheaves put into the barn after their grace period",
    "sheaf_flush": "objects of sheaves given back to their slabs; high means the barn is full",
    "sheaf_alloc": "sheaves allocated; high beside high sheaf_free means empty ones do not stay in the barn",
    "sheaf_free": "empty sheaves given back to their slab, the barn being full of them",
    "kvfree_freed_sync": "objects freed by their caller after it waited",
    "kvfree_page_miss": "calls that needed a page and got none from any source; each opens or prolongs a window",
    # The krc's page cache, its refill, and the other sources.
    "krc_cache_hit": "pages taken from the krc's cache; high beside few misses: the cache is large enough",
    "krc_cache_miss": "looks into an empty cache; high means demand comes faster than refill or than grace periods",
    "krc_cache_put": "bnode pages put back into the cache after their objects were freed: recycling works",
    "krc_refill_req": "refills asked for; high means the cache is emptied again and again",
    "krc_refill_run": "refills that began to run; much below krc_refill_req means the worker is starved",
    "krc_refill_page": "pages that refills put into caches",
    "krc_refill_fail": "page requests of a refill that failed: memory pressure reaches the refill worker",
    "krc_refill_surplus": "pages a refill fetched and gave back, the cache being full: bnodes came back first",
    "static_hit": "pages taken from a fixed reserve",
    "static_miss": "looks into an exhausted reserve: it is too small for this burst",
    "mempool_hit": "elements that a mempool got from the allocator: the reserve was not needed",
    "mempool_reserve_hit": "elements taken from a mempool's reserve: the allocator had nothing",
    "mempool_empty": "looks into an empty mempool reserve; high means min_nr is too small",
    "mempool_wait": "callers that slept until an element was freed",
    "grown_hit": "pages taken from the pool that grows",
    "grown_empty": "looks into that pool while empty: emergencies",
    "grown_raise": "times its target was raised after an emergency",
    "grown_lower": "times it was lowered after a quiet time",
    "grown_page": "pages fetched to let it grow",
    "grown_shrink_page": "pages that a grown pool gave back after a quiet time",
    "rescue_hit": "pages taken from the rescue reserve: growth was too slow",
    "rescue_empty": "looks into an exhausted rescue reserve",
    "shared_reserve_hit": "pages kvfree_rcu() took from the shared reserve",
    "shared_reserve_empty": "looks of kvfree_rcu() into it while it was empty: somebody else had it",
    "gate_open": "two-argument calls that could allocate because they were preemptible",
    "gate_closed": "two-argument calls that could not: not preemptible, or preemption is not counted",
    "lists_hit": "pages from this CPU's lists by way of the allocator, without a lock",
    "lists_miss": "such requests that found no page, or a zone at its mark",
    "trylock_hit": "pages from alloc_pages_nolock()",
    "trylock_miss": "alloc_pages_nolock() that failed: contended, or at MIN",
    "throttle_hit": "callers that were blocked until there was a page",
    "throttle_gp": "callers that were blocked until a grace period had elapsed",
    "softirq_refill": "refills done by a softirq on the CPU that ran low",
    "softirq_defer": "softirq refills left to the worker, having hit a holder of an allocator lock",
    "user_hit": "pages that a source of the user's own returned",
    "user_miss": "calls of it that had none",
    "bnode_alloc": "pages that became bnodes; many with few records each means poor filling",
    "bnode_free": "bnodes emptied; lags bnode_alloc by what waits for grace periods",
    "direct_alloc_hit": "pages the caller itself got from the page allocator",
    "direct_alloc_miss": "direct requests of the caller that failed",
    # Batches: from a full or old krc to the freeing of its objects.
    "kfree_rcu_monitor": "runs of the monitor; high with small batches means it drains too eagerly",
    "kfree_rcu_batch": "batches handed to a grace period",
    "kfree_rcu_work": "batches reclaimed; lags kfree_rcu_batch by the batches in flight",
    "kfree_rcu_polled": "objects freed by polling their cookie, with no further wait; high means the drain is late",
    "kvfree_rcu_barrier": "barriers that waited for everything queued",
    # Objects and the memory behind them.
    "kmalloc": "objects allocated from the emulated slab",
    "kmalloc_fail": "object allocations refused; the mutator could not do its work",
    "slab_page_alloc": "pages that became slab pages; high beside high slab_page_free means slabs churn",
    "slab_page_free": "emptied slab pages given back",
    "vmalloc_alloc": "vmalloc objects allocated; they go through the second bnode channel",
    "vmalloc_free": "vmalloc objects freed",
    # Grace periods and readers.
    "rcu_gp_start": "grace periods started; high with small batches means batching saves little",
    "rcu_gp_end": "grace periods ended; at most one behind rcu_gp_start",
    "rcu_fqs": "force-quiescent-state scans; high per grace period means readers or idle CPUs are slow to report",
    "rcu_qs_report": "quiescent states reported by CPUs themselves",
    "rcu_eqs_enter": "entries into an extended quiescent state (idle); reported on behalf by the scan",
    "rcu_stall": "stall warnings: a CPU that kept a grace period waiting beyond the limit",
    "rcu_tick": "scheduling-clock ticks seen by this CPU; far fewer than span * HZ means it was not on a core",
    "synchronize_rcu": "grace periods waited for in place",
    "reader_sections": "read-side critical sections entered",
    # Scheduling inside one emulated CPU, and the open-loop load.
    "preempt_resched": "times a section's end let a waiting worker in; high means sections delay workers",
    "preempt_stood_aside": "times a worker found its CPU not preemptible and stepped aside",
    "sleep_in_atomic": "sleeps asked for in atomic context: the policy is illegal there",
    "wait_ctx_violation": "locks asked for under a lock, or in a context, of a lower wait type: illegal everywhere",
    "self_deadlock": "locks asked for by their own holder: the call would never return",
    "kvfree_in_nmi": "kvfree_rcu() calls from an NMI, refused there and made from the interrupt that follows",
    "nmi_alloc_hit": "pages that an NMI got without a lock; high means the way that is legal there works",
    "nmi_alloc_miss": "page requests of an NMI that found nothing",
    "arrivals": "arrivals of the schedule that were served",
    "arrivals_late": "arrivals served later than they were due by more than the schedule allows",
    "proc_sleeps": "times this process went to sleep",
    # Reclaim: who scanned and took pages, and for whom it was too late.
    "allocstall_normal": "requests whose caller had to reclaim itself; each is a stall that kswapd came too late for",
    "pgscan_kswapd": "pages kswapd looked at; much above pgsteal_kswapd means they are in use",
    "pgscan_direct": "pages that allocating callers looked at themselves",
    "pgsteal_kswapd": "pages that kswapd took",
    "pgsteal_direct": "pages that allocating callers took themselves",
    "pgscan_direct_throttle": "callers held back until kswapd had freed half of MIN; the machine is close to standing",
    "pgrefill": "pages moved from an active to an inactive list",
    "pgactivate": "pages found in use and moved to an active list",
    "pgdeactivate": "pages moved to an inactive list",
    "slabs_scanned": "objects the shrinkers were asked to free",
    "kfree_rcu_shrink_count": "times kvfree_rcu()'s shrinker was asked how much it has; sets back-off from v6.1 on",
    "kfree_rcu_shrink_pages": "cached pages that the shrinker freed",
    "pageoutrun": "runs of kswapd; many with few pages stolen means that nothing is left to take",
    "kswapd_low_wmark_hit_quickly": "times kswapd was woken again within HZ/10 of being done",
    "kswapd_high_wmark_hit_quickly": "times kswapd found its node short again within HZ/10 of being done",
    "reclaim_page_alloc": "pages that reclaim itself needed, for zram",
    "reclaim_page_fail": "pages that reclaim needed and did not get: anonymous pages were skipped for it",
    "pswpin": "pages brought back from zram",
    "pswpout": "anonymous pages stored in zram; high beside pswpin means memory thrashes",
    "pgfault": "touches of applications that needed a page",
    "pgmajfault": "those among them whose page had been reclaimed",
    "workingset_refault_anon": "anonymous pages faulted back in; high means memory thrashes",
    "workingset_refault_file": "file pages faulted back in; high means memory thrashes",
    "oom_kill": "applications killed by the OOM killer",
    "oom_reaped": "victims whose memory the reaper took, as they did not leave by themselves",
    "monitor_kill": "applications killed by the pressure monitor",
    "psi_looks": "looks of the pressure monitor at the stall times",
    # Other users of memory and of cores ([[users]], [[hogs]]): counted by their own processes.
    "user_alloc": "requests for pages by another user that were served; of any order",
    "user_alloc_fail": "requests for pages by another user that failed; high for a victim means it is hurt",
    "user_free": "blocks of pages that another user gave back; equals user_alloc once it has left",
    "user_pcp_miss": "requests of another user that found its CPU's list empty and refilled it under zone->lock",
    "user_left_out": "times another user fell so far behind its schedule that operations were left out",
    "cpu_offline": "times this CPU went offline while the load ran",
    "cpu_online": "times this CPU came back; at most one behind cpu_offline",
    "hotplug_pcp_pages": "pages that went from a CPU's lists to their zones as it went offline",
    "hotplug_cached_pages": "pages of a krc's cache that were freed as its CPU went offline",
    "hog_periods": "times a hog began to burn its core",
    "hog_busy_us": "microseconds that a hog kept its core busy, or wanted to",
    # Losses of the run itself: anything but zero belongs in the report.
    "trace_lost": "trace events lost to a full buffer",
    "oom_object": "objects the load gave up on because memory was exhausted",
}
VM_NAMES = tuple(VM_MEANING)

VM = record("vmstat", *VM_NAMES)
VM_WORDS = round_to_line(VM.SIZE)  # whole lines: no two processes share one


@jit
def count(seg, me, item):
    """Add one to `me`'s counter `item` (of VM). Process `me` alone; wait-free."""
    i = region(seg, MAP.counters) + me * VM_WORDS + item
    # relaxed: the only writer is this process, and no reader draws conclusions about other words from it
    store_relaxed(seg, i, load_relaxed(seg, i) + 1)


@jit
def count_n(seg, me, item, n):
    """Add n to `me`'s counter `item` (of VM). Process `me` alone; wait-free."""
    i = region(seg, MAP.counters) + me * VM_WORDS + item
    store_relaxed(seg, i, load_relaxed(seg, i) + n)  # relaxed: as in count()


@jit
def counter(seg, me, item):
    """`me`'s counter `item` as it stands. Any process, any time."""
    return load_relaxed(seg, region(seg, MAP.counters) + me * VM_WORDS + item)


def counters_words(nr_procs: int) -> int:
    """Words that the counters of `nr_procs` processes take."""
    return nr_procs * VM_WORDS


def read_counters(seg, me: int) -> dict[str, int]:
    """All counters of process `me`, by name. Any process, any time; each figure is whole, the set is no snapshot."""
    base = region(seg, MAP.counters) + me * VM_WORDS
    return dict(zip(VM_NAMES, seg.words[base : base + VM.SIZE].tolist(), strict=True))


def sum_counters(seg, procs=None) -> dict[str, int]:
    """Counters summed over `procs` (indices; None: every process of the segment), by name."""
    totals = dict.fromkeys(VM_NAMES, 0)
    for me in range(seg[HEADER.nr_procs]) if procs is None else procs:
        for name, value in read_counters(seg, me).items():
            totals[name] += value
    return totals
