"""The kernel's order-0 path: watermarks look at the zone alone and come first; the lock-less pop looks at nothing."""

import pytest

from emu.mm import (
    GFP_ATOMIC,
    GFP_KERNEL,
    GFP_KERNEL_NORETRY,
    GFP_NOWAIT,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_BNODE,
    PG_BUDDY,
    PG_PCP,
    PG_TAKEN,
    ZONE,
    alloc_page,
    alloc_page_lockless,
    free_page,
    page_move,
    page_owner,
    page_state,
    pcp_count,
    pcp_drain,
    pcp_of,
    zone_of,
)
from emu.mm.gfp import GFP_HIGH, GFP_MEMALLOC
from emu.mm.page import pageblock_type
from emu.mm.pcp import pcp_put
from emu.shm import ABORT, F_PAGE_OWNER, F_PAGE_STATE, F_WATERMARK, HEADER
from emu.stats import VM, counter
from emu.sync import LOCK
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, ledger, set_zone, zone_word

ME, OTHER = 0, 1
MIN, LOW = 800, 1000
# One page per miss and none kept: free pages fall by one with each allocation.
BARE = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=1", "memory.pcp_high=1")
BATCHED = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=8", "memory.pcp_high=48")


def machine_with(*overrides):
    seg = small_machine(*overrides).seg
    set_zone(seg, wmark_min=MIN, wmark_low=LOW, wmark_high=1200)
    return seg


def alloc(seg, gfp=GFP_KERNEL, kind=MIGRATE_UNMOVABLE, me=ME):
    return alloc_page(seg, me, 0, gfp, kind)


def lists_of(seg, cpu=0):
    return pcp_of(seg, 0, cpu)


def zone_holds(seg):
    return seg[zone_of(seg, 0) + ZONE.lock + LOCK.acquired]


# --- watermarks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gfp, floor", [
    (GFP_KERNEL, MIN), (GFP_NOWAIT, MIN), (GFP_KERNEL_NORETRY, MIN), (GFP_KERNEL | GFP_HIGH, MIN // 2),
    (GFP_ATOMIC, MIN * 3 // 8), (GFP_KERNEL | GFP_MEMALLOC, 0),
])
def test_a_request_may_take_the_zone_down_to_its_floor_and_no_further(gfp, floor):
    seg = machine_with(*BARE)
    pages = []
    while (pfn := alloc(seg, gfp)) != NO_PAGE:
        pages.append(pfn)
    assert zone_word(seg, "nr_free") == floor
    assert len(set(pages)) == zone_word(seg, "managed") - floor
    assert counter(seg, ME, VM.pgalloc_normal) == len(pages)
    assert counter(seg, ME, VM.pgalloc_fail) == 1
    assert fault_of(seg)[0] == 0


def test_others_go_on_where_one_request_had_to_stop():
    seg = machine_with(*BARE)
    set_zone(seg, nr_free=MIN)
    assert alloc(seg, GFP_KERNEL) == NO_PAGE
    assert alloc(seg, GFP_NOWAIT) == NO_PAGE
    assert alloc(seg, GFP_ATOMIC) != NO_PAGE
    set_zone(seg, nr_free=MIN + 1)
    assert alloc(seg, GFP_KERNEL) != NO_PAGE
    assert fault_of(seg)[0] == 0


def test_a_request_can_fail_although_its_cpu_has_pages_and_the_lockless_pop_takes_them():
    seg = machine_with(*BATCHED)
    assert alloc(seg) != NO_PAGE
    assert pcp_count(seg, lists_of(seg)) == 7
    set_zone(seg, nr_free=MIN)
    assert alloc(seg) == NO_PAGE
    assert pcp_count(seg, lists_of(seg)) == 7
    assert alloc_page_lockless(seg, ME, 0) != NO_PAGE
    assert pcp_count(seg, lists_of(seg)) == 6


def test_refills_may_carry_a_request_below_its_mark_but_the_next_one_sees_it():
    """The test is made once, before a whole batch moves: the kernel's own inexactness."""
    seg = machine_with(*BATCHED)
    pages = 0
    while alloc(seg) != NO_PAGE:
        pages += 1
    assert MIN - 8 < zone_word(seg, "nr_free") <= MIN
    assert pcp_count(seg, lists_of(seg)) == zone_word(seg, "managed") - zone_word(seg, "nr_free") - pages
    assert fault_of(seg)[0] == 0


@pytest.mark.parametrize("gfp, mark", [(GFP_KERNEL, MIN), (GFP_KERNEL | GFP_HIGH, 400), (GFP_ATOMIC, 300)])
def test_a_sabotaged_watermark_test_is_seen(gfp, mark):
    """A negative boost makes every mark too low; the checker computes its floor from MIN alone."""
    seg = machine_with(*BARE)
    set_zone(seg, boost=-LOW)
    while zone_word(seg, "nr_free") > mark - 2:
        assert alloc(seg, gfp) != NO_PAGE
        assert fault_of(seg)[0] == 0
    assert alloc(seg, gfp) != NO_PAGE
    assert fault_of(seg) == (F_WATERMARK, mark - 2, mark, 0)
    assert seg[HEADER.run_state] == ABORT


def test_the_checker_keeps_quiet_without_verify_and_for_those_who_may_take_all():
    seg = machine_with(*BARE)
    set_zone(seg, boost=-LOW, nr_free=10)
    assert alloc(seg, GFP_KERNEL | GFP_MEMALLOC) != NO_PAGE
    assert fault_of(seg)[0] == 0
    seg[HEADER.verify] = 0
    assert alloc(seg) != NO_PAGE
    assert fault_of(seg)[0] == 0
    seg[HEADER.verify] = 1
    assert alloc(seg) != NO_PAGE
    assert fault_of(seg)[0] == F_WATERMARK


# --- allocation and free ---------------------------------------------------------------------------------


def test_an_allocated_page_is_in_its_callers_hands():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg, me=OTHER)
    assert (page_state(seg, pfn), page_owner(seg, pfn)) == (PG_TAKEN, OTHER)
    assert counter(seg, OTHER, VM.pgalloc_normal) == 1
    assert counter(seg, ME, VM.pgalloc_normal) == 0


def test_an_empty_zone_refuses_everybody():
    seg = machine_with(*BARE)
    set_zone(seg, wmark_min=0, wmark_low=0)
    while alloc(seg) != NO_PAGE:
        pass
    assert ledger(seg) == {"taken": zone_word(seg, "managed")}
    for gfp in (GFP_KERNEL, GFP_ATOMIC, GFP_KERNEL | GFP_MEMALLOC):
        assert alloc(seg, gfp) == NO_PAGE
    assert alloc_page_lockless(seg, ME, 0) == NO_PAGE
    assert counter(seg, ME, VM.pgalloc_fail) == 4


def test_a_freed_page_is_the_next_one_taken():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg)
    holds = zone_holds(seg)
    for _ in range(5):
        free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
        assert page_state(seg, pfn) == PG_PCP
        assert alloc(seg) == pfn
    assert zone_holds(seg) == holds
    assert counter(seg, ME, VM.pgfree) == 5


def test_a_free_goes_to_the_lists_of_the_cpu_it_is_made_on():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg)
    free_page(seg, OTHER, 1, page_of_bnode(seg, pfn), PG_BNODE, 0)
    assert pcp_count(seg, lists_of(seg, 1)) == 1
    assert pcp_count(seg, lists_of(seg, 0)) == 7


def page_of_bnode(seg, pfn):
    """The page, turned into a bnode of CPU 0."""
    page_move(seg, ME, pfn, PG_TAKEN, PG_BNODE, 0)
    return pfn


def test_a_second_free_faults_while_the_page_is_on_a_list():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg)
    free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    before = ledger(seg), counter(seg, ME, VM.pgfree)
    free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert fault_of(seg) == (F_PAGE_STATE, pfn, PG_PCP, PG_TAKEN)
    assert (ledger(seg), counter(seg, ME, VM.pgfree)) == before


def test_a_second_free_faults_while_the_page_is_in_the_buddy():
    seg = machine_with(*BATCHED)
    pages = [alloc(seg) for _ in range(8)]
    for pfn in pages:
        free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    pcp_drain(seg, ME, zone_of(seg, 0), lists_of(seg), 8)
    assert ledger(seg) == {"buddy": zone_word(seg, "managed")}
    for pfn in pages:
        assert page_state(seg, pfn) == PG_BUDDY
    free_page(seg, ME, 0, pages[5], PG_TAKEN, ME)
    assert fault_of(seg) == (F_PAGE_STATE, pages[5], PG_BUDDY, PG_TAKEN)


def test_a_free_by_a_stranger_faults_and_frees_nothing():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg, me=OTHER)
    free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert fault_of(seg) == (F_PAGE_OWNER, pfn, OTHER, ME)
    assert (page_state(seg, pfn), page_owner(seg, pfn)) == (PG_TAKEN, OTHER)
    assert counter(seg, ME, VM.pgfree) == 0


def test_a_free_as_what_the_page_is_not_faults():
    seg = machine_with(*BATCHED)
    pfn = alloc(seg)
    free_page(seg, ME, 0, pfn, PG_BNODE, ME)
    assert fault_of(seg) == (F_PAGE_STATE, pfn, PG_TAKEN, PG_BNODE)


# --- the lock-less pop -----------------------------------------------------------------------------------


def test_the_lockless_pop_takes_types_in_index_order_and_no_lock():
    seg = machine_with(*BATCHED)
    pages = [alloc(seg) for _ in range(8)]
    by_type = {2: pages[:2], 0: pages[2:4], 1: pages[4:6]}
    for kind, pfns in by_type.items():
        for pfn in pfns:
            pcp_put(seg, ME, lists_of(seg), pfn, kind)
    holds = zone_holds(seg)
    popped = [alloc_page_lockless(seg, OTHER, 0) for _ in range(7)]
    assert popped == [pages[3], pages[2], pages[5], pages[4], pages[1], pages[0], NO_PAGE]
    assert zone_holds(seg) == holds
    assert counter(seg, OTHER, VM.pgalloc_normal) == 6
    assert {(page_state(seg, pfn), page_owner(seg, pfn)) for pfn in popped[:6]} == {(PG_TAKEN, OTHER)}


def test_the_lockless_pop_asks_no_watermark_and_moves_no_free_count():
    seg = machine_with(*BATCHED)
    alloc(seg)
    free = zone_word(seg, "nr_free")
    set_zone(seg, wmark_min=free + 100, wmark_low=free + 200)
    for _ in range(7):
        assert alloc_page_lockless(seg, ME, 0) != NO_PAGE
    assert alloc_page_lockless(seg, ME, 0) == NO_PAGE
    assert zone_word(seg, "nr_free") == free
    assert fault_of(seg)[0] == 0


def test_the_lockless_pop_looks_at_its_own_cpu_only():
    seg = machine_with(*BATCHED)
    alloc(seg)
    assert alloc_page_lockless(seg, OTHER, 1) == NO_PAGE
    assert pcp_count(seg, lists_of(seg)) == 7


def test_a_movable_page_taken_by_the_lockless_pop_comes_back_to_its_list():
    seg = machine_with(*BATCHED)
    for _ in range(2):  # the second of the eight that a miss brought: one is ours, seven on the movable list
        alloc(seg, kind=MIGRATE_MOVABLE)
    pfn = alloc_page_lockless(seg, ME, 0)
    assert pageblock_type(seg, pfn) == MIGRATE_MOVABLE
    free_page(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert alloc(seg, kind=MIGRATE_MOVABLE) == pfn
