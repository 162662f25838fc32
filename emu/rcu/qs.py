"""Quiescent states: readers, ticks, idle CPUs, and how a report clears the tree's masks.

Rule    a reader costs its CPU one word of its own; nothing is shared. The CPU reports at a tick (or where it gives
        the core away) and only outside readers: first it notices the grace period, at the next tick it
        reports. An idle CPU reports nothing: its eqs counter is even, and the coordinator reports for it.
        A report for another grace period than the mask's is dropped.
Edges   qs.mask   what a CPU read before its report, before the end of the grace period
        eqs       what an idle CPU read before going idle, before the coordinator's look at the counter
After   Linux kernel/rcu/tree.c (rcu_sched_clock_irq, rcu_check_quiescent_state, rcu_report_qs_rdp), KF 4.3, 4.4.
"""

from emu.arch import (
    barrier,
    cmpxchg_acq_rel,
    fetch_add_acq_rel,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    smp_mb_after_atomic,
    store_relaxed,
)
from emu.rcu.gp_seq import seq_in_progress, seq_number
from emu.rcu.state import (
    LEAF_FANOUT,
    MASK,
    MASK_BITS,
    RCU,
    RDP,
    RNP,
    gp_seq,
    leaf_of,
    next_tick_after,
    rcu_state,
    rdp_of,
)
from emu.stats import VM, count
from emu.sync import proc_ring
from emu.trace import EV, trace_event


@jit
def rcu_read_lock(seg, cpu):
    """Enter a read section. Mutator of `cpu` only; nests; costs one private word."""
    word = rdp_of(seg, cpu) + RDP.nesting
    store_relaxed(seg, word, seg[word] + 1)
    barrier()  # nothing of the section moves before the count: a tick of this CPU may come between


@jit
def rcu_read_unlock(seg, cpu):
    """Leave a read section."""
    barrier()  # nothing of the section moves behind the count
    word = rdp_of(seg, cpu) + RDP.nesting
    store_relaxed(seg, word, seg[word] - 1)


@jit
def clear_qs_bit(seg, node, number, bit):
    """Clear one CPU's (or leaf's) bit for grace period `number`; 1 if that emptied the mask, 0 otherwise."""
    while True:
        word = load_relaxed(seg, node + RNP.qsmask)
        if word >> MASK_BITS != number or word & bit == 0:
            return 0
        after = word & ~bit
        # REL qs.mask: what was read before the report. ACQ qs.mask: reports of others. Pairs with gp_all_reported().
        if cmpxchg_acq_rel(seg, node + RNP.qsmask, word, after) == word:
            return 1 if after & MASK == 0 else 0


@jit_apart
def rcu_report_qs(seg, me, cpu, number):
    """Report a quiescent state of `cpu` for grace period `number`; wakes the coordinator when it was the last one."""
    store_relaxed(seg, rdp_of(seg, cpu) + RDP.qs_gp, number)
    rcu = rcu_state(seg)
    leaf = cpu // LEAF_FANOUT
    count(seg, me, VM.rcu_qs_report)
    if clear_qs_bit(seg, leaf_of(seg, leaf), number, 1 << (cpu % LEAF_FANOUT)) == 0:
        return 0
    leaves = seg[rcu + RCU.nr_leaves]
    if leaves > 1 and clear_qs_bit(seg, leaf_of(seg, leaves), number, 1 << leaf) == 0:
        return 0
    trace_event(seg, me, EV.rcu_quiescent_state_report, cpu, number)
    if seg[rcu + RCU.coordinator] != me:
        proc_ring(seg, seg[rcu + RCU.coordinator])
    return 0


@jit
def rcu_qs(seg, me, cpu):
    """A quiescent state of this CPU: notice a new grace period, or report for the one noticed. Outside readers only."""
    rdp = rdp_of(seg, cpu)
    seq = gp_seq(seg)
    if seq_in_progress(seq) == 0:
        return
    if seg[rdp + RDP.noticed] != seq:
        seg[rdp + RDP.noticed] = seq
        seg[rdp + RDP.need_qs] = 1
        return
    if seg[rdp + RDP.need_qs] != 0:
        seg[rdp + RDP.need_qs] = 0
        rcu_report_qs(seg, me, cpu, seq_number(seq))


@jit
def rcu_tick(seg, me, cpu, now, quiescent):
    """The scheduler tick of this CPU, if one is due at `now`. quiescent: 0 in a section the kernel does not preempt."""
    rdp = rdp_of(seg, cpu)
    if now < seg[rdp + RDP.next_tick]:
        return
    seg[rdp + RDP.next_tick] = next_tick_after(seg, now)
    count(seg, me, VM.rcu_tick)
    if quiescent != 0 and seg[rdp + RDP.nesting] == 0:
        rcu_qs(seg, me, cpu)


@jit
def rcu_eqs_enter(seg, me, cpu):
    """This CPU goes idle. Outside readers; mutator only."""
    # REL eqs: reads before idle. Pairs with ACQ in eqs_snapshot().
    fetch_add_acq_rel(seg, rdp_of(seg, cpu) + RDP.eqs, 1)
    smp_mb_after_atomic()  # MB eqs: counter before what others see of this CPU's sleep. Pairs with force_qs_scan()
    count(seg, me, VM.rcu_eqs_enter)


@jit
def rcu_eqs_exit(seg, cpu):
    """This CPU is busy again: reads that follow are not covered by an idle report made before."""
    fetch_add_acq_rel(seg, rdp_of(seg, cpu) + RDP.eqs, 1)  # REL eqs: what was done while idle before the counter
    smp_mb_after_atomic()  # MB eqs: counter before the first read of a section. Pairs with force_qs_scan()


@jit
def eqs_snapshot(seg, cpu):
    """The CPU's idle counter; even while it is idle."""
    # ACQ eqs: counter before the report for it. Pairs with REL in rcu_eqs_enter().
    return load_acquire(seg, rdp_of(seg, cpu) + RDP.eqs)
