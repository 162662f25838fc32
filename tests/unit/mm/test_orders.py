"""Blocks of several pages: by the buddy alone, each page in its holder's hands, and back whole."""

import pytest

from emu.mm import (
    GFP_ATOMIC,
    GFP_HIGH,
    GFP_KERNEL,
    GFP_NOWAIT,
    GFP_ZERO,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_BNODE,
    PG_TAKEN,
    ZONE,
    address_of,
    alloc_pages,
    free_pages,
    page_move,
    page_owner,
    page_state,
    unreserve_highatomic,
    zone_of,
)
from emu.mm.page import MIGRATE_HIGHATOMIC, pageblock_type
from emu.shm import F_PAGE_STATE
from emu.stats import VM, counter
from emu.sync import LOCK
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, free_blocks, ledger, set_zone, zone_word

ME = 1
BARE = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=1", "memory.pcp_high=1")


def alloc(seg, order, gfp=GFP_KERNEL, kind=MIGRATE_UNMOVABLE):
    return alloc_pages(seg, ME, 0, gfp, order, kind)


@pytest.mark.parametrize("order", [1, 3, 9, MAX_ORDER])
def test_a_block_is_whole_aligned_held_page_by_page_and_goes_back_whole(order):
    seg = small_machine().seg
    before = free_blocks(seg)
    pfn = alloc(seg, order, kind=MIGRATE_MOVABLE)
    pages = range(pfn, pfn + (1 << order))
    assert pfn % (1 << order) == 0
    assert {(page_state(seg, page), page_owner(seg, page)) for page in pages} == {(PG_TAKEN, ME)}
    assert ledger(seg)["taken"] == 1 << order
    assert counter(seg, ME, VM.pgalloc_normal) == 1 << order
    free_pages(seg, ME, 0, pfn, order, PG_TAKEN, ME)
    assert free_blocks(seg) == before
    assert counter(seg, ME, VM.pgfree) == 1 << order
    assert fault_of(seg)[0] == 0


def test_every_page_of_a_block_has_its_own_state_and_a_wrong_one_is_seen():
    seg = small_machine().seg
    pfn = alloc(seg, 2)
    page_move(seg, ME, pfn + 3, PG_TAKEN, PG_BNODE, 0)
    assert ledger(seg)["bnode"] == 1
    free_pages(seg, ME, 0, pfn, 2, PG_TAKEN, ME)
    assert fault_of(seg) == (F_PAGE_STATE, pfn + 3, PG_BNODE, PG_TAKEN)


def test_a_block_goes_past_the_per_cpu_lists():
    seg = small_machine('memory.pcp_rule="v6.7"').seg
    held = seg[zone_of(seg, 0) + ZONE.lock + LOCK.acquired]
    for _ in range(3):
        free_pages(seg, ME, 0, alloc(seg, 1), 1, PG_TAKEN, ME)
    assert seg[zone_of(seg, 0) + ZONE.lock + LOCK.acquired] == held + 6
    assert "pcp" not in ledger(seg)


def test_a_request_needs_a_block_and_not_only_pages_above_the_mark():
    seg = small_machine(*BARE).seg
    set_zone(seg, wmark_min=0, wmark_low=0)
    pages = []
    while (pfn := alloc(seg, 0)) != NO_PAGE:
        pages.append(pfn)
    for pfn in pages[::2]:  # many pages, no two of them beside each other
        if pfn % 2 == 0:
            free_pages(seg, ME, 0, pfn, 0, PG_TAKEN, ME)
    assert zone_word(seg, "nr_free") > 100
    assert alloc(seg, 1) == NO_PAGE
    assert fault_of(seg)[0] == 0


def test_a_block_leaves_its_mark_untouched_by_its_whole_length():
    seg = small_machine(*BARE).seg
    free = zone_word(seg, "nr_free")
    set_zone(seg, wmark_min=free - 15, wmark_low=free - 15)
    assert alloc(seg, 4) == NO_PAGE  # 16 pages would leave one less than the mark
    set_zone(seg, wmark_min=free - 16, wmark_low=free - 16)
    assert alloc(seg, 4) != NO_PAGE


def test_pages_come_cleared_to_who_asks():
    seg = small_machine().seg
    pfn = alloc(seg, 1)
    words = range(address_of(pfn), address_of(pfn) + 1024)
    for word in words:
        seg[word] = 7
    free_pages(seg, ME, 0, pfn, 1, PG_TAKEN, ME)
    assert alloc(seg, 1, GFP_KERNEL | GFP_ZERO) == pfn
    assert {seg[word] for word in words} == {0}


# --- pageblocks kept for high-order atomic requests ---------------------------------------------------------


@pytest.fixture
def tight():
    """A zone that is below LOW, so that requests take the slow path, and may keep two pageblocks."""
    seg = small_machine('memory.pcp_rule="v6.1"', "memory.pcp_batch=1", "memory.pcp_high=1").seg
    set_zone(seg, wmark_min=0, wmark_low=zone_word(seg, "managed"), highatomic_max=1024)
    return seg


def reserved(seg):
    return zone_word(seg, "nr_reserved_highatomic"), zone_word(seg, "nr_free_highatomic")


def test_a_high_order_atomic_success_sets_its_pageblock_aside(tight):
    pfn = alloc(tight, 2, GFP_ATOMIC)
    assert pageblock_type(tight, pfn) == MIGRATE_HIGHATOMIC
    assert reserved(tight) == (512, 508)
    assert counter(tight, ME, VM.pageblock_highatomic) == 1
    again = alloc(tight, 3, GFP_ATOMIC)
    assert again >> 9 == pfn >> 9
    assert reserved(tight) == (512, 500)


@pytest.mark.parametrize("order, gfp", [(0, GFP_ATOMIC), (2, GFP_KERNEL), (2, GFP_KERNEL | GFP_HIGH)])
def test_no_other_request_sets_a_pageblock_aside(tight, order, gfp):
    assert alloc(tight, order, gfp) != NO_PAGE
    assert reserved(tight) == (0, 0)


def test_blocks_are_set_aside_up_to_the_zones_limit(tight):
    for _ in range(200):
        if alloc(tight, 4, GFP_ATOMIC) == NO_PAGE:
            break
    assert reserved(tight)[0] == 1024
    assert counter(tight, ME, VM.pageblock_highatomic) == 2


def test_what_is_set_aside_is_for_those_with_reserve_rights_alone(tight):
    block = alloc(tight, 2, GFP_ATOMIC)
    ordinary = []
    while (pfn := alloc(tight, 0)) != NO_PAGE:
        ordinary.append(pfn)
    assert block >> 9 not in {pfn >> 9 for pfn in ordinary}
    assert zone_word(tight, "nr_free") == reserved(tight)[1] == 508
    pfn = alloc(tight, 0, GFP_NOWAIT)  # may not sleep: the last pages are there for it
    assert pfn >> 9 == block >> 9
    assert reserved(tight) == (512, 507)


def test_pressure_gives_blocks_back_and_only_force_the_last_one(tight):
    alloc(tight, 2, GFP_ATOMIC)
    assert unreserve_highatomic(tight, ME, 0, MIGRATE_UNMOVABLE, 0) == 0
    assert unreserve_highatomic(tight, ME, 0, MIGRATE_UNMOVABLE, 1) == 1
    assert reserved(tight) == (0, 0)
    assert unreserve_highatomic(tight, ME, 0, MIGRATE_UNMOVABLE, 1) == 0
    assert counter(tight, ME, VM.pageblock_unreserve) == 1
    assert {kind for _, kind in free_blocks(tight).values()} <= {MIGRATE_UNMOVABLE, MIGRATE_MOVABLE}
    assert fault_of(tight)[0] == 0


# --- boost --------------------------------------------------------------------------------------------------


def test_a_mixed_pageblock_boosts_the_marks_up_to_the_limit():
    seg = small_machine(*BARE, "memory.unmovable_share=0.25").seg
    set_zone(seg, wmark_min=0, wmark_low=0, boost_max=700)
    boosts = []
    while alloc(seg, 0) != NO_PAGE and len(boosts) < 4:
        boost = zone_word(seg, "boost")
        if not boosts or boosts[-1] != boost:
            boosts.append(boost)
        set_zone(seg, wmark_min=-boost, wmark_low=-boost)
    assert boosts[0] == 0
    assert zone_word(seg, "boost") in (0, 512, 700)


def test_only_a_claim_of_part_of_a_pageblock_boosts():
    seg = small_machine(*BARE).seg
    set_zone(seg, wmark_min=0, wmark_low=0, boost_max=700)
    while zone_word(seg, "nr_free") > 1024:
        alloc(seg, 9, kind=MIGRATE_UNMOVABLE)
    assert zone_word(seg, "boost") == 0  # whole pageblocks change sides
    pfn = alloc(seg, 8, kind=MIGRATE_MOVABLE)
    assert pfn != NO_PAGE
    while zone_word(seg, "nr_free") > 200 and alloc(seg, 0) != NO_PAGE:
        set_zone(seg, wmark_min=-zone_word(seg, "boost"), wmark_low=-zone_word(seg, "boost"))
    assert zone_word(seg, "boost") in (512, 700)
    assert zone_word(seg, "boosted") == 1
