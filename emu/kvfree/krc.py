"""krc: the per-CPU batch head of kvfree_rcu(), and the call itself.

Holds   KRC, the enqueue path, the arming of the monitor.
Rule    everything of a krc is under its raw lock. A pointer goes into the newest bnode of its channel; when that is
        full, or there is none, the policy is asked for a page; without one the object goes onto the rcu_head
        list (two arguments) or its caller waits for a grace period (one argument). The bells of the refill
        worker and the reclaim daemon are rung after the lock is dropped.
Edges   monitor.arm   the due time before the look at the daemon's wake time, both ways
After   Linux kernel/rcu/tree.c (v5.11, v6.1, v6.12) and mm/slab_common.c: kvfree_call_rcu,
        add_ptr_to_bulk_krc_lock, schedule_delayed_monitor_work (KF 2.3 to 2.6, 2.10).
"""

from emu.arch import jit, jit_apart, load_relaxed, smp_mb, smp_mb_after_atomic, store_relaxed
from emu.kvfree.bnode import BNODE, LONG_HEADER, bnode_init, bnode_open, bnode_seal
from emu.mm import (
    RCU_COOKIE,
    RCU_NEXT,
    VMALLOC_START,
    address_of,
    is_vmalloc,
    kfree,
    object_words,
    vfree,
)
from emu.policy import (
    GOT_NOTHING,
    STOCK,
    page_fetched,
    refill_if_low,
    refill_kick,
    refill_request,
    source_at,
    stock_of,
    take_page,
    take_unlocked,
)
from emu.rcu import RDP, get_state_synchronize_rcu, rdp_of, synchronize_rcu, timer_expiry
from emu.shm import HEADER, MAP, PROC, line, now_ns, proc_of, region, struct
from emu.stats import VM, count
from emu.sync import (
    LC,
    LOCK,
    SLEEP_IN_ATOMIC,
    atomic_depth,
    lockdep_acquired,
    lockdep_released,
    lockdep_report,
    ring_or_defer,
    spin_lock,
    spin_unlock,
)

N_CHANNELS = 2  # slab, vmalloc; the third channel is the rcu_head list
MAX_BATCHES = 8  # batch slots laid out per CPU; nr_batches (the kernel's KFREE_N_BATCHES, 2) are used

# One batch in flight: the three channels it took along and the cookie it waits for.
KRW = struct(
    "kfree_rcu_cpu_work",
    line("krc->lock", "state", "head", "head_count", ("bulk", N_CHANNELS), "objects", "cookie", "t_queued"),
    line("head_since: krc->lock; work_at: the CPU's reclaim daemon", "head_since", "work_at"),
)
KRW_FREE, KRW_WAITING = 0, 1

KRC = struct(
    "kfree_rcu_cpu",
    line("krc->lock", ("lock", LOCK.SIZE)),
    line("krc->lock; cap, header, flood: boot()", ("bulk_head", N_CHANNELS), ("bulk_count", N_CHANNELS), "head",
         "head_count", "head_snap", "count", "arm_at", "monitor_due", "cap", "header", "reclaim", "head_since"),
    line("krc->lock", ("bulk_tail", N_CHANNELS), "detached", "freed", "in_flight", "in_flight_peak"),
    line("krc->lock", ("krw", MAX_BATCHES * KRW.SIZE)),
)

# What every krc shares, written once at boot.
KVFREE = struct(
    "kvfree",
    line("boot()", "drain_jiffies", "flood_jiffies", "polled", "whole_slot", "work_bound", "freed_to_worker",
         "nr_batches", "nr_reclaims", "batching", "work_delay_ns", "free_cost_ns", "shrinks_cache"),
)

NEVER = 1 << 60
TO_ARRAY, TO_LIST, TO_SYNC = 1, 2, 3


@jit
def krc_of(seg, cpu):
    """Word offset of a CPU's batch head."""
    return region(seg, MAP.krc) + cpu * KRC.SIZE


@jit
def krw_of(krc, slot):
    """Word offset of one of its batches."""
    return krc + KRC.krw + slot * KRW.SIZE


@jit
def kvfree_of(seg):
    """Word offset of the shared settings."""
    return region(seg, MAP.cfg_kvfree)


@jit
def add_bnode(seg, krc, channel, pfn):
    """Make a page the newest bnode of a channel. Under krc->lock; returns the bnode."""
    bnode = address_of(pfn)
    newest = seg[krc + KRC.bulk_head + channel]
    now = now_ns(seg)
    if newest != 0:
        bnode_seal(seg, newest, now)
    else:
        seg[krc + KRC.bulk_tail + channel] = bnode
    bnode_init(seg, bnode, newest, seg[krc + KRC.header])
    bnode_open(seg, bnode, now)
    seg[krc + KRC.bulk_head + channel] = bnode
    return bnode


@jit_apart
def need_bnode(seg, me, cpu, krc, channel, one_arg):
    """Ask the policy for a page and open a bnode on it; 0 if there is none. Under krc->lock.

    For a source that wants it, and a caller that may, the lock is dropped and taken again.
    """
    if seg[kvfree_of(seg) + KVFREE.batching] == 0:
        return 0
    stock = stock_of(seg, cpu)
    seg[stock + STOCK.gp_waited] = 0
    pfn = ask_sources(seg, me, cpu, krc, stock, one_arg, 0)
    while pfn < 0:  # source number -pfn - 1 is to be asked without the lock
        after = -pfn
        spin_unlock(seg, me, krc)
        pfn = take_unlocked(seg, me, cpu, source_at(seg, one_arg, after - 1))
        spin_lock(seg, me, krc)
        if pfn != GOT_NOTHING:
            page_fetched(seg, me, stock)
        else:
            pfn = ask_sources(seg, me, cpu, krc, stock, one_arg, after)
    if pfn == GOT_NOTHING:
        return 0
    return add_bnode(seg, krc, channel, pfn)


@jit
def ask_sources(seg, me, cpu, krc, stock, one_arg, first):
    """take_page(), with krc->lock noted as held: the array path does not note it."""
    lockdep_acquired(seg, me, LC.krc, krc)
    pfn = take_page(seg, me, cpu, stock, one_arg, first)
    lockdep_released(seg, me, LC.krc, krc)
    return pfn


@jit_apart
def arm_monitor(seg, krc, total):
    """Arm the monitor, or bring it forward in a flood. Under krc->lock. 1 if the daemon has to be rung."""
    config = kvfree_of(seg)
    flood = seg[config + KVFREE.flood_jiffies]
    delay = seg[config + KVFREE.drain_jiffies]
    seg[krc + KRC.arm_at] = NEVER
    if flood != 0:
        if total >= seg[krc + KRC.cap]:
            delay = flood
        else:
            seg[krc + KRC.arm_at] = seg[krc + KRC.cap]
    due = timer_expiry(seg, now_ns(seg), delay)
    armed = seg[krc + KRC.monitor_due]
    if armed != 0 and armed <= due:
        return 0
    store_relaxed(seg, krc + KRC.monitor_due, due)
    smp_mb()  # MB monitor.arm: due time before the daemon's wake time. Pairs with reclaim_step()
    return 1 if due < load_relaxed(seg, proc_of(seg, seg[krc + KRC.reclaim]) + PROC.wake_at) else 0


@jit
def append(seg, krc, bnode, channel, obj):
    """Store a pointer and stamp the bnode with the cookie of this, its newest, record. Under krc->lock.

    Epochs without cookies have no word for it; the batch's own cookie then decides.
    """
    records = seg[bnode + BNODE.nr_records]
    seg[bnode + seg[krc + KRC.header] + records] = obj
    seg[bnode + BNODE.nr_records] = records + 1
    cookie = get_state_synchronize_rcu(seg)
    if seg[krc + KRC.header] == LONG_HEADER:
        seg[bnode + BNODE.gp_snap] = cookie
    seg[krc + KRC.bulk_count + channel] += 1
    if seg[HEADER.verify] != 0:
        seg[object_words(obj) + RCU_COOKIE] = cookie


@jit
def append_to_list(seg, krc, obj):
    """Link an object through its own rcu_head. Under krc->lock."""
    at = object_words(obj)
    cookie = get_state_synchronize_rcu(seg)
    if seg[krc + KRC.head] == 0:
        seg[krc + KRC.head_since] = now_ns(seg)
    seg[at + RCU_NEXT] = seg[krc + KRC.head]
    seg[at + RCU_COOKIE] = cookie
    seg[krc + KRC.head] = obj
    seg[krc + KRC.head_count] += 1
    seg[krc + KRC.head_snap] = cookie


@jit
def kvfree_call_rcu(seg, me, cpu, obj):
    """kvfree_rcu(obj, field): free `obj` after a grace period. Mutator of `cpu`, any context but NMI.

    The object is unreachable for new readers already. Returns TO_ARRAY or TO_LIST.
    """
    krc = krc_of(seg, cpu)
    spin_lock(seg, me, krc)
    smp_mb_after_atomic()  # MB rcu.snap: what the caller unpublished before the cookie. Pairs with gp_start()
    channel = is_vmalloc(obj)
    ring = 0
    bnode = seg[krc + KRC.bulk_head + channel]
    if bnode == 0 or seg[bnode + BNODE.nr_records] >= seg[krc + KRC.cap]:
        bnode = need_bnode(seg, me, cpu, krc, channel, 0)
        ring = refill_if_low(seg, me, stock_of(seg, cpu))
    way = TO_ARRAY
    if bnode != 0:
        append(seg, krc, bnode, channel, obj)
        count(seg, me, VM.kvfree_bulk)
    else:
        way = TO_LIST
        append_to_list(seg, krc, obj)
        stock = stock_of(seg, cpu)
        seg[stock + STOCK.window_objects] += 1
        ring += refill_request(seg, me, stock)
        count(seg, me, VM.kvfree_fallback_list)
    total = seg[krc + KRC.count] + 1
    seg[krc + KRC.count] = total
    kick = 0
    if total >= seg[krc + KRC.arm_at]:
        kick = arm_monitor(seg, krc, total)
    spin_unlock(seg, me, krc)
    if ring + kick != 0:
        ring_bells(seg, me, cpu, krc, ring, kick)
    count(seg, me, VM.kvfree_calls)
    return way


@jit_apart
def ring_bells(seg, me, cpu, krc, ring, kick):
    """The wake-ups a call owes, with the lock dropped."""
    if ring != 0:
        refill_kick(seg, me, cpu, stock_of(seg, cpu))
    if kick != 0:
        ring_or_defer(seg, me, cpu, seg[krc + KRC.reclaim])
    return 0


@jit
def may_sleep(seg, cpu):
    """1 if a one-argument call is legal here: in no atomic section, counted or not, and outside every read section."""
    if atomic_depth(seg, cpu) != 0:
        return 0
    return 1 if seg[rdp_of(seg, cpu) + RDP.nesting] == 0 else 0


@jit_apart
def kvfree_rcu_mightsleep(seg, me, cpu, obj):
    """kvfree_rcu(obj): the one-argument call. Sleepable context only; elsewhere counted and made a two-argument call.

    Returns TO_ARRAY, or TO_SYNC when no page was found and the caller waited for a grace period.
    """
    count(seg, me, VM.kvfree_one_arg)
    if may_sleep(seg, cpu) == 0:
        lockdep_report(seg, me, cpu, SLEEP_IN_ATOMIC, LC.sleep, 0)
        return kvfree_call_rcu(seg, me, cpu, obj)
    krc = krc_of(seg, cpu)
    spin_lock(seg, me, krc)
    smp_mb_after_atomic()  # MB rcu.snap: as in kvfree_call_rcu()
    channel = is_vmalloc(obj)
    ring = 0
    bnode = seg[krc + KRC.bulk_head + channel]
    if bnode == 0 or seg[bnode + BNODE.nr_records] >= seg[krc + KRC.cap]:
        bnode = need_bnode(seg, me, cpu, krc, channel, 1)
        ring = refill_if_low(seg, me, stock_of(seg, cpu))
    count(seg, me, VM.kvfree_calls)
    kick = 0
    if bnode != 0:
        append(seg, krc, bnode, channel, obj)
        count(seg, me, VM.kvfree_bulk)
        total = seg[krc + KRC.count] + 1
        seg[krc + KRC.count] = total
        if total >= seg[krc + KRC.arm_at]:
            kick = arm_monitor(seg, krc, total)
    else:
        stock = stock_of(seg, cpu)
        seg[stock + STOCK.window_objects] += 1
        ring += refill_request(seg, me, stock)
    spin_unlock(seg, me, krc)
    ring_bells(seg, me, cpu, krc, ring, kick)
    if bnode != 0:
        return TO_ARRAY
    free_after_sync(seg, me, cpu, obj)
    return TO_SYNC


@jit
def free_after_sync(seg, me, cpu, obj):
    """The one-argument fallback: wait for a grace period, unless a source has done so, then free in the caller."""
    count(seg, me, VM.kvfree_fallback_sync)
    if seg[stock_of(seg, cpu) + STOCK.gp_waited] == 0 and synchronize_rcu(seg, me, cpu) == 0:
        append_late(seg, me, cpu, obj)
        return
    if obj >= VMALLOC_START:
        vfree(seg, me, cpu, obj)
    else:
        kfree(seg, me, cpu, obj)
    count(seg, me, VM.kvfree_freed_sync)


@jit
def append_late(seg, me, cpu, obj):
    """The run stopped while the caller waited: leave the object on the list, where the ledger finds it."""
    krc = krc_of(seg, cpu)
    spin_lock(seg, me, krc)
    append_to_list(seg, krc, obj)
    seg[krc + KRC.count] += 1
    spin_unlock(seg, me, krc)

