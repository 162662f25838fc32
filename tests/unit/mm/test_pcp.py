"""Per-CPU page lists: what moves, how much at once, under how many holds of zone->lock, and what counts as free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.mm import (
    MIGRATE_MOVABLE,
    MIGRATE_PCPTYPES,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PCP,
    PG_BUDDY,
    PG_PCP,
    PG_TAKEN,
    SCRATCH_WORDS,
    ZONE,
    page_owner,
    page_state,
    pcp_count,
    pcp_decay,
    pcp_drain,
    pcp_of,
    scratch_of,
    zone_of,
)
from emu.mm.buddy import set_pageblock_type
from emu.mm.page import MIGRATE_HIGHATOMIC, MIGRATE_RECLAIMABLE, pageblock_type
from emu.mm.pcp import BATCH_LIMIT, PCP_BATCH_SCALE_MAX, free_to_pcp, pcp_put, pcp_take, rmqueue_pcplist
from emu.shm import F_PAGE_STATE
from emu.stats import VM, counter
from emu.sync import LOCK
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, free_blocks, ledger, set_zone, zone_word

ME, OTHER = 0, 1
FIXED = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=4", "memory.pcp_high=24")


class Lists:
    """CPU 0's lists of a machine, with the arguments that every step takes."""

    def __init__(self, *overrides):
        self.machine = small_machine(*(overrides or FIXED))
        self.seg = self.machine.seg
        self.zone, self.pcp = zone_of(self.seg, 0), pcp_of(self.seg, 0, 0)

    def take(self, kind=MIGRATE_UNMOVABLE):
        return pcp_take(self.seg, ME, self.pcp, kind)

    def put(self, pfn, kind=MIGRATE_UNMOVABLE):
        pcp_put(self.seg, ME, self.pcp, pfn, kind)

    def get(self, kind=MIGRATE_UNMOVABLE):
        return rmqueue_pcplist(self.seg, ME, self.zone, self.pcp, kind, 0)

    def free(self, pfn):
        free_to_pcp(self.seg, ME, self.zone, self.pcp, pfn, 1)

    def drain(self, pages):
        return pcp_drain(self.seg, ME, self.zone, self.pcp, pages)

    @property
    def count(self):
        return pcp_count(self.seg, self.pcp)

    @property
    def holds(self):
        """How often zone->lock was taken."""
        return self.seg[self.zone + ZONE.lock + LOCK.acquired]

    @property
    def nr_free(self):
        return zone_word(self.seg, "nr_free")

    def word(self, name):
        return self.seg[self.pcp + getattr(PCP, name)]

    def set(self, **values):
        for name, value in values.items():
            self.seg[self.pcp + getattr(PCP, name)] = value

    def depths(self):
        """Pages on each list, counted by taking them all off and putting them back."""
        depths = []
        for kind in range(MIGRATE_PCPTYPES):
            pages = []
            while (pfn := self.take(kind)) != NO_PAGE:
                pages.append(pfn)
            for pfn in reversed(pages):
                self.put(pfn, kind)
            depths.append(len(pages))
        return depths


@pytest.fixture
def lists():
    return Lists()


# --- take and put ----------------------------------------------------------------------------------------


def test_an_empty_list_gives_no_page(lists):
    assert [lists.take(kind) for kind in range(MIGRATE_PCPTYPES)] == [NO_PAGE] * 3
    assert lists.count == 0


def test_the_page_put_last_is_taken_first_and_owners_change(lists):
    pages = [lists.get() for _ in range(3)]
    before = lists.count
    for pfn in pages:
        lists.put(pfn)
        assert (page_state(lists.seg, pfn), page_owner(lists.seg, pfn)) == (PG_PCP, 0)
    assert lists.count == before + 3
    for pfn in reversed(pages):
        assert pcp_take(lists.seg, OTHER, lists.pcp, MIGRATE_UNMOVABLE) == pfn
        assert (page_state(lists.seg, pfn), page_owner(lists.seg, pfn)) == (PG_TAKEN, OTHER)
    assert lists.count == before
    assert fault_of(lists.seg)[0] == 0


def test_lists_of_types_are_apart_and_count_is_their_sum(lists):
    pages = [lists.get() for _ in range(8)]  # two whole batches: nothing is left on the list
    assert lists.count == 0
    for pfn, kind in zip(pages, (0, 1, 1, 2, 2, 2, 0, 1), strict=True):
        lists.put(pfn, kind)
    assert lists.count == 8
    assert lists.depths() == [2, 3, 3]
    assert lists.take(2) == pages[5]


@pytest.mark.parametrize("state", [PG_PCP, PG_BUDDY])
def test_putting_a_page_that_nobody_holds_faults_and_lists_nothing(lists, state):
    pfn = lists.get()
    if state == PG_PCP:
        lists.put(pfn)
    else:
        pfn = next(iter(free_blocks(lists.seg)))
    before = lists.count
    lists.put(pfn)
    assert fault_of(lists.seg) == (F_PAGE_STATE, pfn, state, PG_TAKEN)
    assert lists.count == before


def test_lists_of_cpus_are_apart(lists):
    lists.get()
    assert [pcp_count(lists.seg, pcp_of(lists.seg, 0, cpu)) for cpu in range(3)] == [3, 0, 0]


# --- refill and drain ------------------------------------------------------------------------------------


def test_a_miss_brings_one_batch_under_one_hold_and_hits_bring_nothing(lists):
    free, holds = lists.nr_free, lists.holds
    pages = {lists.get() for _ in range(4)}
    assert len(pages) == 4 and NO_PAGE not in pages
    assert (lists.nr_free, lists.holds, lists.count) == (free - 4, holds + 1, 0)
    assert counter(lists.seg, ME, VM.pcp_refill_pages) == 4
    lists.get()
    assert (lists.nr_free, lists.holds, lists.count) == (free - 8, holds + 2, 3)


def test_pages_on_lists_are_not_free_pages(lists):
    lists.get()
    managed = zone_word(lists.seg, "managed")
    assert ledger(lists.seg) == {"buddy": managed - 4, "pcp": 3, "taken": 1}
    assert sum(1 << order for order, _ in free_blocks(lists.seg).values()) == lists.nr_free == managed - 4


def test_a_zone_with_less_than_a_batch_gives_what_it_has_then_nothing(lists):
    managed = zone_word(lists.seg, "managed")
    set_zone(lists.seg, batch=2000)
    assert lists.get() != NO_PAGE
    assert (lists.count, lists.nr_free) == (1999, managed - 2000)
    taken = 1
    while lists.get() != NO_PAGE:
        taken += 1
    assert taken == managed
    assert (lists.count, lists.nr_free) == (0, 0)
    assert lists.get(MIGRATE_MOVABLE) == NO_PAGE
    assert fault_of(lists.seg)[0] == 0


def test_a_drain_takes_from_the_fullest_list_under_one_hold(lists):
    pages = [lists.get() for _ in range(12)]
    for pfn, kind in zip(pages, [0] * 2 + [1] * 7 + [2] * 3, strict=True):
        lists.put(pfn, kind)
    free, holds = lists.nr_free, lists.holds
    assert lists.drain(4) == 4
    assert lists.depths() == [2, 3, 3]
    assert (lists.nr_free, lists.holds) == (free + 4, holds + 1)
    assert counter(lists.seg, ME, VM.pcp_drain_pages) == 4
    assert lists.drain(100) == 8
    assert lists.count == 0


def test_draining_an_empty_list_takes_no_lock(lists):
    assert (lists.drain(10), lists.holds) == (0, 0)
    assert counter(lists.seg, ME, VM.pcp_drain_pages) == 0


def test_what_was_refilled_and_drained_is_as_it_was(lists):
    before = free_blocks(lists.seg)
    for kind in range(2):
        lists.put(lists.get(kind), kind)
    lists.drain(100)
    assert free_blocks(lists.seg) == before
    assert ledger(lists.seg) == {"buddy": zone_word(lists.seg, "managed")}


def test_a_page_goes_to_the_list_of_its_pageblock_whoever_asked_for_it(lists):
    """The lock-less pop puts unmovable users into movable blocks; a free brings the page back where it belongs."""
    pfn = lists.get(MIGRATE_MOVABLE)
    assert pageblock_type(lists.seg, pfn) == MIGRATE_MOVABLE
    lists.drain(100)
    lists.free(pfn)
    assert lists.depths() == [0, 1, 0]


@pytest.mark.parametrize("kind, listed", [(MIGRATE_RECLAIMABLE, 2), (MIGRATE_HIGHATOMIC, MIGRATE_MOVABLE)])
def test_a_type_without_a_list_goes_to_the_movable_one(lists, kind, listed):
    pfn = lists.get()
    lists.drain(100)
    set_pageblock_type(lists.seg, pfn, kind)
    lists.free(pfn)
    assert lists.take(listed) == pfn


def test_no_hold_moves_more_than_the_scratch_words_take():
    """However large a batch the user asks for: the words behind a process's scratch are another's."""
    lists = Lists('memory.pcp_rule="v5.9"', "memory.pcp_batch=2016", "memory.managed_pages=8192")
    set_zone(lists.seg, batch=4096, high_min=6 * 4096, high_max=6 * 4096)  # beyond what a scenario may ask for
    behind = scratch_of(lists.seg, ME) + SCRATCH_WORDS
    assert behind == scratch_of(lists.seg, OTHER)
    lists.put(lists.get())
    assert lists.count == BATCH_LIMIT
    lists.put(lists.get(MIGRATE_MOVABLE), MIGRATE_MOVABLE)
    assert lists.count == 2 * BATCH_LIMIT
    assert lists.drain(10_000) == BATCH_LIMIT
    assert [lists.seg[behind + i] for i in range(SCRATCH_WORDS)] == [0] * SCRATCH_WORDS
    assert fault_of(lists.seg)[0] == 0


# --- how high a list may grow: v5.9 ----------------------------------------------------------------------


def test_fixed_high_is_kept_by_giving_back_one_batch_each_time(lists):
    pages = [lists.get() for _ in range(40)]
    holds = lists.holds
    counts = []
    for pfn in pages:
        lists.free(pfn)
        counts.append(lists.count)
    assert max(counts) == 23
    assert counts[:24] == [*range(1, 24), 20]  # the 24th reaches `high`, and takes a batch of 4 away
    assert lists.holds == holds + 5
    assert lists.word("high") == 24
    assert lists.word("free_count") == lists.word("alloc_factor") == 0


def test_fixed_high_does_not_decay(lists):
    lists.get()
    assert pcp_decay(lists.seg, ME, lists.zone, lists.pcp) == 0
    assert (lists.word("high"), lists.count) == (24, 3)


# --- how high a list may grow: v6.7 ----------------------------------------------------------------------


@pytest.fixture
def tuned():
    lists = Lists('memory.pcp_rule="v6.7"', "memory.pcp_batch=4")
    set_zone(lists.seg, high_min=16, high_max=64)
    lists.set(high=16)
    assert zone_word(lists.seg, "auto_high") == 1
    return lists


def misses(lists, n):
    """Pages brought by each of n misses in a row, all taken and none given back."""
    brought = []
    for _ in range(n):
        before = lists.nr_free
        lists.get()
        brought.append(before - lists.nr_free)
        while lists.count:
            lists.take()
    return brought


def test_misses_in_a_row_double_what_they_bring_and_raise_high(tuned):
    steps = []
    for _ in range(6):
        brought = misses(tuned, 1)[0]
        steps.append((brought, tuned.word("high"), tuned.word("alloc_factor")))
    # 64 would not fit below high (64 - 0 - 4), so from then on what fits is brought and the factor rests
    assert steps == [(4, 20, 1), (8, 28, 2), (16, 44, 3), (32, 64, 4), (60, 64, 4), (60, 64, 4)]


def test_the_factor_stops_at_its_limit(tuned):
    set_zone(tuned.seg, high_max=2000)
    tuned.set(high=1000)
    assert misses(tuned, 7) == [4, 8, 16, 32, 64, 128, 128]
    assert tuned.word("alloc_factor") == PCP_BATCH_SCALE_MAX


def test_each_free_halves_the_factor_and_counts_up_to_the_limit(tuned):
    tuned.set(high=64, alloc_factor=5)
    pages = [tuned.get() for _ in range(60)]
    tuned.set(alloc_factor=5, free_count=126)
    factors = []
    for pfn in pages[:3]:
        tuned.free(pfn)
        factors.append((tuned.word("alloc_factor"), tuned.word("free_count")))
    assert factors == [(2, 127), (1, 128), (0, 128)]


def test_each_allocation_halves_the_count_of_frees(tuned):
    tuned.get()
    tuned.set(free_count=9)
    counts = []
    for _ in range(4):
        tuned.get()
        counts.append(tuned.word("free_count"))
    assert counts == [4, 2, 1, 0]


@pytest.mark.parametrize("freed_before, drained", [(0, 4), (3, 4), (9, 10), (40, 12), (127, 12)])
def test_over_high_as_many_go_as_were_freed_in_a_row_but_a_batch_stays(tuned, freed_before, drained):
    set_zone(tuned.seg, high_max=16)
    pages = []
    while len(pages) < 16:
        pages.append(tuned.get())
    while tuned.count:
        tuned.take()
    for pfn in pages[:15]:
        tuned.put(pfn)
    tuned.set(high=16, free_count=freed_before)
    tuned.free(pages[15])
    assert tuned.count == 16 - drained


def test_decay_lowers_high_by_an_eighth_down_to_its_floor_and_drains_the_excess(tuned):
    tuned.set(high=64)
    for pfn in [tuned.get() for _ in range(60)]:
        tuned.put(pfn)
    highs, counts = [], []
    for _ in range(20):
        count = tuned.count
        drained = pcp_decay(tuned.seg, ME, tuned.zone, tuned.pcp)
        assert tuned.count == count - drained
        highs.append(tuned.word("high"))
        counts.append(tuned.count)
    assert highs[:6] == [56, 49, 43, 38, 34, 30]
    assert highs[-1] == 16
    assert all(count <= high for count, high in zip(counts, highs, strict=True))
    assert fault_of(tuned.seg)[0] == 0


def test_one_decay_drains_a_limited_number(tuned):
    set_zone(tuned.seg, batch=1)
    tuned.set(high=1000)
    pages = [tuned.get() for _ in range(50)]
    for pfn in pages:
        tuned.put(pfn)
    tuned.set(high=16)
    count = tuned.count
    assert count >= 50
    assert pcp_decay(tuned.seg, ME, tuned.zone, tuned.pcp) == 32  # batch << 5
    assert tuned.count == count - 32


# --- any order of all of it ------------------------------------------------------------------------------


@given(
    rule=st.sampled_from(["v5.9", "v6.7"]),
    steps=st.lists(st.tuples(st.sampled_from("ggffpdx"), st.integers(0, 2**16)), max_size=60),
)
def test_every_page_is_in_one_place_after_any_steps(rule, steps):
    lists = Lists(f'memory.pcp_rule="{rule}"', "memory.pcp_batch=4")
    held = []
    for step, pick in steps:
        if step == "g":
            held.append(lists.get(pick % 3))
        elif step == "f" and held:
            lists.free(held.pop(pick % len(held)))
        elif step == "p" and (pfn := lists.take(pick % 3)) != NO_PAGE:
            held.append(pfn)
        elif step == "d":
            lists.drain(pick % 16)
        elif step == "x":
            pcp_decay(lists.seg, ME, lists.zone, lists.pcp)
    assert len(set(held)) == len(held)
    expected = {"buddy": lists.nr_free, "pcp": lists.count, "taken": len(held)}
    assert ledger(lists.seg) == {name: pages for name, pages in expected.items() if pages}  # adds up to all
    assert sum(1 << order for order, _ in free_blocks(lists.seg).values()) == lists.nr_free
    assert sum(lists.depths()) == lists.count
    assert fault_of(lists.seg)[0] == 0
