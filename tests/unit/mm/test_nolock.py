"""The allocator that waits for no lock: what it may take, what it leaves behind, and who cleans up."""

import pytest

from emu.mm import (
    ALLOC_NO_LOCKS,
    ALLOC_WMARK_LOW,
    ALLOC_WMARK_MIN,
    GFP_KERNEL,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PCP,
    PG_PCP,
    PG_TAKEN,
    PG_TRYLOCK,
    ZONE,
    address_of,
    alloc_page,
    alloc_pages_nolock,
    free_page,
    free_pages,
    free_pages_nolock,
    get_page_from_freelist,
    page_state,
    pcp_count,
    pcp_of,
    zone_of,
)
from emu.mm.deferred import free_later
from emu.stats import VM, counter
from emu.sync import LOCK, spin_lock, spin_unlock
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, ledger, set_zone, zone_word

ME, OTHER = 0, 1
RULE = ('memory.pcp_rule="v6.1"', "memory.pcp_batch=8", "memory.pcp_high=48")


@pytest.fixture
def seg():
    return small_machine(*RULE).seg


def zone_lock_word(seg):
    return zone_of(seg, 0) + ZONE.lock


def pcp_lock_word(seg, cpu=0):
    return pcp_of(seg, 0, cpu) + PCP.lock


def listed(seg, cpu=0):
    return pcp_count(seg, pcp_of(seg, 0, cpu))


def test_a_page_comes_cleared_and_a_batch_stays_on_the_list(seg):
    pfn = alloc_pages_nolock(seg, ME, 0, 0)
    assert page_state(seg, pfn) == PG_TAKEN
    assert listed(seg) == 7
    seg[address_of(pfn)] = seg[address_of(pfn) + 511] = 9
    free_pages_nolock(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert alloc_pages_nolock(seg, ME, 0, 0) == pfn
    assert seg[address_of(pfn)] == seg[address_of(pfn) + 511] == 0


def test_with_zone_lock_held_it_has_what_the_list_has_and_nothing_more(seg):
    alloc_pages_nolock(seg, ME, 0, 0)
    spin_lock(seg, OTHER, zone_lock_word(seg))
    pages = [alloc_pages_nolock(seg, ME, 0, 0) for _ in range(9)]
    assert pages[7:] == [NO_PAGE, NO_PAGE] and NO_PAGE not in pages[:7]
    assert counter(seg, ME, VM.nolock_fail) == 2
    assert counter(seg, ME, VM.zone_trylock_fail) == 4  # the refill and the direct attempt, twice
    spin_unlock(seg, OTHER, zone_lock_word(seg))
    assert alloc_pages_nolock(seg, ME, 0, 0) != NO_PAGE


def test_with_pcp_lock_held_it_goes_to_the_buddy(seg):
    spin_lock(seg, OTHER, pcp_lock_word(seg))
    free = zone_word(seg, "nr_free")
    assert alloc_pages_nolock(seg, ME, 0, 0) != NO_PAGE
    assert (zone_word(seg, "nr_free"), listed(seg)) == (free - 1, 0)
    assert counter(seg, ME, VM.pcp_lock_contended) == 1
    spin_lock(seg, OTHER, zone_lock_word(seg))
    assert alloc_pages_nolock(seg, ME, 0, 0) == NO_PAGE


def test_its_mark_is_min_at_once_without_reserves(seg):
    set_zone(seg, wmark_min=500, wmark_low=5000)
    pages = 0
    while alloc_pages_nolock(seg, ME, 0, 0) != NO_PAGE:
        pages += 1
    assert 500 - 8 < zone_word(seg, "nr_free") <= 500
    assert fault_of(seg)[0] == 0


def test_small_orders_only(seg):
    assert alloc_pages_nolock(seg, ME, 0, 3) % 8 == 0
    assert alloc_pages_nolock(seg, ME, 0, 4) == NO_PAGE


def test_a_free_never_waits_and_what_it_leaves_behind_goes_with_the_next_ordinary_one(seg):
    pages = [alloc_page(seg, ME, 0, GFP_KERNEL, MIGRATE_UNMOVABLE) for _ in range(8)]
    spin_lock(seg, OTHER, pcp_lock_word(seg))
    spin_lock(seg, OTHER, zone_lock_word(seg))
    free = zone_word(seg, "nr_free")
    for pfn in pages[:3]:
        free_pages_nolock(seg, ME, 0, pfn, PG_TAKEN, ME)
        assert page_state(seg, pfn) == PG_TRYLOCK
    assert ledger(seg)["trylock_free"] == counter(seg, ME, VM.pgfree_deferred) == 3
    assert zone_word(seg, "nr_free") == free
    spin_unlock(seg, OTHER, zone_lock_word(seg))
    free_pages_nolock(seg, ME, 0, pages[3], PG_TAKEN, ME)  # the lock is free, but this one cleans up nobody's
    assert (zone_word(seg, "nr_free"), ledger(seg)["trylock_free"]) == (free + 1, 3)
    free_page(seg, ME, 0, pages[4], PG_TAKEN, ME)
    assert zone_word(seg, "nr_free") == free + 5
    assert "trylock_free" not in ledger(seg)
    assert fault_of(seg)[0] == 0


def test_a_block_left_behind_comes_back_whole(seg):
    pfn = alloc_pages_nolock(seg, ME, 0, 3)
    free = zone_word(seg, "nr_free")
    free_later(seg, ME, zone_of(seg, 0), pfn, 3)
    assert ledger(seg)["trylock_free"] == 8
    other = alloc_pages_nolock(seg, ME, 0, 1)
    free_pages(seg, ME, 0, other, 1, PG_TAKEN, ME)
    assert zone_word(seg, "nr_free") == free + 8
    assert "trylock_free" not in ledger(seg)


def test_a_list_may_grow_beyond_its_limit_under_frees_that_may_not_wait(seg):
    pages = [alloc_page(seg, ME, 0, GFP_KERNEL, MIGRATE_UNMOVABLE) for _ in range(96)]
    drained = counter(seg, ME, VM.pcp_drain_pages)
    for pfn in pages:
        free_pages_nolock(seg, ME, 0, pfn, PG_TAKEN, ME)
    assert listed(seg) == 96
    assert counter(seg, ME, VM.pcp_drain_pages) == drained
    assert page_state(seg, pages[0]) == PG_PCP


# --- a walk without any lock of the zone --------------------------------------------------------------------


def no_locks(seg, wmark, kind=MIGRATE_UNMOVABLE):
    return get_page_from_freelist(seg, ME, 0, GFP_KERNEL, 0, kind, ALLOC_NO_LOCKS | wmark)


@pytest.mark.parametrize("rule", ["v5.9", "v6.1", "v6.7"])
def test_without_locks_a_request_has_the_list_of_its_type_above_its_mark(rule):
    seg = small_machine(f'memory.pcp_rule="{rule}"', "memory.pcp_batch=8").seg
    assert no_locks(seg, ALLOC_WMARK_LOW) == NO_PAGE
    alloc_page(seg, ME, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    held, left = seg[zone_lock_word(seg) + LOCK.acquired], listed(seg)
    assert left == 7
    assert no_locks(seg, ALLOC_WMARK_LOW, MIGRATE_MOVABLE) == NO_PAGE
    assert no_locks(seg, ALLOC_WMARK_LOW) != NO_PAGE
    set_zone(seg, wmark_low=zone_word(seg, "nr_free"), wmark_high=zone_word(seg, "nr_free"))
    assert no_locks(seg, ALLOC_WMARK_LOW) == NO_PAGE
    assert no_locks(seg, ALLOC_WMARK_MIN) != NO_PAGE
    assert listed(seg) == left - 2
    assert seg[zone_lock_word(seg) + LOCK.acquired] == held
