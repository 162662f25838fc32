"""After the grace period: free the objects in bulk, give the pages back.

Rule    an object is freed only once its own cookie has elapsed; with verify on each object's is looked at, apart
        from the batch's. A bnode's page goes where the policy says: its reserve, its owner's cache, the
        allocator.
After   Linux kvfree_rcu_bulk, kvfree_rcu_list, kfree_rcu_work (KF 2.10).
"""

from emu.arch import jit, jit_apart
from emu.kvfree.bnode import BNODE, bnode_opened_at, bnode_sealed_at
from emu.kvfree.krc import KRC, KRW, KRW_FREE, KVFREE, arm_monitor, krc_of, krw_of, kvfree_of
from emu.mm import (
    RCU_COOKIE,
    RCU_NEXT,
    VMALLOC_START,
    is_vmalloc,
    kfree,
    kfree_bulk,
    object_words,
    pfn_of,
    vfree,
)
from emu.policy import drop_page, put_page, stock_of
from emu.rcu import gp_seq, poll_state_synchronize_rcu
from emu.shm import F_EARLY_FREE, F_RECORD_RANGE, F_WRONG_CHANNEL, HEADER, now_ns, raise_fault
from emu.stats import HIST, VM, count, count_n, hist_record, hist_record_n
from emu.sync import spin_lock, spin_unlock
from emu.trace import EV, trace_event


@jit
def check_elapsed(seg, me, obj):
    """Invariant 2: the object's own cookie has elapsed."""
    cookie = seg[object_words(obj) + RCU_COOKIE]
    if poll_state_synchronize_rcu(seg, cookie) == 0:
        raise_fault(seg, me, F_EARLY_FREE, object_words(obj), cookie, gp_seq(seg))


@jit
def release_page(seg, me, pcp_cpu, cpu, bnode):
    """Give an empty bnode's page to whom the epoch gives it."""
    if seg[kvfree_of(seg) + KVFREE.freed_to_worker] != 0 and pcp_cpu != cpu:
        # The worker runs on no mutator's CPU: that CPU has no cache of its own.
        drop_page(seg, me, pcp_cpu, cpu, stock_of(seg, cpu), pfn_of(bnode))
    else:
        put_page(seg, me, pcp_cpu, cpu, stock_of(seg, cpu), pfn_of(bnode))


@jit_apart
def record_ages(seg, me, objects, first, last, now):
    """Ages of `objects` objects that were retired between `first` and `last` and are freed `now`.

    Nobody stamps an object on its way in; they are taken as evenly spread, a quarter of them at a time.
    """
    left = objects
    for quarter in range(4):
        n = left // (4 - quarter)
        if n != 0:
            at = first + (last - first) * (2 * quarter + 1) // 8
            hist_record_n(seg, me, HIST.object_age_ns, max(0, now - at), n)
        left -= n
    return 0


@jit_apart
def free_bnode(seg, me, pcp_cpu, cpu, bnode, channel):
    """Free every object of a bnode, then its page; returns the number of objects."""
    records = seg[bnode + BNODE.nr_records]
    krc = krc_of(seg, cpu)
    header = seg[krc + KRC.header]
    if records < 0 or records > seg[krc + KRC.cap]:
        raise_fault(seg, me, F_RECORD_RANGE, bnode, records, seg[krc + KRC.cap])
        return 0
    if seg[HEADER.verify] != 0:
        for i in range(records):
            obj = seg[bnode + header + i]
            check_elapsed(seg, me, obj)
            if is_vmalloc(obj) != channel:
                raise_fault(seg, me, F_WRONG_CHANNEL, obj, channel, 0)
    trace_event(seg, me, EV.rcu_invoke_kfree_bulk_callback, cpu, records)
    if channel == 0:
        kfree_bulk(seg, me, pcp_cpu, bnode + header, records)
    else:
        for i in range(records):
            vfree(seg, me, pcp_cpu, seg[bnode + header + i])
    hist_record(seg, me, HIST.bnode_fill_records, records)
    now = now_ns(seg)
    hist_record(seg, me, HIST.bnode_age_ns, max(0, now - bnode_sealed_at(seg, bnode)))
    record_ages(seg, me, records, bnode_opened_at(seg, bnode), bnode_sealed_at(seg, bnode), now)
    count_n(seg, me, VM.kvfree_freed_bulk, records)
    release_page(seg, me, pcp_cpu, cpu, bnode)
    return records


@jit
def free_chain(seg, me, pcp_cpu, cpu, bnode, channel):
    """free_bnode() for a chain, newest first; returns the number of objects."""
    objects = 0
    while bnode != 0:
        older = seg[bnode + BNODE.older]
        objects += free_bnode(seg, me, pcp_cpu, cpu, bnode, channel)
        bnode = older
    return objects


@jit_apart
def free_list(seg, me, pcp_cpu, obj, first, last):
    """Free the objects of an rcu_head list, retired between `first` and `last`, one by one; returns how many."""
    objects = 0
    cost = seg[kvfree_of(seg) + KVFREE.free_cost_ns]
    while obj != 0:
        after = seg[object_words(obj) + RCU_NEXT]
        check_elapsed(seg, me, obj)
        if obj >= VMALLOC_START:
            vfree(seg, me, pcp_cpu, obj)
        else:
            kfree(seg, me, pcp_cpu, obj)
        if cost != 0:
            until = now_ns(seg) + cost
            while now_ns(seg) < until:
                pass
        objects += 1
        obj = after
    count_n(seg, me, VM.kvfree_freed_list, objects)
    if objects != 0:
        record_ages(seg, me, objects, first, last, now_ns(seg))
    return objects


@jit
def account_freed(seg, me, krc, objects):
    """Note objects of this krc as freed."""
    if objects != 0:
        spin_lock(seg, me, krc)
        seg[krc + KRC.freed] += objects
        spin_unlock(seg, me, krc)


@jit
def kfree_rcu_work(seg, me, pcp_cpu, cpu, slot):
    """Free one batch whose grace period is over and make its slot free again. The CPU's reclaim daemon only."""
    krc = krc_of(seg, cpu)
    krw = krw_of(krc, slot)
    start = now_ns(seg)
    # The slot is ours while its state is KRW_WAITING: the monitor, which fills slots, runs in this process too.
    chains_at = krw + KRW.bulk
    slab = seg[chains_at]
    vmalloced = seg[chains_at + 1]
    head = seg[krw + KRW.head]
    seg[chains_at] = 0
    seg[chains_at + 1] = 0
    seg[krw + KRW.head] = 0
    objects = free_chain(seg, me, pcp_cpu, cpu, slab, 0)
    objects += free_chain(seg, me, pcp_cpu, cpu, vmalloced, 1)
    objects += free_list(seg, me, pcp_cpu, head, seg[krw + KRW.head_since], seg[krw + KRW.t_queued])
    spin_lock(seg, me, krc)
    seg[krw + KRW.state] = KRW_FREE
    seg[krw + KRW.objects] = 0
    seg[krw + KRW.head_count] = 0
    seg[krc + KRC.in_flight] -= 1
    seg[krc + KRC.freed] += objects
    if seg[kvfree_of(seg) + KVFREE.batching] == 0 and seg[krc + KRC.count] != 0:
        arm_monitor(seg, krc, seg[krc + KRC.count])  # a callback segment is free again
    spin_unlock(seg, me, krc)
    count(seg, me, VM.kfree_rcu_work)
    trace_event(seg, me, EV.kfree_rcu_work, cpu, objects)
    hist_record(seg, me, HIST.batch_work_ns, now_ns(seg) - start)
    return objects
