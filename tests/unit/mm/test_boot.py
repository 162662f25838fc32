"""Memory as it comes up, with the marks that the machine would have; and the count of it that ends every run."""

import pytest

from emu.config import parse_override, parse_scenario, resolve
from emu.mm import (
    CACHE,
    GFP_ATOMIC,
    GFP_KERNEL,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    PAGE,
    PAGE_STATES,
    PCP,
    PG_SLAB,
    PG_TAKEN,
    ZONE,
    alloc_page,
    cache_of,
    count_free_blocks,
    count_states,
    find_taken,
    free_page,
    kmalloc,
    page_move,
    page_of,
    pcp_of,
    scratch_of,
    vmalloc,
    zone_of,
)
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, free_blocks, ledger, mark_for, set_zone, zone_word

# A phone of 2 GiB and 8 CPUs, a board of 1 GiB and 4: min_free_kbytes, marks, PCP of both rules, 3/8 of MIN.
MACHINES = {
    "phone": (473_600, 8, 5505, (1376, 1849, 2322), (63, 378), (252, 7400), 516),
    "board": (245_760, 4, 3965, (991, 1238, 1485), (63, 378), (309, 7680), 372),
}


def memory_of(*overrides):
    return resolve(parse_scenario("", overrides=dict(parse_override(text) for text in overrides))).memory


def boot_marks(memory):
    """The zone of a small machine, given the marks of a large one."""
    seg = small_machine().seg
    set_zone(seg, wmark_min=memory.wmark_min, wmark_low=memory.wmark_low, wmark_high=memory.wmark_high)
    return seg


@pytest.mark.parametrize("name", MACHINES)
def test_a_known_machine_gets_its_known_marks(name):
    pages, cpus, kbytes, marks, fixed, tuned, atomic = MACHINES[name]
    size = (f"memory.managed_pages={pages}", f"cpus.count={cpus}")
    memory = memory_of(*size, 'memory.pcp_rule="v5.9"')
    assert memory.min_free_kbytes == kbytes
    assert (memory.wmark_min, memory.wmark_low, memory.wmark_high) == marks
    assert (memory.pcp_batch, memory.pcp_high) == fixed
    assert (memory.pcp_high_min, memory.pcp_high_max) == (fixed[1], fixed[1])
    memory = memory_of(*size, 'memory.pcp_rule="v6.7"')
    assert (memory.pcp_batch, memory.pcp_high) == (fixed[0], tuned[0])
    assert (memory.pcp_high_min, memory.pcp_high_max) == tuned
    seg = boot_marks(memory)
    assert mark_for(seg, zone_of(seg, 0), GFP_ATOMIC, 0) == atomic


@pytest.mark.parametrize("pages, batch, high", [
    (1024, 1, 0), (3840, 1, 0), (122_880, 31, 186), (65_536, 15, 90), (262_143, 63, 378), (262_144, 63, 378),
])
def test_batch_by_size_of_the_zone(pages, batch, high):
    memory = memory_of(f"memory.managed_pages={pages}", 'memory.pcp_rule="v5.9"')
    assert (memory.pcp_batch, memory.pcp_high) == (batch, high)


def test_the_users_reserve_moves_all_marks():
    memory = memory_of("memory.managed_pages=473600", "memory.min_free_kbytes=67584")
    assert (memory.wmark_min, memory.wmark_low, memory.wmark_high) == (16896, 21120, 25344)
    memory = memory_of("memory.managed_pages=473600", "memory.watermark_scale_factor=100")
    assert (memory.wmark_min, memory.wmark_low, memory.wmark_high) == (1376, 6112, 10848)


@pytest.mark.parametrize("rule, tuned", [("v5.9", 0), ("v6.7", 1)])
def test_the_zone_and_every_cpus_lists_carry_the_resolved_values(rule, tuned):
    machine = small_machine(f'memory.pcp_rule="{rule}"', "memory.managed_pages=8192")
    seg, memory = machine.seg, machine.plan.resolved.memory
    for mark in ("wmark_min", "wmark_low", "wmark_high"):
        assert zone_word(seg, mark) == getattr(memory, mark)
    assert zone_word(seg, "managed") == zone_word(seg, "end_pfn") - zone_word(seg, "start_pfn") == 8192
    assert zone_word(seg, "batch") == memory.pcp_batch == 1
    assert (zone_word(seg, "high_min"), zone_word(seg, "high_max")) == (memory.pcp_high_min, memory.pcp_high_max)
    assert zone_word(seg, "auto_high") == tuned
    for cpu in range(3):  # two CPUs and housekeeping
        assert seg[pcp_of(seg, 0, cpu) + PCP.high] == memory.pcp_high


@pytest.mark.parametrize("pages, share, expected", [
    (2048, 0.25, {0: (9, 0), 512: (9, 1), 1024: (10, 1)}),
    (2048, 0.5, {0: (10, 0), 1024: (10, 1)}),
    (2048, 0.0, {0: (10, 1), 1024: (10, 1)}),
    (2048, 1.0, {0: (10, 0), 1024: (10, 0)}),
    (1531, 0.0, {0: (10, 1), 1024: (8, 1), 1280: (7, 1), 1408: (6, 1), 1472: (5, 1), 1504: (4, 1), 1520: (3, 1),
                 1528: (1, 1), 1530: (0, 1)}),
])
def test_a_fresh_zone_is_cut_into_the_largest_blocks_of_one_type(pages, share, expected):
    seg = small_machine(f"memory.managed_pages={pages}", f"memory.unmovable_share={share}").seg
    start = zone_word(seg, "start_pfn")
    assert {pfn - start: block for pfn, block in free_blocks(seg).items()} == expected
    assert count_free_blocks(seg) == zone_word(seg, "nr_free") == zone_word(seg, "nr_free_min") == pages
    assert ledger(seg) == {"buddy": pages}


def test_a_zone_that_ends_inside_a_block_comes_back_whole():
    seg = small_machine("memory.managed_pages=1531", "memory.unmovable_share=0", 'memory.pcp_rule="v5.9"',
                        "memory.pcp_high=1").seg
    before = free_blocks(seg)
    set_zone(seg, wmark_min=0, wmark_low=0)
    pages = [alloc_page(seg, 0, 0, GFP_KERNEL, MIGRATE_MOVABLE) for _ in range(1531)]
    assert len(set(pages)) == 1531
    for pfn in pages:
        free_page(seg, 0, 0, pfn, PG_TAKEN, 0)
    assert ledger(seg) == {"buddy": 1531}
    assert free_blocks(seg) == before


# --- the ledger ------------------------------------------------------------------------------------------


def test_the_ledger_names_every_page_by_its_use():
    seg = small_machine('memory.pcp_rule="v5.9"', "memory.pcp_batch=8", "memory.pcp_high=48",
                        "slab.object_bytes=[512]").seg
    alloc_page(seg, 0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    vmalloc(seg, 0, 0, GFP_KERNEL)
    kmalloc(seg, 0, 0, 0, GFP_KERNEL)
    assert ledger(seg) == {"buddy": 2040, "pcp": 5, "taken": 1, "vmalloc": 1, "slab": 1, "objects": 8}
    assert fault_of(seg)[0] == 0


@pytest.mark.parametrize("word", [0, len(PAGE_STATES), 200])
def test_a_page_that_no_state_names_is_counted(word):
    seg = small_machine().seg
    pfn = alloc_page(seg, 0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    seg[page_of(seg, pfn)] = word
    assert count_states(seg, scratch_of(seg, 1)) == 1


def test_a_page_that_says_free_but_is_on_no_list_is_counted():
    seg = small_machine().seg
    pfn = alloc_page(seg, 0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    seg[page_of(seg, pfn)] = 1  # order 0, unmovable
    assert count_states(seg, scratch_of(seg, 1)) == 1


def test_pages_in_hands_are_found_with_their_owners():
    seg = small_machine('memory.pcp_rule="v5.9"', "memory.pcp_high=1").seg
    out = scratch_of(seg, 5)
    assert find_taken(seg, 0, out) == 0
    pages = {alloc_page(seg, me, 0, GFP_KERNEL, MIGRATE_UNMOVABLE): me for me in (3, 0, 1, 3)}
    slab = alloc_page(seg, 2, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    page_move(seg, 2, slab, PG_TAKEN, PG_SLAB, 0)
    seg[page_of(seg, slab) + PAGE.counters] = 0
    found, pfn = {}, 0
    while (pfn := find_taken(seg, pfn, out)) != 0:
        found[pfn] = seg[out]
    assert found == pages


def test_every_size_of_object_has_its_cache():
    seg = small_machine("slab.object_bytes=[32, 96, 2048]", "slab.weights=[1, 1, 1]", "slab.min_partial=3").seg
    caches = [cache_of(seg, index) for index in range(3)]
    assert [seg[cache + CACHE.object_words] for cache in caches] == [4, 12, 256]
    assert [seg[cache + CACHE.objects] for cache in caches] == [128, 42, 2]
    assert [seg[cache + CACHE.index] for cache in caches] == [0, 1, 2]
    assert {seg[cache + CACHE.min_partial] for cache in caches} == {3}
    assert seg[zone_of(seg, 0) + ZONE.index] == 0
