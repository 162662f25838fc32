"""Zone, per-CPU lists and slab caches before time zero."""

import pytest

from emu.mm import (
    CACHE,
    PG_BUDDY,
    PG_CACHE,
    PG_STATIC,
    SLAB_OBJECTS,
    ZONE,
    cache_of,
    count_free_blocks,
    count_states,
    scratch_of,
    zone_of,
)
from tests.small_machine import small_machine


@pytest.mark.parametrize(("overrides", "static", "cached"), [
    (["run.epoch=E612"], 0, 0), (["run.epoch=E59"], 0, 2 * 2), (["policy.preset=S4"], 2 * 32, 0),
    (["policy.preset=S4", "policy.pool.pages_per_cpu=5"], 2 * 5, 0),
])
def test_every_page_is_on_a_free_list_or_was_given_to_a_cpu(overrides, static, cached):
    machine = small_machine(*overrides)
    seg = machine.seg
    out = scratch_of(seg, 0)
    assert count_states(seg, out) == 0
    pages = [seg[out + state] for state in range(SLAB_OBJECTS)]
    assert (pages[PG_STATIC], pages[PG_CACHE]) == (static, cached)
    assert pages[PG_BUDDY] == 2048 - static - cached == sum(pages) - static - cached
    assert seg[zone_of(seg, 0) + ZONE.nr_free] == count_free_blocks(seg) == pages[PG_BUDDY]


def test_marks_and_list_sizes_are_those_of_the_scenario():
    machine = small_machine("memory.pcp_rule='v5.9'")
    memory, zone = machine.plan.resolved.memory, zone_of(machine.seg, 0)
    for name in ("wmark_min", "wmark_low", "wmark_high"):
        assert machine.seg[zone + getattr(ZONE, name)] == getattr(memory, name) > 0
    assert machine.seg[zone + ZONE.auto_high] == 0
    assert machine.seg[zone_of(small_machine("memory.pcp_rule='v6.7'").seg, 0) + ZONE.batch] >= 1


def test_objects_fill_their_pages():
    machine = small_machine("slab.object_bytes=[32, 96, 2048]", "slab.weights=[1, 1, 1]")
    caches = [cache_of(machine.seg, index) for index in range(3)]
    assert [machine.seg[cache + CACHE.objects] for cache in caches] == [128, 42, 2]
    assert [machine.seg[cache + CACHE.object_words] for cache in caches] == [4, 12, 256]
