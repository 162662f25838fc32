"""Where everything lies, and what header and map say of it."""

import dataclasses

import pytest

from emu.boot import make_plan
from emu.boot.machine import ALIGN_PFN
from emu.mm import PAGE_SHIFT, PAGE_WORDS
from emu.shm import HEADER, LINE_WORDS, MAP, MAP_BASE
from tests.small_machine import small_machine, small_scenario


@pytest.mark.parametrize("overrides", [[], ["cpus.count=17"], ["policy.preset=S4", "policy.pool.pages_per_cpu=7"],
                                       ["trace.events_per_process=0"], ["slab.object_bytes=[32, 96, 2048]",
                                                                        "slab.weights=[1, 1, 1]"]])
def test_regions_follow_each_other_by_lines_and_end_before_the_pages(overrides):
    plan = make_plan(small_scenario(*overrides))
    places = sorted(plan.offsets.values())
    assert all(place % LINE_WORDS == 0 for place in places)
    assert places[0] >= MAP_BASE + MAP.SIZE
    assert plan.first_pfn % ALIGN_PFN == 0
    assert places[-1] < plan.first_pfn << PAGE_SHIFT
    assert plan.size_words == (plan.first_pfn + plan.resolved.memory.managed_pages) * PAGE_WORDS
    figures = {"SIZE", "first_pfn", "nr_pages", "nr_zones", "nr_caches", "nr_pcp_cpus", "page_base", "block_base",
               "nr_nodes"}
    assert set(plan.offsets) == set(MAP._fields) - figures


def test_the_map_in_the_segment_is_the_plan():
    machine = small_machine()
    for name, offset in machine.plan.offsets.items():
        assert machine.seg[MAP_BASE + getattr(MAP, name)] == offset
    assert machine.seg[MAP_BASE + MAP.nr_pcp_cpus] == 3
    assert (machine.seg[HEADER.nr_cpus], machine.seg[HEADER.nr_procs]) == (2, len(machine.plan.roles))


def test_plans_are_equal_for_equal_scenarios():
    first, second = (make_plan(small_scenario()) for _ in range(2))
    assert dataclasses.asdict(first)["offsets"] == dataclasses.asdict(second)["offsets"]
    assert first.size_words == second.size_words
