"""Who may go below MIN, by both generations of the kernel's flags: who asks, and what for."""

import pytest

from emu.mm import (
    GFP_ATOMIC,
    GFP_HIGH,
    GFP_KERNEL,
    GFP_KERNEL_NORETRY,
    GFP_MEMALLOC,
    GFP_NOMEMALLOC,
    GFP_NOWAIT,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    alloc_pages,
    zone_of,
)
from emu.shm import PF_MEMALLOC, PF_OOM_VICTIM, PF_RT, PROC, proc_of
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, mark_for, set_zone, zone_word

MIN = 800
BARE = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=1", "memory.pcp_high=1")

# request, who asks -> what it must leave of MIN = 800, by the older and by the newer rule
FLOORS = {
    "GFP_KERNEL": (GFP_KERNEL, 0, 800, 800),
    "GFP_NOWAIT": (GFP_NOWAIT, 0, 800, 800),
    "GFP_ATOMIC": (GFP_ATOMIC, 0, 300, 300),
    "__GFP_HIGH": (GFP_KERNEL | GFP_HIGH, 0, 400, 400),
    "real-time task": (GFP_KERNEL, PF_RT, 600, 400),
    "real-time task that may not sleep": (GFP_NOWAIT, PF_RT, 800, 800),
    "OOM victim": (GFP_KERNEL, PF_OOM_VICTIM, 400, 400),
    "OOM victim without reserves": (GFP_KERNEL | GFP_NOMEMALLOC, PF_OOM_VICTIM, 800, 800),
    "kswapd": (GFP_KERNEL, PF_MEMALLOC, 0, 0),
    "kswapd without reserves": (GFP_KERNEL_NORETRY, PF_MEMALLOC, 800, 800),
    "__GFP_MEMALLOC": (GFP_KERNEL | GFP_MEMALLOC, 0, 0, 0),
}


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("rule", ["v5.9", "v6.3"])
def test_a_request_goes_down_to_its_floor_and_no_further(name, rule):
    gfp, flags, old, new = FLOORS[name]
    floor = old if rule == "v5.9" else new
    seg = small_machine(*BARE, f'memory.reserve_rule="{rule}"').seg
    set_zone(seg, wmark_min=MIN, wmark_low=1000, wmark_high=1200)
    seg[proc_of(seg, 0) + PROC.flags] = flags
    assert mark_for(seg, zone_of(seg, 0), gfp, 0) == floor
    while alloc_pages(seg, 0, 0, gfp, 0, MIGRATE_UNMOVABLE) != NO_PAGE:
        pass
    assert zone_word(seg, "nr_free") == floor
    assert fault_of(seg)[0] == 0


def test_a_real_time_class_of_the_scenario_is_known_to_the_allocator():
    machine = small_machine('processes.page_refill.class="fifo"', "processes.page_refill.priority=1")
    flags = {role.name: machine.seg[machine.plan.proc(role.index) + PROC.flags] for role in machine.plan.roles}
    assert {name for name, value in flags.items() if value & PF_RT} == {"page_refill/0", "page_refill/1"}


def test_who_may_take_all_takes_what_is_on_its_list_when_nothing_is_free():
    seg = small_machine('memory.pcp_rule="v5.9"', "memory.pcp_batch=8", "memory.pcp_high=48").seg
    assert alloc_pages(seg, 0, 0, GFP_KERNEL, 0, MIGRATE_UNMOVABLE) != NO_PAGE
    set_zone(seg, nr_free=0)
    assert alloc_pages(seg, 0, 0, GFP_KERNEL, 0, MIGRATE_UNMOVABLE) == NO_PAGE
    assert alloc_pages(seg, 0, 0, GFP_KERNEL | GFP_MEMALLOC, 0, MIGRATE_UNMOVABLE) != NO_PAGE


def test_a_boost_stops_everybody_but_urgent_requests_at_min():
    seg = small_machine(*BARE).seg
    set_zone(seg, wmark_min=MIN, wmark_low=1000, wmark_high=1200, boost=512, nr_free=MIN + 100)
    assert alloc_pages(seg, 0, 0, GFP_KERNEL, 0, MIGRATE_UNMOVABLE) == NO_PAGE
    set_zone(seg, boost=2000)  # boosted, even half of it would stop it
    assert alloc_pages(seg, 0, 0, GFP_KERNEL | GFP_HIGH, 0, MIGRATE_UNMOVABLE) != NO_PAGE
