"""A page moves only from the state its holder believes it in; anything else is a fault that names both."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.mm import (
    OWNER_SHIFT,
    PAGE,
    PAGE_STATES,
    PAGE_WORDS,
    PG_BNODE,
    PG_CACHE,
    PG_SLAB,
    PG_STATIC,
    PG_TAKEN,
    address_of,
    page_links,
    page_move,
    page_move_owned,
    page_of,
    page_owner,
    page_state,
    pfn_of,
)
from emu.shm import ABORT, F_PAGE_OWNER, F_PAGE_STATE, HEADER, MAP, MAP_BASE
from tests.small_machine import small_machine
from tests.unit.mm.memory import clear_fault, fault_of

STATES = range(len(PAGE_STATES))


def a_page(seg):
    return seg[MAP_BASE + MAP.first_pfn] + 5


def test_a_move_from_the_believed_state_writes_state_and_owner_and_nothing_else():
    seg = small_machine().seg
    pfn = a_page(seg)
    page = page_of(seg, pfn)
    around = [seg[page + i] for i in range(1, PAGE.SIZE)]
    for was, becomes in itertools.product(STATES, STATES):
        seg[page] = was | 7 << OWNER_SHIFT
        assert page_move(seg, 1, pfn, was, becomes, 12) == 1
        assert (page_state(seg, pfn), page_owner(seg, pfn)) == (becomes, 12)
    assert [seg[page + i] for i in range(1, PAGE.SIZE)] == around
    assert fault_of(seg)[0] == 0


def test_a_move_from_another_state_faults_and_changes_nothing():
    seg = small_machine().seg
    pfn = a_page(seg)
    for was, believed in itertools.permutations(STATES, 2):
        word = was | 7 << OWNER_SHIFT
        seg[page_of(seg, pfn)] = word
        assert page_move(seg, 1, pfn, believed, PG_TAKEN, 12) == 0
        assert fault_of(seg) == (F_PAGE_STATE, pfn, was, believed)
        assert seg[HEADER.fault_proc] == 1 and seg[HEADER.run_state] == ABORT
        clear_fault(seg)
        assert page_move_owned(seg, 1, pfn, believed, 7, PG_TAKEN, 12) == 0
        assert fault_of(seg) == (F_PAGE_STATE, pfn, was, believed)
        clear_fault(seg)
        assert seg[page_of(seg, pfn)] == word


@pytest.mark.parametrize("state", [PG_TAKEN, PG_CACHE, PG_STATIC, PG_BNODE, PG_SLAB])
def test_an_owned_move_by_a_stranger_faults_and_changes_nothing(state):
    seg = small_machine().seg
    pfn = a_page(seg)
    seg[page_of(seg, pfn)] = state | 3 << OWNER_SHIFT
    assert page_move_owned(seg, 2, pfn, state, 4, PG_TAKEN, 2) == 0
    assert fault_of(seg) == (F_PAGE_OWNER, pfn, 3, 4)
    assert (page_state(seg, pfn), page_owner(seg, pfn)) == (state, 3)
    clear_fault(seg)
    assert page_move_owned(seg, 2, pfn, state, 3, PG_TAKEN, 2) == 1
    assert (page_state(seg, pfn), page_owner(seg, pfn)) == (PG_TAKEN, 2)
    assert fault_of(seg)[0] == 0


def test_a_block_of_several_pages_is_no_single_page():
    seg = small_machine().seg
    pfn = a_page(seg)
    seg[page_of(seg, pfn)] = PG_TAKEN | 1 << 8 | 3 << OWNER_SHIFT  # order 1
    assert page_move_owned(seg, 3, pfn, PG_TAKEN, 3, PG_BNODE, 0) == 0
    assert fault_of(seg)[0] == F_PAGE_OWNER


@given(pfn=st.integers(1, 2**40), word=st.integers(0, PAGE_WORDS - 1))
def test_every_word_of_a_page_leads_back_to_it(pfn, word):
    assert pfn_of(address_of(pfn) + word) == pfn
    assert address_of(pfn) % PAGE_WORDS == 0


def test_records_are_apart_and_links_are_theirs():
    seg = small_machine().seg
    first, pages = seg[MAP_BASE + MAP.first_pfn], seg[MAP_BASE + MAP.nr_pages]
    assert page_of(seg, first) == seg[MAP_BASE + MAP.mem_map]
    assert page_of(seg, first + pages - 1) + PAGE.SIZE <= address_of(first)
    for pfn in (first, first + 1, first + pages - 1):
        assert page_links(seg) + pfn * PAGE.SIZE == page_of(seg, pfn) + PAGE.link
    assert len(seg) == address_of(first + pages)
