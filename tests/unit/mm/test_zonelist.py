"""Several zones: in which order they are asked, what they keep from whom, and that each page stays its zone's own."""

import pytest

from emu.mm import (
    GFP_DMA,
    GFP_DMA32,
    GFP_KERNEL,
    GFP_THISNODE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    NODE,
    PG_TAKEN,
    ZONE,
    alloc_page_lockless,
    count_free_blocks,
    count_zone_free,
    free_page,
    get_page_from_freelist,
    node_free_pages,
    node_of,
    node_of_cpu,
    pcp_count,
    pcp_of,
    rmqueue,
    zone_index_of,
    zone_of,
    zonelist_index,
)
from emu.mm.pcp import pcp_put
from emu.shm import F_WATERMARK, MAP, region
from emu.stats import VM, counter
from tests.unit.mm.memory import fault_of
from tests.unit.mm.zones import (
    DMA,
    DMA32,
    HOUSEKEEPING,
    NORMAL0,
    NORMAL1,
    SIZES,
    machine,
    set_word,
    take_all,
    word,
)

LISTS = {0: [NORMAL0, DMA32, DMA, NORMAL1], 1: [NORMAL1, NORMAL0, DMA32, DMA]}


@pytest.fixture
def seg():
    return machine().seg


def runs(zones):
    """The order in which zones were used up: (zone, pages) as often as it changes."""
    out = []
    for zone in zones:
        if out and out[-1][0] == zone:
            out[-1][1] += 1
        else:
            out.append([zone, 1])
    return [tuple(each) for each in out]


def test_every_zone_has_its_pages_free_and_they_know_their_zone(seg):
    assert [word(seg, index, "nr_free") for index in range(4)] == list(SIZES)
    assert [count_zone_free(seg, zone_of(seg, index)) for index in range(4)] == list(SIZES)
    assert count_free_blocks(seg) == sum(SIZES)
    for index in range(4):
        first, end = word(seg, index, "start_pfn"), word(seg, index, "end_pfn")
        assert end - first == SIZES[index]
        assert first % 1024 == 0
        assert {zone_index_of(seg, pfn) for pfn in (first, end - 1)} == {index}


def test_a_node_asks_its_own_zones_first_from_the_highest_down(seg):
    for node, zones in LISTS.items():
        words = node_of(seg, node)
        assert seg[words + NODE.nr_zones] == 4
        assert [zonelist_index(seg, node, at) for at in range(4)] == zones
        assert seg[words + NODE.own_zones] == (3, 1)[node]
    assert [node_of_cpu(seg, cpu) for cpu in range(region(seg, MAP.nr_pcp_cpus))] == [0, 1, 0]
    assert [node_free_pages(seg, node) for node in range(2)] == [sum(SIZES[:3]), SIZES[3]]


@pytest.mark.parametrize("pcp_cpu, node", [(0, 0), (1, 1), (HOUSEKEEPING, 0)])
def test_zones_are_used_up_in_the_order_of_the_cpus_node_first_to_low_then_to_min(seg, pcp_cpu, node):
    for index in range(4):
        set_word(seg, index, wmark_min=20, wmark_low=30)
    low = take_all(seg, pcp_cpu)[0]
    reserve = [word(seg, index, "lowmem_reserve") for index in range(4)]
    assert reserve == [0, 0, 0, 0]  # of requests that may go no higher than DMA; those that may are tested below
    kept = {index: seg[zone_of(seg, index) + ZONE.lowmem_reserve + 2] for index in range(4)}
    first = [(index, SIZES[index] - 30 - kept[index]) for index in LISTS[node]]
    again = [(index, 10) for index in LISTS[node]]
    assert runs(low) == first + again
    assert fault_of(seg)[0] == 0


def test_lower_zones_keep_their_reserve_from_those_who_could_go_higher(seg):
    reserve = {index: [seg[zone_of(seg, index) + ZONE.lowmem_reserve + kind] for kind in range(3)]
               for index in range(4)}
    assert reserve == {NORMAL0: [0, 0, 0], DMA32: [0, 0, 8], DMA: [0, 4, 12], NORMAL1: [0, 0, 0]}
    for index in range(4):
        set_word(seg, index, wmark_min=0, wmark_low=0)
    take_all(seg)
    assert [word(seg, index, "nr_free") for index in range(4)] == [0, 8, 12, 0]
    assert set(take_all(seg, gfp=GFP_KERNEL | GFP_DMA32)[0]) == {DMA32, DMA}
    assert [word(seg, index, "nr_free") for index in range(4)] == [0, 0, 4, 0]
    assert set(take_all(seg, gfp=GFP_KERNEL | GFP_DMA)[0]) == {DMA}
    assert [word(seg, index, "nr_free") for index in range(4)] == [0, 0, 0, 0]


def test_a_request_for_this_node_leaves_the_others_alone(seg):
    take_all(seg, pcp_cpu=1, gfp=GFP_KERNEL | GFP_THISNODE)
    assert [word(seg, index, "nr_free") for index in range(3)] == list(SIZES[:3])
    assert word(seg, NORMAL1, "nr_free") < SIZES[3]


def test_pages_are_counted_by_the_kind_of_their_zone(seg):
    zones, _ = take_all(seg)
    assert counter(seg, 0, VM.pgalloc_normal) == zones.count(NORMAL0) + zones.count(NORMAL1)
    assert counter(seg, 0, VM.pgalloc_dma32) == zones.count(DMA32)
    assert counter(seg, 0, VM.pgalloc_dma) == zones.count(DMA)


def test_a_page_goes_back_to_its_own_zone_on_whatever_cpu_it_is_freed():
    seg = machine('memory.pcp_rule="v5.9"', "memory.pcp_batch=1", "memory.pcp_high=100").seg
    pages = [get_page_from_freelist(seg, 0, cpu, GFP_KERNEL, 0, MIGRATE_UNMOVABLE, 0) for cpu in (0, 1)]
    assert [zone_index_of(seg, pfn) for pfn in pages] == [NORMAL0, NORMAL1]
    for pfn in pages:
        free_page(seg, 0, HOUSEKEEPING, pfn, PG_TAKEN, 0)
    counts = {(index, cpu): pcp_count(seg, pcp_of(seg, index, cpu)) for index in range(4) for cpu in range(3)}
    assert {place for place, pages in counts.items() if pages} == {(NORMAL0, HOUSEKEEPING), (NORMAL1, HOUSEKEEPING)}


def test_the_lockless_pop_walks_the_zonelist_and_heeds_no_reserve(seg):
    pages = {}
    for index in (NORMAL1, DMA, NORMAL0, DMA32):
        set_word(seg, index, wmark_min=SIZES[index], wmark_low=SIZES[index])
        pages[index] = rmqueue(seg, 0, zone_of(seg, index), 0, MIGRATE_UNMOVABLE)
        pcp_put(seg, 0, pcp_of(seg, index, 0), pages[index], MIGRATE_UNMOVABLE)
    popped = [alloc_page_lockless(seg, 0, 0) for _ in range(5)]
    assert popped == [pages[index] for index in LISTS[0]] + [NO_PAGE]


def test_the_floor_that_is_checked_holds_the_reserve(seg):
    """A reserve that the watermark test is blinded to: the checker's own sum sees it."""
    set_word(seg, DMA32, wmark_min=100, wmark_low=100)
    zone = zone_of(seg, DMA32)
    set_word(seg, DMA32, nr_free=105)  # above MIN, below MIN and the reserve of 8
    set_word(seg, NORMAL0, wmark_min=SIZES[0], wmark_low=SIZES[0])
    set_word(seg, DMA, wmark_min=SIZES[2], wmark_low=SIZES[2])
    set_word(seg, NORMAL1, wmark_min=SIZES[3], wmark_low=SIZES[3])
    assert get_page_from_freelist(seg, 0, 0, GFP_KERNEL, 0, MIGRATE_UNMOVABLE, 0) == NO_PAGE
    set_word(seg, DMA32, boost=-50)
    assert get_page_from_freelist(seg, 0, 0, GFP_KERNEL, 0, MIGRATE_UNMOVABLE, 0) != NO_PAGE
    assert fault_of(seg) == (F_WATERMARK, 105, 108, seg[zone + ZONE.index])
