"""vmalloc objects: a page each, told from slab objects by their address alone."""

import pytest

from emu.mm import (
    GFP_KERNEL,
    LIVE,
    OBJECT_STATE,
    PG_PCP,
    PG_SLAB,
    PG_VMALLOC,
    POISON,
    RCU_COOKIE,
    RCU_NEXT,
    VMALLOC_START,
    address_of,
    is_vmalloc,
    kmalloc,
    object_words,
    page_state,
    pfn_of,
    vfree,
    vmalloc,
)
from emu.shm import F_OBJECT_STATE, F_PAGE_STATE
from emu.stats import VM, counter
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, ledger, set_zone, zone_word

RECLAIM = 4


@pytest.fixture
def seg():
    return small_machine('memory.pcp_rule="v5.9"', "memory.pcp_batch=4", "memory.pcp_high=24").seg


def test_the_address_tells_the_kind_and_leads_to_the_words(seg):
    obj = vmalloc(seg, 0, 0, GFP_KERNEL)
    other = kmalloc(seg, 0, 0, 0, GFP_KERNEL)
    assert (is_vmalloc(obj), is_vmalloc(other)) == (1, 0)
    assert object_words(obj) == obj - VMALLOC_START
    assert object_words(other) == other
    assert object_words(obj) == address_of(pfn_of(object_words(obj)))


def test_an_object_is_alive_and_has_a_page_of_its_own(seg):
    objects = [vmalloc(seg, 0, 0, GFP_KERNEL) for _ in range(10)]
    assert len({pfn_of(object_words(obj)) for obj in objects}) == 10
    for obj in objects:
        at = object_words(obj)
        assert seg[at + OBJECT_STATE] == LIVE
        assert seg[at + RCU_NEXT] == seg[at + RCU_COOKIE] == 0
        assert page_state(seg, pfn_of(at)) == PG_VMALLOC
    assert ledger(seg)["vmalloc"] == counter(seg, 0, VM.vmalloc_alloc) == 10


def test_a_free_by_anyone_gives_the_page_back(seg):
    obj = vmalloc(seg, 0, 0, GFP_KERNEL)
    vfree(seg, RECLAIM, 2, obj)
    assert seg[object_words(obj) + OBJECT_STATE] == POISON
    assert page_state(seg, pfn_of(object_words(obj))) == PG_PCP
    assert "vmalloc" not in ledger(seg)
    assert counter(seg, RECLAIM, VM.vmalloc_free) == counter(seg, RECLAIM, VM.pgfree) == 1
    assert fault_of(seg)[0] == 0


def test_a_second_free_faults(seg):
    obj = vmalloc(seg, 0, 0, GFP_KERNEL)
    vfree(seg, RECLAIM, 2, obj)
    before = ledger(seg)
    vfree(seg, 0, 0, obj)
    assert fault_of(seg) == (F_OBJECT_STATE, obj, POISON, 0)
    assert ledger(seg) == before


def test_a_slab_object_freed_as_a_vmalloc_object_faults(seg):
    obj = kmalloc(seg, 0, 0, 0, GFP_KERNEL)
    vfree(seg, 0, 0, obj | VMALLOC_START)
    assert fault_of(seg) == (F_PAGE_STATE, pfn_of(obj), PG_SLAB, PG_VMALLOC)


def test_no_memory_is_an_answer_not_a_fault(seg):
    set_zone(seg, nr_free=zone_word(seg, "wmark_min"))
    assert vmalloc(seg, 0, 0, GFP_KERNEL) == 0
    assert counter(seg, 0, VM.vmalloc_alloc) == 0
    assert counter(seg, 0, VM.pgalloc_fail) == 1
    assert fault_of(seg)[0] == 0
