"""A bnode: how many pointers a page holds by epoch, and that its header keeps clear of them."""

import pytest

from emu.kvfree import BNODE, KRC, MAX_RECORDS_LONG, MAX_RECORDS_SHORT, TO_ARRAY, header_words, kvfree_call_rcu
from emu.kvfree.bnode import LONG_HEADER, SHORT_HEADER
from emu.mm import PAGE_WORDS
from tests.crew import Crew


def test_a_page_holds_510_pointers_and_507_with_cookies():
    assert (MAX_RECORDS_SHORT, MAX_RECORDS_LONG) == (510, 507)
    assert SHORT_HEADER + MAX_RECORDS_SHORT == LONG_HEADER + MAX_RECORDS_LONG == PAGE_WORDS


@pytest.mark.parametrize(("records", "polled", "words"),
                         [(510, False, 2), (508, False, 2), (507, False, 5), (3, True, 5)])
def test_cookies_need_the_long_header_and_more_pointers_the_short_one(records, polled, words):
    assert header_words(records, polled) == words


@pytest.mark.parametrize(("epoch", "cap"), [("E511", 510), ("E61", 510), ("E612", 507)])
def test_an_epoch_s_array_takes_its_pointers_and_not_one_more(epoch, cap):
    crew = Crew(f"run.epoch={epoch}", "policy.preset=S8")
    krc = crew.krc(0)
    objects = [crew.make(0) for _ in range(cap + 1)]
    assert {kvfree_call_rcu(crew.seg, 0, 0, obj) for obj in objects} == {TO_ARRAY}
    newest = crew.seg[krc + KRC.bulk_head]
    older = crew.seg[newest + BNODE.older]
    assert [crew.seg[bnode + BNODE.nr_records] for bnode in (newest, older)] == [1, cap]
    assert crew.seg[older + BNODE.older] == 0
    header = crew.seg[krc + KRC.header]
    assert [crew.seg[older + header + i] for i in range(cap)] == objects[:cap]
    assert crew.seg[newest + header] == objects[cap]
    assert crew.counter("bnode_alloc") == 2
    crew.drain()
    assert crew.broken() == []
