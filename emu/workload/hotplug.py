"""An emulated CPU goes offline while the load runs, and comes back: its mutator's own doing, by its schedule.

Rule    down: the mutator leaves every section, gives its private slabs back, marks the CPU offline, reports a quiescent
        state and goes idle for RCU; then its page lists and its krc's page cache are emptied. What is queued stays in
        the krc: its monitor and batches are worked off by the reclaim daemon as ever, which runs as the housekeeping
        CPU meanwhile (worker_pcp_cpu()). No grace period that starts later waits for the CPU.
        up: the CPU is marked online first; it reads nothing before the coordinator has seen that, because a grace
        period that was starting just then may have left it out (rcu_cpu_starting()).
        The load's schedule stands still while the CPU is away.
Limits  the process stays: a request to drain the CPU's lists is still served by it. A page that a worker of the CPU had
        in hand may reach the lists just after they were emptied; it is there when the CPU is back.
After   Linux kernel/cpu.c; page_alloc_cpu_dead(), rcutree_report_cpu_dead(), rcutree_report_cpu_starting().
"""

from emu.arch import jit, jit_apart
from emu.kvfree import drain_page_cache, flush_rcu_sheaves
from emu.mm import drain_asked, drain_pages, drain_work, slab_flush_cpu
from emu.rcu import rcu_cpu_starting, rcu_eqs_enter, rcu_eqs_exit, rcu_report_cpu_dead, rcu_tick
from emu.shm import HEADER, MAP, RUN, now_ns, region, run_state
from emu.stats import VM, count, count_n
from emu.sync import bell_seen, proc_sleep, set_cpu_online
from emu.trace import EV, trace_event
from emu.workload.demand import LOAD

NEVER = 1 << 62


@jit_apart
def cpu_down(seg, me, cpu, load):
    """Go offline. The CPU's mutator, outside readers and sections."""
    if seg[load + LOAD.sheaves] != 0:
        flush_rcu_sheaves(seg, me, cpu)
    for index in range(region(seg, MAP.nr_caches)):
        slab_flush_cpu(seg, me, cpu, index, cpu)
    set_cpu_online(seg, cpu, 0)
    rcu_report_cpu_dead(seg, me, cpu)
    rcu_eqs_enter(seg, me, cpu)
    pages = drain_pages(seg, me, cpu)
    cached = drain_page_cache(seg, me, seg[HEADER.nr_cpus], cpu)
    count(seg, me, VM.cpu_offline)
    count_n(seg, me, VM.hotplug_pcp_pages, pages)
    count_n(seg, me, VM.hotplug_cached_pages, cached)
    trace_event(seg, me, EV.cpuhp_offline, cpu, pages + cached)
    return 0


@jit_apart
def cpu_up(seg, me, cpu, load):
    """Come back. 1, or 0 if the run stopped while the coordinator was waited for."""
    set_cpu_online(seg, cpu, 1)
    if rcu_cpu_starting(seg, me, cpu) == 0:
        return 0
    rcu_eqs_exit(seg, cpu)
    count(seg, me, VM.cpu_online)
    trace_event(seg, me, EV.cpuhp_online, cpu, 0)
    rcu_tick(seg, me, cpu, now_ns(seg), 1)
    return 1


@jit
def stay_down(seg, me, cpu, until):
    """Sleep until the CPU is wanted again, or the run is over."""
    until = min(until, seg[HEADER.t_end])
    while run_state(seg) == RUN:
        seen = bell_seen(seg, me)
        if now_ns(seg) >= until:
            break
        if drain_asked(seg, cpu) != 0:
            drain_work(seg, me, cpu)
        proc_sleep(seg, me, seen, until)


@jit_apart
def cpu_hotplug(seg, me, cpu, load):
    """Down, away, up: when LOAD.hot_next is due, with no section open. The CPU's mutator. Returns the ns away."""
    start = now_ns(seg)
    cpu_down(seg, me, cpu, load)
    stay_down(seg, me, cpu, seg[load + LOAD.hot_next] + seg[load + LOAD.hot_away_ns])
    repeat = seg[load + LOAD.hot_repeat_ns]
    seg[load + LOAD.hot_next] = seg[load + LOAD.hot_next] + repeat if repeat > 0 else NEVER
    if run_state(seg) != RUN or now_ns(seg) >= seg[HEADER.t_end]:
        rcu_eqs_exit(seg, cpu)  # offline to the end; no reader follows
    else:
        cpu_up(seg, me, cpu, load)
    away = now_ns(seg) - start
    seg[load + LOAD.hot_total_ns] += away
    seg[load + LOAD.base] += away
    seg[load + LOAD.due] += away
    seg[load + LOAD.next_vmstat] += away
    return away
