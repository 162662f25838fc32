"""The refill worker: how it is asked for, and what one run of it does.

Rule    one request in flight per CPU (compare-and-swap on in_progress). The request is
        made under krc->lock by the call that missed; the bell is rung after the lock is dropped, because
        waking takes the scheduler's locks. Time stamps split the way of a refill into phases whose sum is
        the whole: miss, doorbell, [stood aside,] run, page published, first hit.
Edges   refill.flight   stamps and due time before the worker's run; the run before the next request
After   Linux kernel/rcu/tree.c: run_page_cache_worker, schedule_page_work_fn, fill_page_cache_func (KF 2.9).
"""

from emu.arch import cmpxchg_acq_rel, jit, jit_apart, load_acquire, load_relaxed, store_relaxed, store_release
from emu.mm import MIGRATE_UNMOVABLE, NO_PAGE, PG_TAKEN, alloc_page, free_page
from emu.policy.grow import grow_pool, shrink_due, shrink_pool
from emu.policy.stock import (
    PATH_DELAYED,
    PATH_HRTIMER,
    POLICY,
    STOCK,
    cache_put,
    held_add,
    policy_of,
    stock_now,
    stock_of,
)
from emu.rcu import timer_expiry
from emu.shm import F_REFILL_TWICE, now_ns, raise_fault
from emu.stats import HIST, VM, count, hist_record
from emu.sync import CPU, NOBODY, cpu_enter, cpu_of, ring_or_defer, spin_lock, spin_unlock
from emu.trace import EV, trace_event

SHRINK_LOOK_NS = 10_000_000  # until surplus pages have come home
REQUESTED, RUNG, RAISED = 1, 2, 3  # values of in_progress: asked for; bell rung, worker may run; left to a softirq


@jit
def refill_request(seg, me, stock):
    """Ask for a refill; 1 if this call is the one that has to ring. Under krc->lock, lock-free against the worker."""
    if seg[policy_of(seg) + POLICY.trigger] == 0:
        return 0
    if load_relaxed(seg, stock + STOCK.in_progress) != 0:
        return 0
    # ACQ refill.flight: the last run before this request. Pairs with REL in refill_finish().
    if cmpxchg_acq_rel(seg, stock + STOCK.in_progress, 0, REQUESTED) != 0:
        return 0
    seg[stock + STOCK.t_miss] = now_ns(seg)
    seg[stock + STOCK.t_bell] = 0
    seg[stock + STOCK.deferred] = 0
    count(seg, me, VM.krc_refill_req)
    return 1


@jit_apart
def refill_ring(seg, me, cpu, stock):
    """Ring for the request just made, by the configured path. The mutator of `cpu`, with no lock held."""
    policy = policy_of(seg)
    due = 0
    if load_relaxed(seg, stock + STOCK.backoff) != 0:
        due = now_ns(seg) + seg[policy + POLICY.backoff_ns]
    elif seg[policy + POLICY.path] == PATH_DELAYED:
        due = timer_expiry(seg, now_ns(seg), seg[policy + POLICY.delay_jiffies])
    elif seg[policy + POLICY.path] == PATH_HRTIMER:
        cost = seg[policy + POLICY.hrtimer_cost_ns]
        if cost > 0:  # the interrupt and its handler take the CPU for so long
            until = now_ns(seg) + cost
            while now_ns(seg) < until:
                pass
    refill_stamp(seg, me, cpu, stock, due, RUNG)
    worker = seg[stock + STOCK.worker]
    if worker != NOBODY and ring_or_defer(seg, me, cpu, worker) != 0:
        seg[stock + STOCK.deferred] = 1
    return 0


@jit
def refill_stamp(seg, me, cpu, stock, due, state):
    """The request is on its way: stamps, then the state that says who may serve it."""
    seg[stock + STOCK.due] = due
    seg[stock + STOCK.t_bell] = now_ns(seg)
    trace_event(seg, me, EV.refill_doorbell, cpu, due)
    # REL refill.flight: stamps before the state the worker looks at. Pairs with ACQ in refill_pending().
    store_release(seg, stock + STOCK.in_progress, state)


@jit
def refill_pending(seg, cpu):
    """1 if a rung request waits for its worker. ACQ refill.flight: state before stamps. Pairs with refill_ring()."""
    return 1 if load_acquire(seg, stock_of(seg, cpu) + STOCK.in_progress) == RUNG else 0


@jit
def refill_due(seg, cpu):
    """When a pending request may run: 0 at once."""
    return seg[stock_of(seg, cpu) + STOCK.due]


@jit
def refill_begin(seg, me, cpu, stock):
    """Come on the CPU and stamp the run. A request that is served twice at once faults."""
    aside = 0
    if seg[policy_of(seg) + POLICY.bound] != 0:
        aside = cpu_enter(seg, me, cpu)
    if load_relaxed(seg, stock + STOCK.in_progress) != RUNG or seg[stock + STOCK.t_bell] == 0:
        raise_fault(seg, me, F_REFILL_TWICE, cpu, 0, 0)
    now = now_ns(seg)
    bell = max(seg[stock + STOCK.t_bell], seg[stock + STOCK.due])
    opened = load_relaxed(seg, cpu_of(seg, cpu) + CPU.t_open)
    if seg[stock + STOCK.deferred] != 0 and opened > bell:
        aside = max(aside, min(opened, now) - bell)
    seg[stock + STOCK.aside] = min(aside, max(0, now - bell))
    seg[stock + STOCK.t_run] = now
    seg[stock + STOCK.t_pub] = 0
    count(seg, me, VM.krc_refill_run)
    trace_event(seg, me, EV.refill_run, cpu, aside)


@jit
def refill_push(seg, me, pcp_cpu, cpu, stock, pfn):
    """Put one fetched page into the cache; 0 if the cache was full and the page went back."""
    lock = seg[stock + STOCK.lock]
    spin_lock(seg, me, lock)
    now = stock_now(seg, stock)
    pushed = cache_put(seg, me, cpu, stock, pfn, PG_TAKEN)
    if pushed != 0:
        held_add(seg, stock, 1)
        if seg[stock + STOCK.t_pub] == 0:
            seg[stock + STOCK.t_pub] = now
            seg[stock + STOCK.hit_pending] = 1
    spin_unlock(seg, me, lock)
    if pushed != 0:
        count(seg, me, VM.krc_refill_page)
    else:
        count(seg, me, VM.krc_refill_surplus)
        free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
    return pushed


@jit
def refill_finish(seg, me, cpu, stock, pages):
    """End the run: the next miss may ask again."""
    hist_record(seg, me, HIST.pages_per_refill, pages)
    trace_event(seg, me, EV.refill_done, cpu, pages)
    store_relaxed(seg, stock + STOCK.backoff, 0)
    low = load_relaxed(seg, stock + STOCK.t_low)
    if low != 0:
        hist_record(seg, me, HIST.low_stock_ns, now_ns(seg) - low)
        store_relaxed(seg, stock + STOCK.t_low, 0)
    # REL refill.flight: the run before the next request. Pairs with ACQ in refill_request().
    store_release(seg, stock + STOCK.in_progress, 0)


@jit_apart
def refill_run(seg, me, pcp_cpu, cpu):
    """One run of the worker for `cpu`: fetch pages up to the rule's amount. Worker only; returns the pages cached."""
    policy = policy_of(seg)
    stock = stock_of(seg, cpu)
    refill_begin(seg, me, cpu, stock)
    amount = seg[policy + POLICY.amount]
    if load_relaxed(seg, stock + STOCK.backoff) != 0:
        amount = seg[policy + POLICY.backoff_amount]
    at = 0
    if seg[policy + POLICY.count_from_zero] == 0:
        at = load_relaxed(seg, stock + STOCK.nr_cached)
    pages = 0
    while at < amount:
        pfn = alloc_page(seg, me, pcp_cpu, seg[policy + POLICY.gfp], MIGRATE_UNMOVABLE)
        if pfn == NO_PAGE:
            count(seg, me, VM.krc_refill_fail)
            if seg[policy + POLICY.stop_on_failure] != 0:
                break
        elif refill_push(seg, me, pcp_cpu, cpu, stock, pfn) == 0:
            break
        else:
            pages += 1
        at += 1
    if seg[policy + POLICY.grows] != 0:
        pages += grow_pool(seg, me, pcp_cpu, cpu, stock)
    refill_finish(seg, me, cpu, stock, pages)
    return pages


@jit
def refill_step(seg, me, pcp_cpu, first_cpu, last_cpu, now):
    """Serve every CPU of the range whose request is due; returns the time to look again, 0 when nothing is pending."""
    wake = 0
    for cpu in range(first_cpu, last_cpu):
        as_cpu = pcp_cpu if pcp_cpu >= 0 else cpu
        if seg[policy_of(seg) + POLICY.grows] != 0:
            due = refill_shrink(seg, me, as_cpu, cpu, now)
            if due != 0:
                wake = due if wake == 0 else min(wake, due)
        if refill_pending(seg, cpu) == 0:
            continue
        due = refill_due(seg, cpu)
        if due > now:
            wake = due if wake == 0 else min(wake, due)
        else:
            refill_run(seg, me, as_cpu, cpu)
    return wake


@jit_apart
def refill_shrink(seg, me, pcp_cpu, cpu, now):
    """Let a pool that grew shrink once it has been quiet; returns the time to look again, 0 if it is at its base."""
    due = shrink_due(seg, cpu)
    if due == 0 or due > now:
        return due
    if shrink_pool(seg, me, pcp_cpu, cpu, stock_of(seg, cpu)) != 0:
        return now
    return shrink_due(seg, cpu) and now + SHRINK_LOOK_NS


@jit
def first_hit(seg, me, cpu, stock, now):
    """The first page taken from the cache after a refill: close its books, phase by phase. Mutator, under krc->lock."""
    seg[stock + STOCK.hit_pending] = 0
    miss = seg[stock + STOCK.t_miss]
    bell = seg[stock + STOCK.t_bell]
    run = seg[stock + STOCK.t_run]
    published = seg[stock + STOCK.t_pub]
    if miss == 0 or bell < miss or run < bell or published < run:
        return  # a newer request has begun to stamp: this refill's books are mixed, and not told
    aside = seg[stock + STOCK.aside]
    hist_record(seg, me, HIST.refill_doorbell_ns, bell - miss)
    hist_record(seg, me, HIST.refill_wake_ns, run - bell - aside)
    hist_record(seg, me, HIST.refill_aside_ns, aside)
    hist_record(seg, me, HIST.refill_alloc_ns, published - run)
    hist_record(seg, me, HIST.refill_hit_ns, now - published)
    hist_record(seg, me, HIST.refill_total_ns, now - miss)
    trace_event(seg, me, EV.first_hit, cpu, now - miss)


@jit
def window_close(seg, me, stock, now):
    """A page was found again: the fallback window closes and is recorded. Mutator, under krc->lock."""
    length = now - seg[stock + STOCK.window_start]
    seg[stock + STOCK.window_start] = 0
    seg[stock + STOCK.windows] += 1
    seg[stock + STOCK.window_ns] += length
    hist_record(seg, me, HIST.fallback_window_ns, length)
    hist_record(seg, me, HIST.fallback_window_objects, seg[stock + STOCK.window_objects])

