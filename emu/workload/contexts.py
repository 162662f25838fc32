"""The contexts that a call is made from, each with what a kernel really has there: sections, interrupts, held locks.

Rule    everything but a preemptible task is a section that no worker of the CPU enters. A raw lock, zone->lock and
        pcp->lock are really taken and really held during the call; what the emulated lockdep thinks of what happens
        under them is its own business. kvfree_rcu() is not legal in an NMI, whose victim may hold krc->lock: the call
        is refused there, counted, and made from the interrupt that follows (irq_work); what is legal there,
        alloc_pages_nolock(), is tried. PREEMPT_RT runs softirqs in threads; the section stays.
After   KF 4.8, 2.12; workload mixes of KF 8.
"""

from emu.arch import jit, jit_apart
from emu.kvfree import kfree_rcu_sheaf, kvfree_call_rcu, sheaves_busy
from emu.mm import (
    NO_PAGE,
    PG_TAKEN,
    ZONE,
    alloc_pages_nolock,
    free_pages_nolock,
    pcp_lock,
    pcp_of,
    pcp_unlock,
    zone_lock,
    zone_of,
    zone_unlock,
)
from emu.stats import VM, count
from emu.sync import (
    CALL_IN_NMI,
    CTX_HARDIRQ,
    CTX_IN_ALLOCATOR,
    CTX_NMI,
    CTX_RAW_LOCK,
    CTX_TASK,
    CTX_TASK_ATOMIC,
    CTX_ZONE_LOCK,
    LC,
    context_enter,
    lockdep_acquired,
    lockdep_released,
    lockdep_report,
    may_trylock,
    preempt_disable,
    preempt_enable,
    spin_lock,
    spin_unlock,
)
from emu.workload.demand import LOAD


@jit
def free_rcu(seg, me, cpu, load, obj):
    """kvfree_rcu(obj, field): a sheaf, where the machine has any, else kvfree_call_rcu(). Mutator of `cpu` only."""
    if seg[load + LOAD.sheaves] != 0 and kfree_rcu_sheaf(seg, me, cpu, obj) != 0:
        return
    kvfree_call_rcu(seg, me, cpu, obj)


@jit
def call_in_context(seg, me, cpu, load, obj, context):
    """kvfree_rcu(obj, field) from any context but a preemptible task. Mutator of `cpu` only."""
    preempt_disable(seg, cpu)
    if context < CTX_RAW_LOCK:
        context_enter(seg, me, context)
        free_rcu(seg, me, cpu, load, obj)
        context_enter(seg, me, CTX_TASK)
    else:
        call_under(seg, me, cpu, load, obj, context)
    preempt_enable(seg, me, cpu)


@jit_apart
def call_under(seg, me, cpu, load, obj, context):
    """The call with a lock of the context's held, or from an NMI. In a section."""
    zone = zone_of(seg, 0)
    context_enter(seg, me, CTX_TASK_ATOMIC)
    if context == CTX_RAW_LOCK:
        spin_lock(seg, me, load + LOAD.raw_lock)
        lockdep_acquired(seg, me, LC.raw, load + LOAD.raw_lock)
        free_rcu(seg, me, cpu, load, obj)
        lockdep_released(seg, me, LC.raw, load + LOAD.raw_lock)
        spin_unlock(seg, me, load + LOAD.raw_lock)
    elif context == CTX_ZONE_LOCK:
        zone_lock(seg, me, zone)
        lockdep_acquired(seg, me, LC.zone, zone + ZONE.lock)
        free_rcu(seg, me, cpu, load, obj)
        lockdep_released(seg, me, LC.zone, zone + ZONE.lock)
        zone_unlock(seg, me, zone)
    elif context == CTX_IN_ALLOCATOR:
        pcp = pcp_of(seg, 0, cpu)
        pcp_lock(seg, me, zone, pcp)
        lockdep_acquired(seg, me, LC.pcp, pcp)
        sheaves_busy(seg, cpu, 1)
        free_rcu(seg, me, cpu, load, obj)
        sheaves_busy(seg, cpu, 0)
        lockdep_released(seg, me, LC.pcp, pcp)
        pcp_unlock(seg, me, zone, pcp)
    else:
        call_in_nmi(seg, me, cpu, load, obj)
    context_enter(seg, me, CTX_TASK)
    return 0


@jit
def call_in_nmi(seg, me, cpu, load, obj):
    """What an NMI may and may not do: a page without locks; no kvfree_rcu() before its interrupt."""
    context_enter(seg, me, CTX_NMI)
    pfn = NO_PAGE
    if may_trylock(seg, me) != 0:
        pfn = alloc_pages_nolock(seg, me, cpu, 0)
    if pfn == NO_PAGE:
        count(seg, me, VM.nmi_alloc_miss)
    else:
        count(seg, me, VM.nmi_alloc_hit)
        free_pages_nolock(seg, me, cpu, pfn, PG_TAKEN, me)
    lockdep_report(seg, me, cpu, CALL_IN_NMI, LC.krc, 0)
    context_enter(seg, me, CTX_HARDIRQ)
    free_rcu(seg, me, cpu, load, obj)
