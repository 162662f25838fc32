"""The monitor: move what a CPU has queued into a batch that waits for a grace period.

Rule    first, where the epoch polls, free at once what has elapsed already; then attach the rest to a batch slot
        and queue it; what finds no slot waits for the next run. Two slots per CPU (nr_batches), so a third batch waits.
        Attaching per channel (before the whole-slot rule) may add to a slot that waits already: the slot then
        waits for the later cookie. The kernels of that time freed with the earlier one, a bug fixed upstream
        in 2023 ("Avoid freeing new kfree_rcu() memory after old grace period"), which is not emulated.
After   Linux kfree_rcu_monitor, kvfree_rcu_drain_ready, kvfree_rcu_queue_batch, need_offload_krc (KF 2.10).
"""

from emu.arch import NO_DEADLINE, jit, jit_apart, load_relaxed, smp_mb, smp_mb_after_atomic, store_relaxed
from emu.kvfree.barn import SHEAVES
from emu.kvfree.bnode import BNODE, bnode_seal
from emu.kvfree.callbacks import next_ready_batch, queue_rcu_work
from emu.kvfree.krc import (
    KRC,
    KRW,
    KRW_FREE,
    KRW_WAITING,
    KVFREE,
    MAX_BATCHES,
    N_CHANNELS,
    NEVER,
    arm_monitor,
    krc_of,
    krw_of,
    kvfree_of,
)
from emu.kvfree.reclaim import account_freed, free_chain, free_list, kfree_rcu_work
from emu.kvfree.sheaf import objects_in_sheaves, rcu_free_sheaves
from emu.rcu import get_state_synchronize_rcu, poll_state_synchronize_rcu, rcu_request_gp
from emu.shm import DRAIN, F_BATCHES, MAP, PROC, now_ns, proc_of, raise_fault, region, run_state
from emu.stats import HIST, VM, count, count_n, hist_record
from emu.sync import cpu_enter, spin_lock_timed, spin_unlock_timed
from emu.trace import EV, trace_event

BATCHES_PER_STEP = 4  # bound on the work of one reclaim step


@jit
def detach_ready(seg, krc, channel):
    """Take the oldest bnodes of a channel whose cookies have elapsed. Under krc->lock; a chain, linked by `older`."""
    chain = 0
    while True:
        oldest = seg[krc + KRC.bulk_tail + channel]
        if oldest == 0 or poll_state_synchronize_rcu(seg, seg[oldest + BNODE.gp_snap]) == 0:
            return chain
        newer = seg[oldest + BNODE.newer]
        seg[krc + KRC.bulk_tail + channel] = newer
        if newer == 0:
            seg[krc + KRC.bulk_head + channel] = 0
            bnode_seal(seg, oldest, now_ns(seg))
        else:
            seg[newer + BNODE.older] = 0
        records = seg[oldest + BNODE.nr_records]
        seg[krc + KRC.bulk_count + channel] -= records
        seg[krc + KRC.count] -= records
        seg[krc + KRC.detached] += records
        seg[oldest + BNODE.older] = chain
        chain = oldest


@jit_apart
def drain_ready(seg, me, pcp_cpu, cpu):
    """Free what needs no further waiting: bnodes and the list whose own cookies have elapsed (polled epochs)."""
    krc = krc_of(seg, cpu)
    spin_lock_timed(seg, me, krc)
    slab = detach_ready(seg, krc, 0)
    vmalloced = detach_ready(seg, krc, 1)
    head = 0
    since = seg[krc + KRC.head_since]
    now = now_ns(seg)
    if seg[krc + KRC.head] != 0 and poll_state_synchronize_rcu(seg, seg[krc + KRC.head_snap]) != 0:
        head = seg[krc + KRC.head]
        seg[krc + KRC.head] = 0
        seg[krc + KRC.count] -= seg[krc + KRC.head_count]
        seg[krc + KRC.detached] += seg[krc + KRC.head_count]
        seg[krc + KRC.head_count] = 0
    hist_record(seg, me, HIST.krc_lock_hold_ns, spin_unlock_timed(seg, me, krc))
    objects = free_chain(seg, me, pcp_cpu, cpu, slab, 0)
    objects += free_chain(seg, me, pcp_cpu, cpu, vmalloced, 1)
    objects += free_list(seg, me, pcp_cpu, head, since, now)
    account_freed(seg, me, krc, objects)
    count_n(seg, me, VM.kfree_rcu_polled, objects)
    return objects


@jit
def slot_accepts(seg, krc, krw, whole):
    """1 if something queued may be attached to this batch slot."""
    if seg[krw + KRW.state] == KRW_FREE:
        return 1
    if whole != 0:
        return 0
    for channel in range(N_CHANNELS):
        if seg[krc + KRC.bulk_head + channel] != 0 and seg[krw + KRW.bulk + channel] == 0:
            return 1
    return 1 if seg[krc + KRC.head] != 0 and seg[krw + KRW.head] == 0 else 0


@jit
def attach(seg, krc, krw, now):
    """Move every channel that the slot has room for into it. Under krc->lock; returns the objects moved."""
    moved = 0
    for channel in range(N_CHANNELS):
        newest = seg[krc + KRC.bulk_head + channel]
        if newest != 0 and seg[krw + KRW.bulk + channel] == 0:
            bnode_seal(seg, newest, now)
            seg[krw + KRW.bulk + channel] = newest
            seg[krc + KRC.bulk_head + channel] = 0
            seg[krc + KRC.bulk_tail + channel] = 0
            moved += seg[krc + KRC.bulk_count + channel]
            seg[krc + KRC.bulk_count + channel] = 0
    if seg[krc + KRC.head] != 0 and seg[krw + KRW.head] == 0:
        seg[krw + KRW.head] = seg[krc + KRC.head]
        seg[krw + KRW.head_count] = seg[krc + KRC.head_count]
        seg[krw + KRW.head_since] = seg[krc + KRC.head_since]
        moved += seg[krc + KRC.head_count]
        seg[krc + KRC.head] = 0
        seg[krc + KRC.head_count] = 0
    seg[krw + KRW.objects] += moved
    seg[krw + KRW.t_queued] = now
    seg[krc + KRC.count] -= moved
    seg[krc + KRC.detached] += moved
    return moved


@jit_apart
def queue_batch(seg, me, cpu, krc):
    """Attach what is queued to batch slots. Under krc->lock; returns bits.

    1 << slot for each slot to be queued anew, 1 << MAX_BATCHES + slot for each that waits already and has grown.
    """
    config = kvfree_of(seg)
    now = now_ns(seg)
    fresh = 0
    for slot in range(seg[config + KVFREE.nr_batches]):
        krw = krw_of(krc, slot)
        if seg[krc + KRC.count] == 0 or slot_accepts(seg, krc, krw, seg[config + KVFREE.whole_slot]) == 0:
            continue
        was = seg[krw + KRW.state]
        attach(seg, krc, krw, now)
        smp_mb_after_atomic()  # MB rcu.snap: what is attached was unpublished before the cookie. Pairs with gp_start()
        seg[krw + KRW.cookie] = get_state_synchronize_rcu(seg)
        if was == KRW_FREE:
            seg[krw + KRW.state] = KRW_WAITING
            in_flight = seg[krc + KRC.in_flight] + 1
            seg[krc + KRC.in_flight] = in_flight
            if in_flight > seg[krc + KRC.in_flight_peak]:
                seg[krc + KRC.in_flight_peak] = in_flight
            if in_flight > seg[config + KVFREE.nr_batches]:
                raise_fault(seg, me, F_BATCHES, cpu, in_flight, seg[config + KVFREE.nr_batches])
            fresh |= 1 << slot
            count(seg, me, VM.kfree_rcu_batch)
        else:
            fresh |= 1 << (MAX_BATCHES + slot)
    return fresh


@jit
def kfree_rcu_monitor(seg, me, index, pcp_cpu, cpu):
    """One run of a CPU's monitor. Its reclaim daemon (number `index`) only; returns the objects freed on the way."""
    krc = krc_of(seg, cpu)
    store_relaxed(seg, krc + KRC.monitor_due, 0)
    count(seg, me, VM.kfree_rcu_monitor)
    freed = 0
    if seg[kvfree_of(seg) + KVFREE.polled] != 0:
        freed = drain_ready(seg, me, pcp_cpu, cpu)
    spin_lock_timed(seg, me, krc)
    fresh = queue_batch(seg, me, cpu, krc)
    seg[krc + KRC.arm_at] = 0
    left = seg[krc + KRC.count]
    if left != 0 and seg[kvfree_of(seg) + KVFREE.batching] == 0:
        seg[krc + KRC.arm_at] = NEVER  # callbacks wait for a free segment: kfree_rcu_work() arms the monitor
    elif left != 0:
        arm_monitor(seg, krc, left)  # both slots are busy: look again after the delay
    hist_record(seg, me, HIST.krc_lock_hold_ns, spin_unlock_timed(seg, me, krc))
    trace_event(seg, me, EV.kfree_rcu_monitor, cpu, fresh & ((1 << MAX_BATCHES) - 1))
    for slot in range(MAX_BATCHES):
        cookie = seg[krw_of(krc, slot) + KRW.cookie]
        if fresh & (1 << slot) != 0:
            queue_rcu_work(seg, me, index, cpu, slot, cookie)
        elif fresh & (1 << (MAX_BATCHES + slot)) != 0:
            rcu_request_gp(seg, cookie)  # handed over already, for an earlier grace period than it needs now
    return freed


@jit
def batch_is_ready(seg, cpu, slot):
    """1 if the slot's cookie has elapsed: it may have grown since the slot was handed over."""
    return poll_state_synchronize_rcu(seg, seg[krw_of(krc_of(seg, cpu), slot) + KRW.cookie])


@jit_apart
def reclaim_batches(seg, me, index, pcp_cpu):
    """Work off batches whose grace period is over; returns how many."""
    done = 0
    while done < BATCHES_PER_STEP:
        batch = next_ready_batch(seg, index)
        if batch < 0:
            break
        cpu = batch // MAX_BATCHES
        slot = batch % MAX_BATCHES
        if batch_is_ready(seg, cpu, slot) == 0:
            queue_rcu_work(seg, me, index, cpu, slot, seg[krw_of(krc_of(seg, cpu), slot) + KRW.cookie])
            break
        delay = seg[kvfree_of(seg) + KVFREE.work_delay_ns]
        if delay != 0 and run_state(seg) < DRAIN:
            seg[krw_of(krc_of(seg, cpu), slot) + KRW.work_at] = now_ns(seg) + delay
        else:
            work_off(seg, me, pcp_cpu, cpu, slot)
        done += 1
    return done


@jit
def work_off(seg, me, pcp_cpu, cpu, slot):
    """Free a batch, on its own CPU where the epoch's work is bound."""
    if seg[kvfree_of(seg) + KVFREE.work_bound] != 0:
        cpu_enter(seg, me, cpu)
    kfree_rcu_work(seg, me, pcp_cpu if pcp_cpu >= 0 else cpu, cpu, slot)


@jit_apart
def delayed_work(seg, me, index, pcp_cpu, cpu, now):
    """Work off batches of a CPU that have stood behind other work for long enough (kvfree.work_delay_ms).

    Returns 0 if there was one, else when the next one is due (NEVER: none).
    """
    wake = NEVER
    for slot in range(seg[kvfree_of(seg) + KVFREE.nr_batches]):
        krw = krw_of(krc_of(seg, cpu), slot)
        due = seg[krw + KRW.work_at]
        if due == 0:
            continue
        if due > now and run_state(seg) < DRAIN:
            wake = min(wake, due)
            continue
        seg[krw + KRW.work_at] = 0
        if batch_is_ready(seg, cpu, slot) == 0:  # it has grown meanwhile, see queue_batch()
            queue_rcu_work(seg, me, index, cpu, slot, seg[krw + KRW.cookie])
        else:
            work_off(seg, me, pcp_cpu, cpu, slot)
        wake = 0
    return wake


@jit
def reclaim_step(seg, me, index, pcp_cpu, first_cpu, last_cpu):
    """One bounded step of a reclaim daemon over its CPUs. pcp_cpu: the CPU it runs as, -1 for the CPU it works for.

    Returns 0 if there was something to do, else the time to look again (NO_DEADLINE: when rung).
    """
    proc = proc_of(seg, me)
    store_relaxed(seg, proc + PROC.wake_at, NEVER)  # awake: whoever arms a monitor now rings, and the bell is seen
    smp_mb()  # MB monitor.arm: wake time before the look at due times. Pairs with arm_monitor()
    done = reclaim_batches(seg, me, index, pcp_cpu)
    now = now_ns(seg)
    wake = NEVER
    draining = run_state(seg) >= DRAIN
    for cpu in range(first_cpu, last_cpu):
        krc = krc_of(seg, cpu)
        if seg[kvfree_of(seg) + KVFREE.work_delay_ns] != 0:
            later = delayed_work(seg, me, index, pcp_cpu, cpu, now)
            done += 1 if later == 0 else 0
            wake = min(wake, later)
        if seg[region(seg, MAP.sheaves) + SHEAVES.on] != 0:
            later = rcu_free_sheaves(seg, me, pcp_cpu if pcp_cpu >= 0 else cpu, cpu, now)
            done += 1 if later == now else 0
            wake = min(wake, later) if later != 0 else wake
        due = load_relaxed(seg, krc + KRC.monitor_due)
        if due == 0:
            continue
        if due <= now or draining:  # kvfree_rcu_barrier() waits for no delay
            if seg[kvfree_of(seg) + KVFREE.work_bound] != 0:
                cpu_enter(seg, me, cpu)
            waited = load_relaxed(seg, krc + KRC.in_flight)
            kfree_rcu_monitor(seg, me, index, pcp_cpu if pcp_cpu >= 0 else cpu, cpu)
            if not draining or waited < seg[kvfree_of(seg) + KVFREE.nr_batches]:
                done += 1
        elif due < wake:
            wake = due
    if done != 0:
        return 0
    store_relaxed(seg, proc + PROC.wake_at, wake)
    return NO_DEADLINE if wake == NEVER else wake


@jit
def queued_objects(seg, cpu):
    """Objects of a CPU that are retired and not yet freed: a report's figure, exact once the load has stopped."""
    krc = krc_of(seg, cpu)
    enqueued = load_relaxed(seg, krc + KRC.count) + load_relaxed(seg, krc + KRC.detached)
    return enqueued - load_relaxed(seg, krc + KRC.freed)


@jit
def all_reclaimed(seg, first_cpu, last_cpu):
    """1 if nothing of these CPUs is queued or in flight: kvfree_rcu_barrier() may return."""
    for cpu in range(first_cpu, last_cpu):
        if objects_in_sheaves(seg, cpu) != 0:
            return 0
        if queued_objects(seg, cpu) != 0 or load_relaxed(seg, krc_of(seg, cpu) + KRC.in_flight) != 0:
            return 0
    return 1
