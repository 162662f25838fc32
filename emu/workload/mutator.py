"""One emulated CPU at work: arrivals, allocations, retirements, readers, ticks, and where it may be preempted.

Holds   the mutator's bounded steps.
Rule    preemption model none and voluntary: from the first call after a sleep to the next sleep or resched point is
        one section that no worker of this CPU enters (architecture, section 7). full and rt: only calls made in
        atomic context are sections. The CPU is idle for RCU while it waits; but the short gaps of a recording are
        work that was not recorded, and there it is busy.
Limits  a step makes at most STEP_CALLS calls, so stop words and ticks are looked at that often.
"""

from emu.arch import jit, jit_apart, sched_yield, store_relaxed
from emu.kvfree import flush_rcu_sheaves, kfree_rcu_sheaf, kvfree_rcu_mightsleep
from emu.mm import ZONE, drain_asked, drain_work, pcp_decay, pcp_of, slab_flush_cpu, zone_of
from emu.rcu import rcu_eqs_enter, rcu_eqs_exit, rcu_qs, rcu_tick
from emu.shm import DRAINED, HEADER, MAP, PROC, RUN, STOP, now_ns, proc_of, region, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import CPU, CTX_TASK, bell_seen, cpu_of, model_section, preempt_disable, preempt_enable, proc_sleep
from emu.vmscan import PSI_IDLE, PSI_RUNNING, psi_task
from emu.workload.arrivals import (
    arrivals_begin,
    calls_allowed,
    calls_made,
    is_paced,
    next_context,
    recorded_gap,
    whole_bursts_only,
)
from emu.workload.contexts import call_in_context, free_rcu
from emu.workload.demand import LOAD, N_CONTEXTS, REPLAY, load_of
from emu.workload.hotplug import NEVER, cpu_hotplug
from emu.workload.objects import fill_slots, new_object, read_object, replace_object
from emu.workload.random import random_fraction

STEP_CALLS = 64
VMSTAT_NS = 1_000_000_000  # vm.stat_interval
# Below this the wake-up from a sleep would cost more than the wait: give the core away and look again.
SLEEP_ABOVE_NS = 60_000

WORKED, WAITED, FINISHED = 0, 1, 2


@jit
def enter_section(seg, cpu, load):
    """Begin a section of the non-preemptible models, if the model has them and none is open."""
    if seg[load + LOAD.whole_burst] != 0 and seg[load + LOAD.in_section] == 0:
        seg[load + LOAD.in_section] = 1
        preempt_disable(seg, cpu)
        model_section(seg, cpu, 1)


@jit
def leave_section(seg, me, cpu, load):
    """End it: the CPU's workers get in if they asked."""
    if seg[load + LOAD.in_section] != 0:
        seg[load + LOAD.in_section] = 0
        model_section(seg, cpu, 0)
        preempt_enable(seg, me, cpu)


@jit_apart
def cond_resched(seg, me, cpu, load):
    """A scheduling point: let workers in, pass a quiescent state if a tick is due."""
    if seg[cpu_of(seg, cpu) + CPU.need_resched] != 0:
        rcu_qs(seg, me, cpu)
    leave_section(seg, me, cpu, load)
    rcu_tick(seg, me, cpu, now_ns(seg), 1)
    drain_work(seg, me, cpu)
    enter_section(seg, cpu, load)
    return 0


@jit
def draw_context(seg, load):
    """The context of the next call: the recording's, or drawn from the mix."""
    if seg[load + LOAD.mixed_contexts] == 0:
        return next_context(seg, load)
    draw = random_fraction(seg, load + LOAD.random)
    context = 0
    while context < N_CONTEXTS - 1 and draw >= seg[load + LOAD.contexts + context]:
        context += 1
    return context


@jit
def retire(seg, me, cpu, load, obj, context):
    """Make the call, in its context. One-argument calls are made from task context only."""
    if context != CTX_TASK:
        call_in_context(seg, me, cpu, load, obj, context)
        return
    share = seg[load + LOAD.one_arg]
    if share > 0 and random_fraction(seg, load + LOAD.random) < share:
        leave_section(seg, me, cpu, load)  # the call may sleep: a scheduling point in every model
        if seg[load + LOAD.sheaves] != 0 and kfree_rcu_sheaf(seg, me, cpu, obj) != 0:
            count(seg, me, VM.kvfree_one_arg)
        else:
            kvfree_rcu_mightsleep(seg, me, cpu, obj)
        enter_section(seg, cpu, load)
    else:
        free_rcu(seg, me, cpu, load, obj)


@jit
def one_call(seg, me, cpu, load):
    """Replace an object and retire the old one. Returns 1 if a call was made (0: memory is out and nothing is left)."""
    context = draw_context(seg, load)
    obj = new_object(seg, me, cpu, load)
    old = replace_object(seg, load, obj)
    if old == 0:
        return 0
    seg[load + LOAD.by_context + context] += 1
    seg[load + LOAD.sample_left] -= 1
    if seg[load + LOAD.sample_left] <= 0:
        seg[load + LOAD.sample_left] = seg[load + LOAD.sample_every]
        start = now_ns(seg)
        retire(seg, me, cpu, load, old, context)
        hist_record(seg, me, HIST.kvfree_call_ns, now_ns(seg) - start)
    else:
        retire(seg, me, cpu, load, old, context)
    return 1


@jit
def after_call(seg, me, cpu, load):
    """What may follow a call: a reader, a scheduling point."""
    every = seg[load + LOAD.reader_every]
    if every > 0:
        seg[load + LOAD.reader_left] -= 1
        if seg[load + LOAD.reader_left] <= 0:
            seg[load + LOAD.reader_left] = every
            read_object(seg, me, cpu, load)
    every = seg[load + LOAD.resched_every]
    if every > 0:
        seg[load + LOAD.resched_left] -= 1
        if seg[load + LOAD.resched_left] <= 0:
            seg[load + LOAD.resched_left] = every
            cond_resched(seg, me, cpu, load)


@jit
def make_calls(seg, me, cpu, load, calls):
    """Make up to `calls` calls back to back, each at least call_cost_ns long; returns how many."""
    cost = seg[load + LOAD.call_cost_ns]
    until = now_ns(seg) if cost > 0 else 0
    for _ in range(calls):
        one_call(seg, me, cpu, load)
        after_call(seg, me, cpu, load)
        if cost > 0:
            until += cost
            now = now_ns(seg)
            if now > until + 16 * cost:
                until = now  # taken off the core meanwhile: the pace goes on from here, it does not catch up
            while now < until:
                now = now_ns(seg)
            rcu_tick(seg, me, cpu, now, 1 - seg[load + LOAD.in_section])
    seg[load + LOAD.calls] += calls
    return calls


@jit_apart
def wait_until(seg, me, cpu, load, due):
    """Idle until `due` or until the run stops: asleep when it is far, giving the core away when it is near."""
    leave_section(seg, me, cpu, load)
    rcu_eqs_enter(seg, me, cpu)
    psi_task(seg, me, PSI_IDLE)
    while run_state(seg) == RUN:
        seen = bell_seen(seg, me)
        now = now_ns(seg)
        if now >= due or now >= seg[HEADER.t_end]:
            break
        if drain_asked(seg, cpu) != 0:
            drain_work(seg, me, cpu)
        if due - now > SLEEP_ABOVE_NS:
            count(seg, me, VM.proc_sleeps)
            proc_sleep(seg, me, seen, min(due, seg[HEADER.t_end]))
        else:
            sched_yield()
    psi_task(seg, me, PSI_RUNNING)
    rcu_eqs_exit(seg, cpu)
    rcu_tick(seg, me, cpu, now_ns(seg), 1)
    return 0


@jit_apart
def busy_until(seg, me, cpu, load, due):
    """Between two recorded calls of one stretch of work: the CPU is busy, in its section, not idle."""
    now = now_ns(seg)
    while now < due and run_state(seg) == RUN:
        now = now_ns(seg)
        rcu_tick(seg, me, cpu, now, 1 - seg[load + LOAD.in_section])
    rcu_tick(seg, me, cpu, now, 1 - seg[load + LOAD.in_section])
    return 0


@jit
def is_finished(seg, load, now):
    """1 when this mutator's part is over: the run's end, its own, or the end of what it was to do."""
    if run_state(seg) != RUN or seg[load + LOAD.done] != 0 or seg[load + LOAD.takes_part] == 0:
        return 1
    limit = seg[load + LOAD.max_calls]
    if limit > 0 and seg[load + LOAD.calls] >= limit:
        return 1
    return 1 if now >= seg[HEADER.t_end] and whole_bursts_only(seg, load, now) != 0 else 0


@jit_apart
def mutator_prepare(seg, me, cpu):
    """Before the start line: a first object in every slot. Mutator only."""
    load = load_of(seg, cpu)
    fill_slots(seg, me, cpu, load)
    store_relaxed(seg, proc_of(seg, me) + PROC.wake_at, 0)
    return 0


@jit
def mutator_begin(seg, me, cpu):
    """At time zero: start the schedule, come out of idle."""
    load = load_of(seg, cpu)
    psi_task(seg, me, PSI_RUNNING)
    rcu_eqs_exit(seg, cpu)
    arrivals_begin(seg, load, seg[HEADER.t_zero])
    if seg[load + LOAD.hot_next] != NEVER:
        seg[load + LOAD.hot_next] += seg[HEADER.t_zero]
    rcu_tick(seg, me, cpu, now_ns(seg), 1)


@jit_apart
def vmstat_update(seg, me, cpu, load, now):
    """Once a second, what the kernel's vmstat worker does to the CPU's page lists (self-tuned sizes, v6.7 on)."""
    if now < seg[load + LOAD.next_vmstat]:
        return 0
    seg[load + LOAD.next_vmstat] = now + VMSTAT_NS
    for index in range(region(seg, MAP.nr_zones)):
        zone = zone_of(seg, index)
        if seg[zone + ZONE.auto_high] != 0:
            pcp_decay(seg, me, zone, pcp_of(seg, index, cpu))
    return 0


@jit
def mutator_step(seg, me, cpu):
    """One bounded step: up to STEP_CALLS calls, or one wait. Returns WORKED, WAITED or FINISHED."""
    load = load_of(seg, cpu)
    now = now_ns(seg)
    if is_finished(seg, load, now) != 0:
        return FINISHED
    if now >= seg[load + LOAD.hot_next]:
        leave_section(seg, me, cpu, load)
        psi_task(seg, me, PSI_IDLE)
        cpu_hotplug(seg, me, cpu, load)
        psi_task(seg, me, PSI_RUNNING)
        return WAITED
    allowed = calls_allowed(seg, load, now)
    if allowed == 0:
        due = min(seg[load + LOAD.due], seg[load + LOAD.hot_next])
        if seg[load + LOAD.kind] == REPLAY and recorded_gap(seg, load) <= seg[load + LOAD.busy_gap_ns]:
            busy_until(seg, me, cpu, load, due)
        else:
            wait_until(seg, me, cpu, load, due)
        return WAITED
    vmstat_update(seg, me, cpu, load, now)
    if seg[load + LOAD.in_section] == 0 and drain_asked(seg, cpu) != 0:
        drain_work(seg, me, cpu)
    limit = seg[load + LOAD.max_calls]
    if limit > 0:
        allowed = min(allowed, limit - seg[load + LOAD.calls])
    enter_section(seg, cpu, load)
    rcu_tick(seg, me, cpu, now, 1 - seg[load + LOAD.in_section])
    if is_paced(seg, load) != 0:
        make_calls(seg, me, cpu, load, 1)
        calls_made(seg, me, cpu, load, 1, now)
    else:
        calls_made(seg, me, cpu, load, make_calls(seg, me, cpu, load, min(allowed, STEP_CALLS)), now)
    return WORKED


@jit
def mutator_finish(seg, me, cpu):
    """After the last step: leave every section, give private slabs back, go idle for good."""
    load = load_of(seg, cpu)
    leave_section(seg, me, cpu, load)
    if seg[load + LOAD.t_finish] == 0:
        seg[load + LOAD.t_finish] = now_ns(seg)
    # Asked only where there are sheaves: else it is not compiled.
    while seg[load + LOAD.sheaves] != 0 and flush_rcu_sheaves(seg, me, cpu) != 0 and run_state(seg) < STOP:
        rcu_tick(seg, me, cpu, now_ns(seg), 1)  # room comes with the end of a grace period
        sched_yield()
    for index in range(region(seg, MAP.nr_caches)):
        slab_flush_cpu(seg, me, cpu, index, cpu)
    psi_task(seg, me, PSI_IDLE)
    rcu_eqs_enter(seg, me, cpu)
    store_relaxed(seg, proc_of(seg, me) + PROC.state, DRAINED)
