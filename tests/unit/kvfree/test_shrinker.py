"""kvfree_rcu()'s shrinker: what it counts, what counting does, what a scan sets free."""

import pytest

from emu.kvfree import KRC, kfree_rcu_shrink_count, kfree_rcu_shrink_scan
from emu.policy import STOCK, fill_cache
from emu.shm import PROC
from emu.stats import sum_counters
from tests.small_machine import small_machine


def stocked(epoch):
    """A machine with two pages in each CPU's cache, and 100 objects said to be queued on CPU 1."""
    machine = small_machine(f'run.epoch="{epoch}"', "kvfree.min_cached_objs=2", "kvfree.boot_fill=false")
    for cpu in range(2):
        fill_cache(machine.seg, cpu, 2)
    machine.seg[machine.plan.krc(1) + KRC.count] = 100
    return machine


@pytest.mark.parametrize("epoch, counted, backoff", [("E511", 100, 0), ("E61", 104, 1), ("E612", 104, 1)])
def test_counting_sets_back_off_from_v61_on(epoch, counted, backoff):
    machine = stocked(epoch)
    assert kfree_rcu_shrink_count(machine.seg, 0) == counted
    assert [machine.seg[machine.plan.stock(cpu) + STOCK.backoff] for cpu in range(2)] == [backoff, backoff]


def test_a_scan_empties_caches_cpu_by_cpu_and_stops_when_it_has_enough():
    machine = stocked("E612")
    assert kfree_rcu_shrink_scan(machine.seg, 0, 0, 2) == 2
    assert [machine.seg[machine.plan.stock(cpu) + STOCK.nr_cached] for cpu in range(2)] == [0, 2]
    assert sum_counters(machine.seg)["kfree_rcu_shrink_pages"] == 2 and machine.fault == 0


def test_a_scan_has_the_monitor_run_at_once_and_does_not_ask_twice():
    machine = stocked("E511")
    reclaim = machine.plan.proc(machine.index("reclaim/1"))
    assert kfree_rcu_shrink_scan(machine.seg, 0, 0, 10) == 100
    assert machine.seg[machine.plan.krc(1) + KRC.monitor_due] > 0
    assert machine.seg[reclaim + PROC.bell] == 1
    assert kfree_rcu_shrink_scan(machine.seg, 0, 0, 10) == 0
