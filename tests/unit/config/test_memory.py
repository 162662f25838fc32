"""Zones as a user writes them: their order, their sums, and what is refused."""

import pytest

from emu.config import parse_scenario, resolve
from emu.errors import ConfigError

TWO_NODES = """
[cpus]
count = 5
[memory]
zones = [
    { node = 1, name = "NORMAL", pages = 8192 },
    { node = 0, name = "DMA", pages = 1000 },
    { node = 0, name = "NORMAL", pages = 16_384 },
    { node = 0, name = "DMA32", pages = 4096 },
]
"""


def memory_of(text, **overrides):
    chosen = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(parse_scenario(text, "s.toml", overrides=chosen)).memory


def test_zones_stand_node_by_node_the_highest_first():
    memory = memory_of(TWO_NODES)
    places = [(zone.node, zone.name, zone.managed_pages) for zone in memory.zones]
    assert places == [(0, "NORMAL", 16_384), (0, "DMA32", 4096), (0, "DMA", 1000), (1, "NORMAL", 8192)]
    assert (memory.managed_pages, memory.nodes) == (29_672, 2)
    assert (memory.wmark_min, memory.pcp_batch) == (memory.zones[0].wmark_min, memory.zones[0].batch)
    assert memory.pageblocks == sum(zone.pageblocks for zone in memory.zones) == 32 + 8 + 2 + 16


def test_marks_of_all_zones_add_up_to_min_free():
    memory = memory_of(TWO_NODES)
    assert 0 <= memory.min_free_kbytes // 4 - sum(zone.wmark_min for zone in memory.zones) < len(memory.zones)


def test_reserves_are_a_matter_of_the_node():
    reserves = [zone.lowmem_reserve for zone in memory_of(TWO_NODES).zones]
    assert reserves == [(0, 0, 0), (0, 0, 64), (0, 16, 80), (0, 0, 0)]
    off = memory_of(TWO_NODES, memory__lowmem_reserve_ratio=[0, 256, 32])
    assert off.zones[2].lowmem_reserve == (0, 0, 0)


def test_the_cpus_of_a_node_share_its_lists():
    """Five CPUs: two on node 0, three on node 1."""
    memory = memory_of(TWO_NODES)
    first, other = memory.zones[0], memory.zones[3]
    assert first.high_max == max(16_384 // 8 // 2, 4 * first.batch)
    assert other.high_max == max(8192 // 8 // 3, 4 * other.batch)


@pytest.mark.parametrize("epoch, rule, drain, reserve", [
    ("E511", "v5.9", "work", "v5.9"), ("E61", "v6.1", "remote", "v5.9"), ("E612", "v6.7", "remote", "v6.3")])
def test_rules_follow_the_epoch(epoch, rule, drain, reserve):
    memory = memory_of("", run__epoch=epoch)
    assert (memory.pcp_rule, memory.drain_rule, memory.reserve_rule) == (rule, drain, reserve)


def test_a_fraction_fixes_high_by_every_rule():
    for epoch, batch in (("E59", 96), ("E61", 15), ("E612", 15)):
        memory = memory_of("", run__epoch=epoch, memory__percpu_pagelist_high_fraction=16)
        high = 4096 if epoch == "E59" else 2048
        assert (memory.pcp_batch, memory.pcp_high, memory.pcp_high_min, memory.pcp_high_max) == (
            batch, high, high, high)


def test_marks_are_boosted_only_where_a_kswapd_takes_the_boost_back():
    assert memory_of("").watermark_boost_factor == 0
    assert memory_of("", vmscan__kswapd=True).watermark_boost_factor == 15_000
    assert memory_of("", vmscan__kswapd=True, memory__watermark_boost_factor=0).zones[0].boost_max == 0


REFUSED = [
    ('zones = [{ node = 0, name = "NORMAL" }]', "memory.zones[0]"),
    ('zones = [{ node = 0, name = "HIGHMEM", pages = 4096 }]', "memory.zones[0]"),
    ('zones = [{ node = 0, name = "DMA", pages = 4096 }]', "has no NORMAL zone on node 0"),
    ('zones = [{ node = 1, name = "NORMAL", pages = 4096 }]', "number them from 0 on"),
    ('zones = [{ node = 0, name = "NORMAL", pages = 4096 }, { node = 0, name = "NORMAL", pages = 64 }]', "twice"),
    ('managed_pages = 5000\nzones = [{ node = 0, name = "NORMAL", pages = 4096 }]', "must be 4096, the sum of"),
    ("percpu_pagelist_high_fraction = 7", "must be 0 or at least 8"),
    ("percpu_pagelist_high_fraction = 8\npcp_high = 100\npcp_rule = 'v6.1'", "remove one of them"),
    ("scale = 0.0", "memory.scale = 0"),
]


@pytest.mark.parametrize("text, message", REFUSED)
def test_refused(text, message):
    with pytest.raises(ConfigError) as error:
        memory_of(f"[memory]\n{text}\n")
    assert message in str(error.value)


def test_more_nodes_than_cpus_are_refused():
    with pytest.raises(ConfigError, match=r"memory.zones: has 2 nodes for 1 CPUs"):
        memory_of(TWO_NODES, cpus__count=1)
