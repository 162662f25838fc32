"""drain_all_pages(): every list empty afterwards, by whom it should be, and never a wait without an end."""

import pytest

from emu.mm import (
    GFP_KERNEL,
    MIGRATE_UNMOVABLE,
    PCP,
    PG_TAKEN,
    ZONE,
    alloc_page,
    drain_all_pages,
    drain_asked,
    drain_work,
    free_page,
    pcp_count,
    pcp_of,
    zone_of,
)
from emu.mm.drain import DRAINS, drain_ask
from emu.shm import MAP, PROC, RUNNING, proc_of, region
from emu.stats import HIST, VM, counter, hist_count
from emu.sync import LOCK, spin_lock, spin_unlock
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, ledger, zone_word
from tests.unit.mm.zones import DMA32, NORMAL1, machine

ME = 0


def fill(seg, *cpus):
    """Leave pages on these CPUs' lists."""
    for cpu in cpus:
        free_page(seg, ME, cpu, alloc_page(seg, ME, cpu, GFP_KERNEL, MIGRATE_UNMOVABLE), PG_TAKEN, ME)


def on_lists(seg):
    return [sum(pcp_count(seg, pcp_of(seg, zone, cpu)) for zone in range(region(seg, MAP.nr_zones)))
            for cpu in range(region(seg, MAP.nr_pcp_cpus))]


@pytest.mark.parametrize("rule", ["work", "remote"])
@pytest.mark.parametrize("pcp_cpu", [0, 2])
def test_every_list_of_every_cpu_is_empty_afterwards(rule, pcp_cpu):
    seg = small_machine(f'memory.drain_rule="{rule}"', "memory.pcp_batch=8").seg
    fill(seg, 0, 1, 2)
    assert on_lists(seg) == [8, 8, 8]
    assert drain_all_pages(seg, ME, pcp_cpu) == 24
    assert on_lists(seg) == [0, 0, 0]
    assert ledger(seg) == {"buddy": zone_word(seg, "managed")}
    assert counter(seg, ME, VM.drain_all_pages) == hist_count(seg, ME, HIST.drain_all_ns) == 1
    assert fault_of(seg)[0] == 0


def test_the_lists_of_all_zones_are_drained():
    seg = machine("memory.pcp_batch=4", 'memory.pcp_rule="v6.7"').seg
    fill(seg, 0, 1)
    for index in (0, DMA32):
        seg[zone_of(seg, index) + ZONE.wmark_low] = seg[zone_of(seg, index) + ZONE.wmark_min] = 10**6
    fill(seg, 0)
    assert pcp_count(seg, pcp_of(seg, NORMAL1, 1)) > 0
    drain_all_pages(seg, ME, 0)
    assert on_lists(seg) == [0, 0, 0]


def test_a_remote_drain_holds_each_lists_lock():
    seg = small_machine('memory.drain_rule="remote"', 'memory.pcp_rule="v6.1"').seg
    fill(seg, 1)
    lock = pcp_of(seg, 0, 1) + PCP.lock + LOCK.acquired
    before = seg[lock]
    drain_all_pages(seg, ME, 0)
    assert seg[lock] == before + 1


def test_one_drain_at_a_time():
    seg = small_machine().seg
    fill(seg, 1)
    mutex = region(seg, MAP.drains) + DRAINS.lock
    spin_lock(seg, 1, mutex)
    assert drain_all_pages(seg, ME, 0) == 0
    assert on_lists(seg)[1] > 0
    spin_unlock(seg, 1, mutex)
    assert drain_all_pages(seg, ME, 0) > 0


def test_a_request_is_served_by_the_cpus_own_process_once():
    seg = small_machine('memory.drain_rule="work"', "memory.pcp_batch=8").seg
    fill(seg, 1)
    assert drain_work(seg, 1, 1) == 0
    drain_ask(seg, ME, 1)
    assert drain_asked(seg, 1) == 1 and drain_asked(seg, 0) == 0
    assert drain_work(seg, 1, 1) == 8
    assert drain_asked(seg, 1) == 0
    assert counter(seg, 1, VM.drain_local_pages) == 1
    assert drain_work(seg, 1, 1) == 0


def test_a_cpu_that_sleeps_where_it_serves_nobody_is_served_by_the_requester():
    seg = small_machine('memory.drain_rule="work"', "memory.pcp_batch=8").seg
    fill(seg, 1)
    other = proc_of(seg, 1)
    seg[other + PROC.state] = RUNNING
    seg[other + PROC.sleeping] = 1
    assert drain_all_pages(seg, ME, 0) == 8
    assert on_lists(seg) == [0, 0, 0]
    assert drain_asked(seg, 1) == 0
