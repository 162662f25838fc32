"""Tracepoints: their names, their two arguments, and what they mean.

Holds   EV (name -> id), EVENTS (name -> Event).
Rule    the kernel's name where the kernel has the event, with its most telling fields as a and b; `twin` says
        which tracepoint that is. An event whose twin is "" exists in this emulator only; a twin that ends
        in "()" is a kernel function that is traced there by a probe, not by a tracepoint.
After   Linux include/trace/events/{rcu,kmem}.h.
"""

from typing import NamedTuple

from emu.shm import record


class Event(NamedTuple):
    """One tracepoint. a, b: names of its arguments, "" where the argument is unused (0)."""

    a: str
    b: str
    twin: str
    meaning: str


# The order gives the ids, from 1.
EVENTS = {
    # grace periods
    "rcu_grace_period_start": Event("gp_seq", "", "rcu:rcu_grace_period (start)", "a grace period began"),
    "rcu_grace_period_end": Event("gp_seq", "length_ns", "rcu:rcu_grace_period (end)", "a grace period ended"),
    "rcu_fqs": Event("gp_seq", "cpus_waited_for", "rcu:rcu_fqs", "a force-quiescent-state scan"),
    "rcu_quiescent_state_report": Event(
        "cpu", "gp_seq", "rcu:rcu_quiescent_state_report", "a CPU passed a quiescent state"),
    "rcu_stall": Event("cpu", "waited_ns", "rcu:rcu_stall_warning", "a CPU keeps a grace period waiting too long"),
    # batch pages
    "rcu_kvfree_miss": Event("cpu", "cached", "", "a call needed a page and got none: fallback"),
    "refill_doorbell": Event("cpu", "", "", "the refill worker was rung"),
    "refill_run": Event("cpu", "", "fill_page_cache_func()", "the refill worker began to work"),
    "refill_done": Event("cpu", "pages", "", "the refill worker has put its pages into the cache"),
    "first_hit": Event("cpu", "window_ns", "", "the first page taken after a miss: the window closes"),
    # batches
    "kfree_rcu_monitor": Event(
        "cpu", "slots", "kfree_rcu_monitor()", "the monitor ran; slots: a bit per batch it queued"),
    "kfree_rcu_work": Event("cpu", "objects", "kfree_rcu_work()", "a batch was reclaimed"),
    "rcu_invoke_kfree_bulk_callback": Event(
        "cpu", "nr_records", "rcu:rcu_invoke_kfree_bulk_callback", "the objects of one bnode were freed"),
    # page allocator
    "mm_page_pcpu_drain": Event(
        "pfn", "pages", "kmem:mm_page_pcpu_drain", "a batch of per-CPU pages went to the buddy"),
    "mm_page_alloc_extfrag": Event(
        "pfn", "fallback_order", "kmem:mm_page_alloc_extfrag", "a page came from another migrate type"),
    # reclaim
    "mm_vmscan_wakeup_kswapd": Event("node", "", "vmscan:mm_vmscan_wakeup_kswapd", "kswapd was woken"),
    "mm_vmscan_kswapd_run": Event("node", "pages", "balance_pgdat()", "kswapd ended a run"),
    "mm_vmscan_direct_reclaim_begin": Event(
        "cpu", "", "vmscan:mm_vmscan_direct_reclaim_begin", "an allocating caller began to reclaim"),
    "mm_vmscan_direct_reclaim_end": Event(
        "cpu", "pages", "vmscan:mm_vmscan_direct_reclaim_end", "it ended, with so many pages"),
    "mark_victim": Event("app", "cause", "oom:mark_victim", "an application was killed; 1 oom, 2 lmkd, 3 oomd"),
    "app_exit": Event("app", "pages", "", "a killed application has given its memory back"),
    "psi_event": Event("triggers", "thrashing_percent", "", "a pressure trigger fired; 1 partial, 2 complete"),
    # scheduling inside one emulated CPU, and the load
    "preempt_resched": Event("cpu", "", "", "a section ended and let a waiting worker in"),
    "lockdep_splat": Event(
        "kind", "lock_class", "print_lock_invalid_wait_context()",
        "a lock or a sleep was illegal here; kind and class as in sync/lockdep.py"),
    "stood_aside": Event("cpu", "aside_ns", "", "a worker waited because its CPU was not preemptible"),
    "cpuhp_offline": Event("cpu", "pages", "cpuhp:cpuhp_exit", "a CPU went offline and gave up so many pages"),
    "cpuhp_online": Event("cpu", "", "cpuhp:cpuhp_exit", "it came back"),
    "burst_start": Event("cpu", "objects", "", "a burst of the load began"),
    "burst_end": Event("cpu", "objects", "", "a burst of the load ended"),
    # the run
    "fault": Event("code", "argument", "", "an invariant was broken; the run stops"),
}

# Id 0 is no event: what an untouched slot holds.
EV = record("trace_events", "none", *EVENTS)
EVENT_NAMES = ("none", *EVENTS)
