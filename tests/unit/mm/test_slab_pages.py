"""A slab page is active, full, partial or gone, and each free moves it to where it belongs."""

import pytest

from emu.mm import (
    NO_PAGE,
    PG_PCP,
    PG_SLAB,
    page_state,
    pfn_of,
    slab_in_use,
)
from emu.stats import VM
from tests.unit.mm.memory import fault_of, ledger
from tests.unit.mm.one_slab import CPU0, CPU1, PER_PAGE, RECLAIM, Slab


@pytest.fixture
def slab():
    return Slab()


# --- the life of a page: active, full, partial, empty ----------------------------------------------------


def test_a_full_page_is_let_go_and_a_free_makes_it_partial(slab):
    objects = slab.alloc(PER_PAGE)
    first = slab.active()
    assert slab.frozen(first)
    slab.alloc()
    assert slab.active() != first
    assert not slab.frozen(first)
    assert slab.partial == []
    slab.free(objects[0])
    assert slab.partial == [first]
    locks = slab.list_locks
    slab.free(objects[1])
    assert slab.partial == [first]
    assert slab.list_locks == locks  # it changed no list, so it took no lock
    assert slab_in_use(slab.seg, first) == PER_PAGE - 2


def test_the_last_free_gives_the_page_back_at_once(slab):
    objects = slab.alloc(PER_PAGE + 1)
    first = pfn_of(objects[0])
    slab.free(*objects[: PER_PAGE - 1])
    assert page_state(slab.seg, first) == PG_SLAB
    slab.free(objects[PER_PAGE - 1])
    assert page_state(slab.seg, first) == PG_PCP
    assert slab.partial == []
    assert slab.count(RECLAIM, VM.slab_page_free) == slab.count(RECLAIM, VM.pgfree) == 1


@pytest.mark.parametrize("in_chains, kept", [(False, 1), (True, 2)])
def test_empty_pages_are_kept_below_min_partial_and_no_more(in_chains, kept):
    """A page that is on the list already counts itself, as in the kernel: one by one, one page less is kept."""
    slab = Slab(min_partial=2)
    objects = slab.alloc(4 * PER_PAGE + 1)
    for at in range(0, 4 * PER_PAGE, PER_PAGE):
        if in_chains:
            slab.free_bulk(objects[at : at + PER_PAGE])
        else:
            slab.free(*objects[at : at + PER_PAGE])
    pages = slab.partial
    assert len(pages) == kept
    assert [slab_in_use(slab.seg, pfn) for pfn in pages] == [0] * kept
    assert slab.count(RECLAIM, VM.slab_page_free) == 4 - kept
    assert ledger(slab.seg)["slab"] == kept + 1


def test_a_full_page_freed_in_one_chain_goes_at_once_or_is_kept():
    for min_partial, partial in ((0, 0), (1, 1)):
        slab = Slab(min_partial=min_partial)
        objects = slab.alloc(PER_PAGE + 1)
        slab.free_bulk(objects[:PER_PAGE])
        assert len(slab.partial) == partial
        assert slab.count(RECLAIM, VM.slab_page_free) == 1 - partial
        assert fault_of(slab.seg)[0] == 0


def test_partial_pages_are_used_up_before_a_new_one_is_taken(slab):
    objects = slab.alloc(2 * PER_PAGE + 1)
    pages = slab.count(CPU0, VM.slab_page_alloc)
    slab.alloc(PER_PAGE - 1)  # the active page is empty now
    slab.free(objects[0], objects[1], objects[PER_PAGE])
    assert len(slab.partial) == 2
    again = slab.alloc(3)
    assert set(again) == {objects[0], objects[1], objects[PER_PAGE]}
    assert slab.partial == []
    assert slab.count(CPU0, VM.slab_page_alloc) == pages
    slab.alloc()
    assert slab.count(CPU0, VM.slab_page_alloc) == pages + 1


def test_frees_by_others_leave_an_active_page_with_its_cpu(slab):
    objects = slab.alloc(PER_PAGE)
    page, locks = slab.active(), slab.list_locks
    slab.free(*objects)
    assert slab.active() == page
    assert slab.frozen(page)
    assert slab_in_use(slab.seg, page) == 0
    assert (slab.partial, slab.list_locks) == ([], locks)
    assert page_state(slab.seg, page) == PG_SLAB
    assert set(slab.alloc(PER_PAGE)) == set(objects)
    assert slab.count(CPU0, VM.slab_page_alloc) == 1


def test_another_cpu_takes_over_a_partial_page(slab):
    objects = slab.alloc(PER_PAGE + 1)
    slab.free(*objects[:3])
    got = slab.alloc(3, cpu=1)
    assert set(got) == set(objects[:3])
    assert slab.active(1) == pfn_of(objects[0])
    assert slab.count(CPU1, VM.slab_page_alloc) == 0


# --- the end of a CPU ------------------------------------------------------------------------------------


def test_flushing_a_cpu_that_never_allocated_does_nothing(slab):
    slab.flush()
    assert slab.active() == NO_PAGE
    assert "slab" not in ledger(slab.seg)


@pytest.mark.parametrize("live, freed", [(1, 0), (3, 2), (PER_PAGE, 1), (PER_PAGE - 1, PER_PAGE - 2)])
def test_a_flushed_page_with_live_objects_becomes_partial(slab, live, freed):
    objects = slab.alloc(live)
    page = slab.active()
    slab.free(*objects[:freed])
    slab.flush()
    assert slab.active() == NO_PAGE
    assert not slab.frozen(page)
    assert slab.partial == [page]
    assert slab_in_use(slab.seg, page) == live - freed
    assert ledger(slab.seg)["objects"] == live - freed
    slab.free(*objects[freed:])
    assert "slab" not in ledger(slab.seg)
    assert fault_of(slab.seg)[0] == 0


def test_a_flushed_full_page_is_on_no_list_until_a_free(slab):
    objects = slab.alloc(PER_PAGE)
    slab.flush()
    assert slab.partial == []
    slab.free(objects[4])
    assert slab.partial == [pfn_of(objects[4])]


@pytest.mark.parametrize("allocated", [1, PER_PAGE])
def test_a_flushed_page_without_live_objects_goes_back(slab, allocated):
    objects = slab.alloc(allocated)
    page = slab.active()
    slab.free(*objects)
    slab.flush()
    assert page_state(slab.seg, page) == PG_PCP
    assert slab.partial == []
    assert slab.count(CPU0, VM.slab_page_free) == 1


def test_a_cpu_may_go_on_after_its_flush(slab):
    objects = slab.alloc(3)
    page = slab.active()
    slab.flush()
    more = slab.alloc(PER_PAGE - 3)
    assert {pfn_of(obj) for obj in more} == {page}
    assert not set(more) & set(objects)
    assert fault_of(slab.seg)[0] == 0
