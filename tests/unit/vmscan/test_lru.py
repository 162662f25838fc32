"""Pages on lists: where they go, who frees them, what a broken list looks like to the checks."""

from emu.mm import GFP_KERNEL, MIGRATE_MOVABLE, PAGE, PG_LRU, PG_TAKEN, alloc_page, page_of, page_owner, page_state
from emu.vmscan import (
    EMPTY,
    LRU_FILE,
    LRUVEC,
    MM,
    file_pages,
    lru_add,
    lru_remove,
    mm_of,
    page_cache_add,
    slot_page,
    slot_swap,
)
from emu.vmscan.lru import ACTIVE, INACTIVE, lru_activate, lru_isolate, lru_putback, lru_size, lruvec_of
from emu.vmscan.shrink import shrink_inactive_list
from emu.vmscan.state import TASK, task_of
from tests.unit.vmscan.pressed import HOUSEKEEPING, broken, pressed, states


def one_page(machine, app=0, index=0):
    """(process, slot, pfn): a page of an application, mapped in its slot and on a list."""
    me = machine.index(f"app/{app}")
    slot = machine.seg[mm_of(machine.seg, app) + MM.slots] + index
    pfn = alloc_page(machine.seg, me, HOUSEKEEPING, GFP_KERNEL, MIGRATE_MOVABLE)
    machine.seg[slot] = pfn << 1
    machine.seg[mm_of(machine.seg, app) + MM.rss] += 1
    assert lru_add(machine.seg, me, HOUSEKEEPING, pfn, slot, LRU_FILE, INACTIVE) == 1
    return me, slot, pfn


def test_an_added_page_is_listed_and_owned_by_who_maps_it():
    machine = pressed(filled=False)
    me, _slot, pfn = one_page(machine)
    assert (page_state(machine.seg, pfn), page_owner(machine.seg, pfn)) == (PG_LRU, me)
    assert lru_size(machine.seg, 0, LRU_FILE, INACTIVE) == 1 and broken(machine) == []


def test_isolation_takes_the_oldest_first_and_putback_returns_them():
    machine = pressed(filled=False)
    pages = [one_page(machine, index=i)[2] for i in range(5)]
    me = machine.index("kswapd/0")
    assert lru_isolate(machine.seg, me, 0, 0, 3) == 3
    taken = [machine.seg[task_of(machine.seg, me) + TASK.isolated + i] for i in range(3)]
    assert taken == pages[:3]
    assert all(page_state(machine.seg, pfn) == PG_TAKEN for pfn in taken)
    lru_activate(machine.seg, taken[0], ACTIVE)
    for pfn in taken:
        assert lru_putback(machine.seg, me, HOUSEKEEPING, pfn) == 1
    assert [lru_size(machine.seg, 0, LRU_FILE, at) for at in (INACTIVE, ACTIVE)] == [4, 1]
    assert broken(machine) == []


def test_a_page_whose_owner_left_while_it_was_isolated_is_freed_at_putback():
    machine = pressed(filled=False)
    owner, slot, pfn = one_page(machine)
    me = machine.index("kswapd/0")
    assert lru_isolate(machine.seg, me, 0, 0, 32) == 1
    assert slot_swap(machine.seg, slot, machine.seg[slot], EMPTY) == 1
    assert lru_remove(machine.seg, owner, HOUSEKEEPING, pfn, slot, owner) == 0  # isolated: not the owner's to free
    assert lru_putback(machine.seg, me, HOUSEKEEPING, pfn) == 0
    assert states(machine)["lru"] == 0 and states(machine)["taken"] == 0 and machine.fault == 0


def test_a_page_that_its_owner_leaves_on_the_list_is_freed_by_the_owner():
    machine = pressed(filled=False)
    owner, slot, pfn = one_page(machine)
    word = machine.seg[slot]
    assert slot_page(word) == pfn and slot_swap(machine.seg, slot, word, EMPTY) == 1
    assert lru_remove(machine.seg, owner, HOUSEKEEPING, pfn, slot, owner) == 1
    assert states(machine)["lru"] == 0 and machine.fault == 0


def test_a_slot_that_changed_meanwhile_is_not_overwritten():
    machine = pressed(filled=False)
    _owner, slot, pfn = one_page(machine)
    assert slot_swap(machine.seg, slot, pfn << 1 | 1, EMPTY) == 0
    assert slot_page(machine.seg[slot]) == pfn


def test_a_page_lost_from_its_list_is_seen():
    machine = pressed()
    assert broken(machine) == []
    vec = lruvec_of(machine.seg, 0)
    head = machine.seg[vec + LRUVEC.head]
    machine.seg[vec + LRUVEC.head] = machine.seg[page_of(machine.seg, head) + PAGE.next]  # sabotage
    assert "pages on LRU lists = pages in that state" in broken(machine)


def test_a_page_mapped_twice_is_seen():
    machine = pressed()
    slots = machine.seg[mm_of(machine.seg, 0) + MM.slots]
    machine.seg[slots] = machine.seg[slots + 1]  # sabotage
    assert "an application's pages are mapped once" in broken(machine)


def test_a_page_that_vanished_from_zram_is_seen():
    machine = pressed()
    slots = machine.seg[mm_of(machine.seg, 0) + MM.slots]
    machine.seg[slots + 600] = 1  # sabotage: an anonymous page said to be in zram
    assert "zram holds what applications gave it" in broken(machine)


def test_page_cache_that_nobody_maps_is_reclaimed_and_leaves_no_trace():
    machine = pressed(filled=False)
    me = machine.index("mutator/0")
    for _ in range(40):
        page_cache_add(machine.seg, me, 0, alloc_page(machine.seg, me, 0, GFP_KERNEL, MIGRATE_MOVABLE))
    assert file_pages(machine.seg) == 40 == states(machine)["lru"] and broken(machine) == []
    assert shrink_inactive_list(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING, 0, LRU_FILE, 32, 1) == 32
    assert file_pages(machine.seg) == 8 == states(machine)["lru"]
    assert machine.fault == 0 and broken(machine) == []
