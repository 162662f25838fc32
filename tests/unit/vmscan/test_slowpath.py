"""What a request goes through that fails at LOW."""

import pytest

from emu.mm import GFP_ATOMIC, GFP_KERNEL, GFP_KERNEL_NORETRY, GFP_NOWAIT, NO_PAGE, ZONE, zone_of
from emu.shm import DRAIN, HEADER, PF_MEMALLOC, PROC
from emu.sync import CPU
from emu.vmscan import MM, PGDAT, PSI_STALLED, TASK, VMSCAN, join_sections, leave_sections, mm_of, task_of, vmscan_of
from emu.vmscan.direct import (
    allow_direct_reclaim,
    should_reclaim_retry,
    throttle_direct_reclaim,
    try_to_free_pages,
)
from emu.vmscan.state import KSWAPD_ASLEEP, pgdat_of
from emu.vmscan.wakeup import wakeup_kswapd
from tests.unit.vmscan.pressed import ask, broken, counters, eat, free_pages, pressed, rss


def full(*overrides):
    """A machine whose free pages are at MIN."""
    machine = pressed(*overrides)
    machine.seg[pgdat_of(machine.seg, 0) + PGDAT.state] = KSWAPD_ASLEEP
    eat(machine)
    return machine


def mark(machine, name):
    return machine.seg[zone_of(machine.seg, 0) + getattr(ZONE, f"wmark_{name}")]


def test_a_request_that_may_reclaim_gets_a_page_where_one_that_may_not_fails():
    machine = full()
    assert ask(machine, GFP_NOWAIT) == NO_PAGE
    assert counters(machine)["allocstall_normal"] == 0
    assert ask(machine, GFP_KERNEL) != NO_PAGE
    assert counters(machine)["allocstall_normal"] >= 1 and counters(machine)["pgsteal_direct"] >= 32
    assert machine.fault == 0 and broken(machine) == []


def test_the_first_failure_at_low_wakes_kswapd():
    machine = full()
    assert machine.seg[pgdat_of(machine.seg, 0) + PGDAT.requested] == 1
    batch = machine.seg[zone_of(machine.seg, 0) + ZONE.batch]  # by which a refill may pass below the mark
    assert mark(machine, "min") - (batch << 5) <= free_pages(machine) < mark(machine, "low")


def test_an_atomic_request_never_reclaims():
    machine = full()
    while ask(machine, GFP_ATOMIC) != NO_PAGE:
        pass
    assert counters(machine)["allocstall_normal"] == 0
    assert free_pages(machine) < mark(machine, "min")


def test_reclaim_may_eat_reserves_and_leaves_no_flag_behind():
    machine = full()
    me = machine.index("mutator/0")
    assert try_to_free_pages(machine.seg, me, 0) >= 32
    assert machine.seg[machine.plan.proc(me) + PROC.flags] & PF_MEMALLOC == 0


def test_a_reclaimer_does_not_reclaim_again():
    machine = full()
    me = machine.index("mutator/0")
    machine.seg[machine.plan.proc(me) + PROC.flags] = PF_MEMALLOC
    while ask(machine, GFP_KERNEL) != NO_PAGE:
        pass
    assert counters(machine)["allocstall_normal"] == 0


def test_noretry_gives_up_after_one_round():
    machine = full("apps.anon_share=1", "apps.file_share=0", "vmscan.zram_pages=0")
    assert ask(machine, GFP_KERNEL_NORETRY) == NO_PAGE
    assert counters(machine)["allocstall_normal"] == 1 and counters(machine)["oom_kill"] == 0


def test_without_reclaim_in_the_machine_a_request_fails_where_it_would_begin():
    machine = full("vmscan.direct_reclaim=false")
    assert ask(machine, GFP_KERNEL) == NO_PAGE
    assert counters(machine)["allocstall_normal"] == 0


def test_after_the_load_nobody_reclaims():
    machine = full()
    machine.seg[HEADER.run_state] = DRAIN
    assert ask(machine, GFP_KERNEL) == NO_PAGE


def test_sixteen_fruitless_rounds_are_the_end():
    machine = full()
    assert should_reclaim_retry(machine.seg, 16) == 1
    assert should_reclaim_retry(machine.seg, 17) == 0


def test_what_cannot_satisfy_min_is_not_tried_again():
    machine = full("apps.anon_share=1", "apps.file_share=0", "vmscan.zram_pages=0")
    zone = zone_of(machine.seg, 0)
    machine.seg[zone + ZONE.nr_free] = mark(machine, "min")
    assert should_reclaim_retry(machine.seg, 0) == 0


@pytest.mark.parametrize("role, held_back", [("mutator/0", True), ("reclaim/0", False)])
def test_tasks_are_throttled_below_half_of_min_and_workers_are_not(role, held_back):
    machine = full()
    seg, zone = machine.seg, zone_of(machine.seg, 0)
    seg[zone + ZONE.nr_free] = mark(machine, "min") // 2
    assert allow_direct_reclaim(seg, 0) == 0
    seg[vmscan_of(seg) + VMSCAN.kswapd_on] = 1
    seg[mm_of(seg, 0) + MM.killed] = 0
    if held_back:
        seg[HEADER.run_state] = DRAIN  # the wait ends with the load: it is counted all the same
    throttle_direct_reclaim(seg, machine.index(role))
    assert counters(machine)["pgscan_direct_throttle"] == int(held_back)
    assert seg[task_of(seg, machine.index(role)) + TASK.throttled] == 0


def test_a_hopeless_kswapd_holds_nobody_back_and_is_not_woken():
    machine = full()
    seg, pgdat = machine.seg, pgdat_of(machine.seg, 0)
    seg[zone_of(seg, 0) + ZONE.nr_free] = 1
    seg[pgdat + PGDAT.failures] = 16
    seg[pgdat + PGDAT.requested] = 0
    assert allow_direct_reclaim(seg, 0) == 1
    assert wakeup_kswapd(seg, 0, 0) == 0


def test_a_mutator_leaves_its_model_section_to_reclaim_and_comes_back():
    machine = pressed('run.preemption="voluntary"')
    seg, me = machine.seg, machine.index("mutator/0")
    words = machine.plan.cpu(0)
    seg[words + CPU.preempt_count] = seg[words + CPU.section] = 1
    assert leave_sections(seg, me) == 1
    assert seg[words + CPU.preempt_count] == seg[words + CPU.section] == 0
    join_sections(seg, me, 1)
    assert seg[words + CPU.preempt_count] == seg[words + CPU.section] == 1


def test_a_stalled_caller_is_stalled_for_psi_only_as_long_as_it_reclaims():
    machine = full()
    ask(machine, GFP_KERNEL)
    assert machine.seg[task_of(machine.seg, machine.index("mutator/0")) + TASK.psi] != PSI_STALLED
    from emu.vmscan.psi import PSI, psi_of
    assert machine.seg[psi_of(machine.seg) + PSI.some_ns] > 0
    assert rss(machine, 0) + rss(machine, 1) < 1400
