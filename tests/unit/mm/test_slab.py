"""Objects in pages: each is somebody's alone, dies poisoned, and takes its page with it when it is the last."""

import pytest

from emu.mm import (
    GFP_KERNEL,
    LIVE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    OBJECT_STATE,
    PAGE_WORDS,
    PAYLOAD,
    PG_PCP,
    PG_SLAB,
    PG_TAKEN,
    POISON,
    RCU_COOKIE,
    RCU_NEXT,
    address_of,
    alloc_page,
    kfree_bulk,
    kmalloc,
    page_owner,
    page_state,
    pfn_of,
    slab_flush_cpu,
    slab_in_use,
)
from emu.mm.slab import NO_OBJECT
from emu.shm import F_OBJECT_STATE, F_PAGE_STATE, F_WRITE_AFTER_FREE, HEADER
from emu.stats import VM
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, ledger, set_zone
from tests.unit.mm.one_slab import CPU0, PER_PAGE, RECLAIM, WORDS, Slab, page_of_records


@pytest.fixture
def slab():
    return Slab()


# --- allocation ------------------------------------------------------------------------------------------


def test_objects_are_alive_zeroed_aligned_and_apart(slab):
    objects = slab.alloc(3 * PER_PAGE + 1)
    assert len(set(objects)) == len(objects)
    for obj in objects:
        assert (obj - address_of(pfn_of(obj))) % WORDS == 0
        assert slab.seg[obj + OBJECT_STATE] == LIVE
        assert slab.seg[obj + RCU_NEXT] == slab.seg[obj + RCU_COOKIE] == 0
        assert not any(slab.seg[obj + i] for i in range(PAYLOAD, WORDS))
    pages = {pfn_of(obj) for obj in objects}
    assert len(pages) == 4
    assert {(page_state(slab.seg, pfn), page_owner(slab.seg, pfn)) for pfn in pages} == {(PG_SLAB, 0)}
    assert slab.count(CPU0, VM.kmalloc) == len(objects)
    assert slab.count(CPU0, VM.slab_page_alloc) == 4


def test_two_cpus_never_share_an_active_page(slab):
    mine, theirs = slab.alloc(PER_PAGE // 2), slab.alloc(PER_PAGE // 2, cpu=1)
    assert slab.active(0) != slab.active(1)
    assert {pfn_of(obj) for obj in mine} == {slab.active(0)}
    assert {pfn_of(obj) for obj in theirs} == {slab.active(1)}
    assert slab.frozen(slab.active(0)) and slab.frozen(slab.active(1))


def test_no_memory_is_an_answer_not_a_fault(slab):
    set_zone(slab.seg, nr_free=10)
    assert slab.alloc() == NO_OBJECT
    assert slab.count(CPU0, VM.kmalloc_fail) == 1
    assert fault_of(slab.seg)[0] == 0
    assert slab.active() == NO_PAGE


def test_an_odd_size_leaves_the_rest_of_the_page_unused():
    seg = small_machine("slab.object_bytes=[96]").seg
    objects = [kmalloc(seg, 0, 0, 0, GFP_KERNEL) for _ in range(43)]
    first = address_of(pfn_of(objects[0]))
    assert objects[:42] == [first + 12 * i for i in range(42)]
    assert objects[41] + 12 <= first + PAGE_WORDS
    assert pfn_of(objects[42]) != pfn_of(objects[0])


# --- free, and who may be called back to life ------------------------------------------------------------


def test_a_freed_object_is_poisoned_but_for_its_link(slab):
    first, obj = slab.alloc(2)
    for i in range(PAYLOAD, WORDS):
        slab.seg[obj + i] = 1000 + i
    slab.seg[obj + RCU_COOKIE] = 77
    slab.free(obj)
    assert slab.seg[obj + OBJECT_STATE] == slab.seg[obj + RCU_COOKIE] == POISON
    assert {slab.seg[obj + i] for i in range(PAYLOAD, WORDS)} == {POISON}
    assert slab.seg[first + OBJECT_STATE] == LIVE


def test_an_object_comes_back_clean(slab):
    objects = slab.alloc(PER_PAGE)
    slab.seg[objects[3] + PAYLOAD] = 5
    slab.free(objects[3])
    assert slab.alloc() == objects[3]
    assert slab.seg[objects[3] + PAYLOAD] == 0
    assert slab.seg[objects[3] + OBJECT_STATE] == LIVE


def test_a_write_after_free_is_seen_by_the_next_allocation(slab):
    objects = slab.alloc(PER_PAGE)
    slab.free(objects[3])
    slab.seg[objects[3] + OBJECT_STATE] = 123
    assert slab.alloc() == objects[3]
    assert fault_of(slab.seg) == (F_OBJECT_STATE, objects[3], 123, 0)


def test_a_write_into_a_freed_payload_is_seen_by_the_next_allocation(slab):
    objects = slab.alloc(PER_PAGE)
    slab.free(objects[3])
    slab.seg[objects[3] + PAYLOAD] = 5
    assert slab.alloc() == objects[3]
    assert fault_of(slab.seg) == (F_WRITE_AFTER_FREE, objects[3], PAYLOAD, 5)


def test_a_write_after_free_is_not_looked_for_without_verify(slab):
    slab.seg[HEADER.verify] = 0
    objects = slab.alloc(PER_PAGE)
    slab.free(objects[3])
    slab.seg[objects[3] + OBJECT_STATE] = 123
    assert slab.alloc() == objects[3]
    assert fault_of(slab.seg)[0] == 0


@pytest.mark.parametrize("bulk", [False, True])
def test_a_second_free_of_an_object_faults_and_frees_nothing(slab, bulk):
    objects = slab.alloc(PER_PAGE)
    slab.free(objects[2])
    used = slab_in_use(slab.seg, pfn_of(objects[2]))
    if bulk:
        slab.free_bulk([objects[2]])
    else:
        slab.free(objects[2])
    assert fault_of(slab.seg) == (F_OBJECT_STATE, objects[2], POISON, 0)
    assert slab_in_use(slab.seg, pfn_of(objects[2])) == used


def test_an_object_named_twice_in_one_bulk_faults(slab):
    objects = slab.alloc(PER_PAGE)
    slab.free_bulk([objects[1], objects[2], objects[1]])
    assert fault_of(slab.seg) == (F_OBJECT_STATE, objects[1], POISON, 0)


def test_a_second_free_faults_even_when_the_page_has_gone(slab):
    objects = slab.alloc(PER_PAGE + 1)
    slab.free(*objects[:PER_PAGE])
    assert page_state(slab.seg, pfn_of(objects[0])) == PG_PCP
    slab.free(objects[0])
    assert fault_of(slab.seg) == (F_PAGE_STATE, pfn_of(objects[0]), PG_PCP, PG_SLAB)


@pytest.mark.parametrize("bulk", [False, True])
def test_a_pointer_into_a_page_that_is_no_slab_faults(slab, bulk):
    pfn = alloc_page(slab.seg, CPU0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)
    if bulk:
        slab.free_bulk([address_of(pfn)])
    else:
        slab.free(address_of(pfn))
    assert fault_of(slab.seg) == (F_PAGE_STATE, pfn, PG_TAKEN, PG_SLAB)


def test_an_object_never_allocated_cannot_be_freed(slab):
    obj = slab.alloc()
    slab.free(obj + WORDS)
    assert fault_of(slab.seg) == (F_OBJECT_STATE, obj + WORDS, POISON, 0)


def test_a_pointer_into_the_middle_of_an_object_faults(slab):
    obj = slab.alloc()
    slab.free(obj + 8)
    assert fault_of(slab.seg)[:2] == (F_OBJECT_STATE, obj + 8)


# --- bulk ------------------------------------------------------------------------------------------------


def test_a_run_of_one_pages_objects_is_one_update_of_the_page(slab):
    first, second = slab.alloc(PER_PAGE), slab.alloc(PER_PAGE)
    pages = pfn_of(first[0]), pfn_of(second[0])
    assert pages[0] != pages[1]
    before = [slab.updates(pfn) for pfn in pages]
    slab.free_bulk([*first[:3], second[0], *first[3:5], *second[1:4]])
    assert [slab.updates(pfn) - was for pfn, was in zip(pages, before, strict=True)] == [2, 2]
    assert slab_in_use(slab.seg, pages[0]) == PER_PAGE - 5
    assert slab_in_use(slab.seg, pages[1]) == PER_PAGE - 4
    assert set(slab.alloc(9)) == {*first[:5], *second[:4]}
    assert fault_of(slab.seg)[0] == 0


def test_an_empty_bulk_frees_nothing(slab):
    obj = slab.alloc()
    slab.free_bulk([])
    assert slab.seg[obj + OBJECT_STATE] == LIVE


def test_bulk_frees_objects_of_caches_of_different_sizes():
    seg = small_machine("slab.object_bytes=[32, 1024]", "slab.weights=[1, 1]", "slab.min_partial=0").seg
    small = [kmalloc(seg, 0, 0, 0, GFP_KERNEL) for _ in range(3)]
    large = [kmalloc(seg, 0, 0, 1, GFP_KERNEL) for _ in range(3)]
    records = page_of_records(seg)
    mixed = [small[0], large[0], large[1], small[1], small[2], large[2]]
    for i, obj in enumerate(mixed):
        seg[records + i] = obj
    kfree_bulk(seg, RECLAIM, 2, records, 6)
    for obj, words in [(obj, 4) for obj in small] + [(obj, 128) for obj in large]:
        assert {seg[obj + i] for i in range(1, words)} == {POISON}
    for index in (0, 1):
        slab_flush_cpu(seg, 0, 0, index, 0)
    assert "slab" not in ledger(seg)
    assert fault_of(seg)[0] == 0
