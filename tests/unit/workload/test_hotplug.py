"""A CPU that goes offline gives up what it holds, is left out by grace periods, and comes back to a coordinator that
has seen it."""

import threading
import time

import pytest

from emu.arch import JIT
from emu.kvfree import queued_objects
from emu.mm import GFP_KERNEL, MIGRATE_UNMOVABLE, PG_TAKEN, alloc_page, free_page, pcp_count, pcp_of
from emu.policy import STOCK
from emu.rcu import RCU, RDP, gp_kthread_step, gp_seq, seq_in_progress
from emu.rcu.gp import check_all_passed, gp_start
from emu.rcu.hotplug import note_hotplug
from emu.shm import HEADER
from emu.stats import VM, counter
from emu.sync import cpu_online, set_cpu_online, worker_pcp_cpu
from emu.workload import LOAD, NEVER, WAITED, WORKED, mutator_begin, mutator_finish, mutator_prepare, mutator_step
from tests.small_machine import SmallMachine, small_machine

ME = 0


def started(*overrides) -> SmallMachine:
    """CPU 0's mutator at time zero, with a filled krc cache."""
    machine = small_machine("hotplug.cpu=0", "hotplug.offline_at_ms=1", "hotplug.online_at_ms=4", *overrides)
    mutator_prepare(machine.seg, ME, 0)
    machine.seg[HEADER.t_zero] = time.monotonic_ns()
    machine.seg[HEADER.t_end] = machine.seg[HEADER.t_zero] + 10_000_000_000
    mutator_begin(machine.seg, ME, 0)
    return machine


def rdp(machine, cpu):
    return machine.plan.offsets["rcu"] + RCU.SIZE + cpu * RDP.SIZE


def coordinate(machine, stop):
    """The coordinator's part, as another process would play it."""
    while not stop.is_set():
        note_hotplug(machine.seg)
        time.sleep(0.0005)


def through_hotplug(machine):
    """Step the mutator until it has been away and back."""
    stop = threading.Event()
    helper = threading.Thread(target=coordinate, args=(machine, stop))
    helper.start()
    try:
        while counter(machine.seg, ME, VM.cpu_offline) == 0:
            assert mutator_step(machine.seg, ME, 0) in (WORKED, WAITED)
    finally:
        stop.set()
        helper.join()


by_a_thread = pytest.mark.skipif(JIT, reason="a thread plays the coordinator: compiled code would not let it run")


@by_a_thread
def test_it_gives_up_lists_and_cache_and_comes_back():
    machine = started("run.epoch=E59", "memory.pcp_batch=4", "memory.pcp_high=24")  # E59 fills the cache at boot
    seg = machine.seg
    pages = [alloc_page(seg, ME, 0, GFP_KERNEL, MIGRATE_UNMOVABLE) for _ in range(4)]
    for pfn in pages:
        free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert pcp_count(seg, pcp_of(seg, 0, 0)) > 0 and seg[machine.plan.stock(0) + STOCK.nr_cached] > 0
    through_hotplug(machine)
    assert counter(seg, ME, VM.hotplug_pcp_pages) > 0 and counter(seg, ME, VM.hotplug_cached_pages) > 0
    assert pcp_count(seg, pcp_of(seg, 0, 0)) == 0 and seg[machine.plan.stock(0) + STOCK.nr_cached] == 0
    assert (cpu_online(seg, 0), counter(seg, ME, VM.cpu_online)) == (1, 1)
    assert seg[rdp(machine, 0) + RDP.eqs] & 1 == 1  # busy again
    assert seg[machine.plan.load(0) + LOAD.hot_total_ns] > 0
    assert seg[machine.plan.load(0) + LOAD.hot_next] == NEVER
    queued = queued_objects(seg, 0)
    assert mutator_step(seg, ME, 0) == WORKED and queued_objects(seg, 0) > queued  # objects stayed, and calls go on
    mutator_finish(seg, ME, 0)
    assert machine.fault == 0


@by_a_thread
def test_it_goes_again_where_that_is_asked_for():
    machine = started("hotplug.repeat_ms=20")
    through_hotplug(machine)
    away = machine.seg[machine.plan.load(0) + LOAD.hot_next] - machine.seg[HEADER.t_zero]
    assert away == 21_000_000


@by_a_thread
def test_a_schedule_stands_still_while_the_cpu_is_away():
    machine = started("workload.kind=constant", "workload.rate_per_s=1000")
    through_hotplug(machine)
    load = machine.plan.load(0)
    scheduled = machine.seg[load + LOAD.due] - machine.seg[HEADER.t_zero] - machine.seg[load + LOAD.hot_total_ns]
    assert machine.seg[load + LOAD.hot_total_ns] > 0
    assert scheduled % 1_000_000 == 0 and 0 < scheduled <= 10_000_000


@by_a_thread
def test_a_cpu_that_is_away_at_the_end_of_the_run_leaves_in_order():
    machine = started("hotplug.online_at_ms=60_000")
    machine.seg[HEADER.t_end] = machine.seg[HEADER.t_zero] + 20_000_000
    through_hotplug(machine)
    assert cpu_online(machine.seg, 0) == 0
    mutator_finish(machine.seg, ME, 0)
    assert machine.seg[rdp(machine, 0) + RDP.eqs] & 1 == 0


def test_a_grace_period_leaves_an_offline_cpu_out_and_is_not_blamed_when_it_comes_back():
    machine = small_machine()
    seg, coordinator = machine.seg, machine.index("coordinator")
    set_cpu_online(seg, 1, 0)
    gp_start(seg, coordinator, time.monotonic_ns())
    set_cpu_online(seg, 1, 1)
    for cpu in (0, 1):
        assert (seg[rdp(machine, cpu) + RDP.gp_in] != 0) == (cpu == 0)
    seg[rdp(machine, 0) + RDP.qs_gp] = seg[rdp(machine, 0) + RDP.gp_in]
    check_all_passed(seg, coordinator)
    assert machine.fault == 0


def test_a_grace_period_that_ends_without_the_report_of_a_cpu_it_waited_for_is_a_fault():
    machine = small_machine()
    gp_start(machine.seg, machine.index("coordinator"), time.monotonic_ns())
    set_cpu_online(machine.seg, 1, 0)  # going offline is no report
    machine.seg[rdp(machine, 0) + RDP.qs_gp] = machine.seg[rdp(machine, 0) + RDP.gp_in]
    check_all_passed(machine.seg, machine.index("coordinator"))
    assert machine.fault != 0


def test_the_coordinator_acknowledges_between_two_starts_only():
    machine = small_machine()
    seg, coordinator, rcu = machine.seg, machine.index("coordinator"), machine.plan.offsets["rcu"]
    seg[rcu + RCU.gp_needed] = gp_seq(seg) + 8
    seg[rcu + RCU.hotplug] = 1
    gp_start(seg, coordinator, time.monotonic_ns())
    assert seg[rcu + RCU.hotplug_seen] == 0 and seq_in_progress(gp_seq(seg))
    gp_kthread_step(seg, coordinator, time.monotonic_ns())
    assert seg[rcu + RCU.hotplug_seen] == 1


def test_bound_workers_run_as_the_housekeeping_cpu_while_theirs_is_away():
    machine = small_machine()
    worker = machine.index("page_refill/1")
    assert worker_pcp_cpu(machine.seg, worker) == 1
    set_cpu_online(machine.seg, 1, 0)
    assert worker_pcp_cpu(machine.seg, worker) == machine.plan.cpus
    assert worker_pcp_cpu(machine.seg, machine.index("reclaim/0")) == machine.plan.cpus
