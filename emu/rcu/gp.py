"""The grace-period kthread, one bounded step at a time.

Holds   request, start, force-quiescent-state scans, cleanup, the stall watch.
Rule    masks are set before gp_seq moves, so that a CPU which notices finds its bit; gp_seq moves on only when the
        root's mask is empty. The first scan comes more than `first_fqs` jiffies after the start, further
        ones every `next_fqs`; the last report ends the wait at once.
Limits  one coordinator. No boosting, no expedited grace periods, no callback offload.
After   Linux kernel/rcu/tree.c: rcu_gp_kthread, rcu_gp_init, rcu_gp_fqs, rcu_gp_cleanup (KF 4.2, 4.3).
"""

from emu.arch import (
    NO_DEADLINE,
    cmpxchg_acq_rel,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    smp_mb,
    store_relaxed,
    store_release,
    wrap64,
)
from emu.rcu.gp_seq import SEQ_STATE_MASK, seq_end, seq_number, seq_start
from emu.rcu.hotplug import note_hotplug
from emu.rcu.qs import eqs_snapshot, rcu_report_qs
from emu.rcu.state import (
    LEAF_FANOUT,
    MASK,
    MASK_BITS,
    RCU,
    RDP,
    RNP,
    leaf_of,
    rcu_state,
    rdp_of,
    timer_expiry,
)
from emu.shm import DRAIN, F_GP_BACKWARDS, F_GP_EARLY, HEADER, now_ns, raise_fault, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import CPU, cpu_of, proc_ring
from emu.trace import EV, trace_event

GP_IDLE, GP_WAIT = 0, 1

# What gp_kthread_step() did.
STEP_IDLE, STEP_STARTED, STEP_WAITING, STEP_ENDED, STEP_STALL = 0, 1, 2, 3, 4


@jit_apart
def rcu_request_gp(seg, cookie):
    """Ask for grace periods up to `cookie`; wakes the coordinator if nobody had asked that far. Anyone, lock-free."""
    rcu = rcu_state(seg)
    while True:
        needed = load_relaxed(seg, rcu + RCU.gp_needed)
        if wrap64(cookie - needed) <= 0:
            return 0
        # REL rcu.need: what asks before the asking. Pairs with ACQ in gp_needed().
        if cmpxchg_acq_rel(seg, rcu + RCU.gp_needed, needed, cookie) == needed:
            store_relaxed(seg, rcu + RCU.needed_ns, now_ns(seg))
            proc_ring(seg, seg[rcu + RCU.coordinator])
            return 0
    return 0


@jit
def gp_needed(seg):
    """1 if somebody waits for a grace period beyond the present sequence."""
    rcu = rcu_state(seg)
    # ACQ rcu.need: the asking before what asks. Pairs with REL in rcu_request_gp().
    needed = load_acquire(seg, rcu + RCU.gp_needed)
    return 1 if wrap64(needed - seg[rcu + RCU.gp_seq]) > 0 else 0


@jit
def move_gp_seq(seg, me, value):
    """Publish the next gp_seq. Coordinator only; a step backwards is a fault (invariant 6)."""
    rcu = rcu_state(seg)
    before = seg[rcu + RCU.gp_seq]
    if wrap64(value - before) <= 0:
        raise_fault(seg, me, F_GP_BACKWARDS, before, value, 0)
    store_release(seg, rcu + RCU.gp_seq, value)  # REL rcu.gp: masks, or all reports, before it. Pairs with gp_seq()


@jit_apart
def gp_start(seg, me, now):
    """Begin a grace period: a bit for every online CPU, then the sequence. Coordinator only."""
    rcu = rcu_state(seg)
    seq = seq_start(seg[rcu + RCU.gp_seq])
    number = seq_number(seq)
    leaves = seg[rcu + RCU.nr_leaves]
    cpus = seg[HEADER.nr_cpus]
    root_mask = 0
    for leaf in range(leaves):
        mask = 0
        for cpu in range(leaf * LEAF_FANOUT, min(cpus, (leaf + 1) * LEAF_FANOUT)):
            if load_relaxed(seg, cpu_of(seg, cpu) + CPU.online) != 0:
                mask |= 1 << (cpu % LEAF_FANOUT)
                seg[rdp_of(seg, cpu) + RDP.gp_in] = number
        if mask != 0:
            root_mask |= 1 << leaf
        store_relaxed(seg, leaf_of(seg, leaf) + RNP.qsmask, number << MASK_BITS | mask)
    if leaves > 1:
        store_relaxed(seg, leaf_of(seg, leaves) + RNP.qsmask, number << MASK_BITS | root_mask)
    seg[rcu + RCU.gp_start_ns] = now
    seg[rcu + RCU.scans] = 0
    seg[rcu + RCU.fqs_due] = timer_expiry(seg, now, seg[rcu + RCU.first_fqs])
    seg[rcu + RCU.stall_due] = now + seg[rcu + RCU.stall_ns]
    seg[rcu + RCU.gp_phase] = GP_WAIT
    move_gp_seq(seg, me, seq)
    # MB rcu.snap: the new sequence before the readers it waits for. Pairs with kvfree_call_rcu() and queue_batch().
    smp_mb()  # MB eqs: the new sequence before the look at idle counters. Pairs with rcu_eqs_enter(), rcu_eqs_exit()
    count(seg, me, VM.rcu_gp_start)
    hist_record(seg, me, HIST.gp_request_ns, max(0, now - load_relaxed(seg, rcu + RCU.needed_ns)))
    trace_event(seg, me, EV.rcu_grace_period_start, seq, 0)
    return 0


@jit
def gp_all_reported(seg):
    """1 if the root's mask is empty."""
    rcu = rcu_state(seg)
    leaves = seg[rcu + RCU.nr_leaves]
    root = leaves if leaves > 1 else 0
    # ACQ qs.mask: reports before the end of the grace period. Pairs with REL in clear_qs_bit().
    return 1 if load_acquire(seg, leaf_of(seg, root) + RNP.qsmask) & MASK == 0 else 0


@jit_apart
def force_qs_scan(seg, me):
    """Report for CPUs that are idle, or have been since the last scan. Coordinator only. Returns one holdout or -1."""
    rcu = rcu_state(seg)
    number = seq_number(seg[rcu + RCU.gp_seq])
    first = seg[rcu + RCU.scans] == 0
    seg[rcu + RCU.scans] += 1
    holdout = -1
    count(seg, me, VM.rcu_fqs)
    for cpu in range(seg[HEADER.nr_cpus]):
        mask = load_relaxed(seg, leaf_of(seg, cpu // LEAF_FANOUT) + RNP.qsmask)
        if mask & (1 << (cpu % LEAF_FANOUT)) == 0:
            continue
        rdp = rdp_of(seg, cpu)
        eqs = eqs_snapshot(seg, cpu)
        if eqs & 1 == 0 or (not first and eqs != seg[rdp + RDP.eqs_snap]):
            rcu_report_qs(seg, me, cpu, number)
        else:
            holdout = cpu
        if first:
            seg[rdp + RDP.eqs_snap] = eqs
    return holdout


@jit
def check_all_passed(seg, me):
    """Invariant 6: every CPU that was online at its start has a report of its own for it. Apart from the masks."""
    number = seq_number(seg[rcu_state(seg) + RCU.gp_seq])
    for cpu in range(seg[HEADER.nr_cpus]):
        rdp = rdp_of(seg, cpu)
        if seg[rdp + RDP.gp_in] == number and load_relaxed(seg, rdp + RDP.qs_gp) != number:
            raise_fault(seg, me, F_GP_EARLY, number, cpu, 0)


@jit_apart
def gp_cleanup(seg, me, now):
    """End the grace period: move the sequence, wake who waits in synchronize_rcu(). Coordinator only."""
    rcu = rcu_state(seg)
    check_all_passed(seg, me)
    length = now - seg[rcu + RCU.gp_start_ns]
    seq = seq_end(seg[rcu + RCU.gp_seq])
    seg[rcu + RCU.gp_phase] = GP_IDLE
    move_gp_seq(seg, me, seq)
    smp_mb()  # MB rcu.wait: the sequence before the look at waiters. Pairs with synchronize_rcu()
    count(seg, me, VM.rcu_gp_end)
    hist_record(seg, me, HIST.gp_ns, length)
    trace_event(seg, me, EV.rcu_grace_period_end, seq, length)
    for cpu in range(seg[HEADER.nr_cpus]):
        if load_relaxed(seg, rdp_of(seg, cpu) + RDP.gp_wait) != 0:
            proc_ring(seg, seg[cpu_of(seg, cpu) + CPU.mutator])
    return 0


@jit
def others_due(seg):
    """When a user of RCU beside kvfree_rcu() asks for a grace period (rcu.other_gp_per_s); NO_DEADLINE: never."""
    rcu = rcu_state(seg)
    if seg[rcu + RCU.others_ns] == 0 or run_state(seg) >= DRAIN:
        return NO_DEADLINE
    return max(seg[rcu + RCU.others_due], 1)


@jit
def asked_by_others(seg, now):
    """1 if such a user asks now. One that comes while a grace period runs asks for the next."""
    due = others_due(seg)
    if due == NO_DEADLINE or due > now:
        return 0
    rcu = rcu_state(seg)
    seg[rcu + RCU.others_due] = now + seg[rcu + RCU.others_ns]
    return 1


@jit
def gp_kthread_step(seg, me, now):
    """One step of the coordinator: start, scan or end a grace period if it is time. Returns a STEP_ value."""
    rcu = rcu_state(seg)
    note_hotplug(seg)
    if seg[rcu + RCU.gp_phase] == GP_IDLE:
        if gp_needed(seg) == 0 and asked_by_others(seg, now) == 0:
            return STEP_IDLE
        gp_start(seg, me, now)
        return STEP_STARTED
    if gp_all_reported(seg) == 0 and now >= seg[rcu + RCU.fqs_due]:
        seg[rcu + RCU.stall_cpu] = force_qs_scan(seg, me)
        trace_event(seg, me, EV.rcu_fqs, seg[rcu + RCU.gp_seq], seg[rcu + RCU.stall_cpu])
        seg[rcu + RCU.fqs_due] = timer_expiry(seg, now, seg[rcu + RCU.next_fqs])
    if gp_all_reported(seg) != 0:
        gp_cleanup(seg, me, now)
        return STEP_ENDED
    if now >= seg[rcu + RCU.stall_due]:
        # Re-armed at three times the timeout, as the kernel does; a warning does not end the grace period.
        seg[rcu + RCU.stall_due] = now + 3 * seg[rcu + RCU.stall_ns]
        count(seg, me, VM.rcu_stall)
        trace_event(seg, me, EV.rcu_stall, seg[rcu + RCU.stall_cpu], now - seg[rcu + RCU.gp_start_ns])
        return STEP_STALL
    return STEP_WAITING


@jit
def gp_wake_time(seg):
    """When the coordinator has to look again unless its bell rings: NO_DEADLINE while nobody will ask."""
    rcu = rcu_state(seg)
    if seg[rcu + RCU.gp_phase] == GP_IDLE:
        return others_due(seg)
    return min(seg[rcu + RCU.fqs_due], seg[rcu + RCU.stall_due])


@jit
def gp_is_clean(seg):
    """1 if no grace period runs and gp_seq's state bits say so. For the end of a run."""
    rcu = rcu_state(seg)
    return 1 if seg[rcu + RCU.gp_phase] == GP_IDLE and seg[rcu + RCU.gp_seq] & SEQ_STATE_MASK == 0 else 0
