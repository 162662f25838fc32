"""Refill by softirq on low stock (S17): on the CPU that ran low, after the call, without the raw lock.

Rule    raised when a page is taken and fewer than low_stock_pages stay cached, or when pages go faster than one in
        busy_page_us. It runs at the end of the call where that was preemptible, else where the section ends. A softirq
        that hit a holder of an allocator lock must not allocate: the worker does it, as for a miss.
        The request is the worker's own (refill.py): one in flight per CPU, whoever serves it.
After   the mails of 2020-08-14 to 17 (KF 1.2, S17).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import MIGRATE_UNMOVABLE, NO_PAGE, PCP, ZONE, alloc_page, pcp_of, zone_of
from emu.policy.refill import RAISED, refill_finish, refill_push, refill_stamp
from emu.policy.stock import POLICY, STOCK, policy_of, stock_of
from emu.shm import MAP, now_ns, region
from emu.stats import VM, count
from emu.sync import CPU, CTX_SOFTIRQ, atomic_depth, context_enter, cpu_of, do_softirq, preempt_disable, preempt_enable
from emu.trace import EV, trace_event


@jit
def note_low(seg, stock, now):
    """Look at the stock as a page is taken: STOCK.t_low is set when it runs low. Under krc->lock."""
    policy = policy_of(seg)
    fast = seg[stock + STOCK.t_take] != 0 and now - seg[stock + STOCK.t_take] < seg[policy + POLICY.busy_ns]
    seg[stock + STOCK.t_take] = now
    low = fast or seg[stock + STOCK.nr_cached] < seg[policy + POLICY.low_stock]
    if low and load_relaxed(seg, stock + STOCK.t_low) == 0:
        store_relaxed(seg, stock + STOCK.t_low, now)


@jit
def in_allocator(seg, me, cpu):
    """1 if process `me` holds zone->lock or a pcp->lock of this CPU: what the softirq would have interrupted."""
    for index in range(region(seg, MAP.nr_zones)):
        if load_relaxed(seg, zone_of(seg, index) + ZONE.lock) == me + 1:
            return 1
        if load_relaxed(seg, pcp_of(seg, index, cpu) + PCP.lock) == me + 1:
            return 1
    return 0


@jit_apart
def raise_softirq(seg, me, cpu, stock):
    """The call is over: run the refill here, or where the section ends. 0 if the worker has to do it."""
    if in_allocator(seg, me, cpu) != 0:
        count(seg, me, VM.softirq_defer)
        return 0
    refill_stamp(seg, me, cpu, stock, 0, RAISED)
    if atomic_depth(seg, cpu) == 0:
        softirq_refill(seg, me, cpu)
    else:
        seg[cpu_of(seg, cpu) + CPU.softirq] = 1
        store_relaxed(seg, cpu_of(seg, cpu) + CPU.need_resched, 1)
    return 1


@jit_apart
def softirq_refill(seg, me, cpu):
    """The softirq: fill the cache from the allocator, without waiting. Mutator of `cpu`, in no section."""
    stock = stock_of(seg, cpu)
    if load_relaxed(seg, stock + STOCK.in_progress) != RAISED:
        return 0
    preempt_disable(seg, cpu)
    before = context_enter(seg, me, CTX_SOFTIRQ)
    policy = policy_of(seg)
    now = now_ns(seg)
    seg[stock + STOCK.aside] = 0
    seg[stock + STOCK.t_run] = now
    seg[stock + STOCK.t_pub] = 0
    count(seg, me, VM.krc_refill_run)
    count(seg, me, VM.softirq_refill)
    trace_event(seg, me, EV.refill_run, cpu, 0)
    pages = 0
    while load_relaxed(seg, stock + STOCK.nr_cached) < seg[policy + POLICY.amount]:
        pfn = alloc_page(seg, me, cpu, seg[policy + POLICY.gfp], MIGRATE_UNMOVABLE)
        if pfn == NO_PAGE:
            count(seg, me, VM.krc_refill_fail)
            break
        if refill_push(seg, me, cpu, cpu, stock, pfn) == 0:
            break
        pages += 1
    refill_finish(seg, me, cpu, stock, pages)
    context_enter(seg, me, before)
    preempt_enable(seg, me, cpu)
    return pages


do_softirq.bind(softirq_refill)
