"""Free blocks never overlap, never get lost, and grow together again; the model is a set of pages in Python."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from emu.mm import (
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    OWNER_SHIFT,
    PAGE,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_LRU,
    PG_TAKEN,
    ZONE,
    count_free_blocks,
    page_of,
    page_owner,
    page_state,
    rmqueue,
    scratch_of,
    zone_of,
)
from emu.mm.buddy import free_by_block_type, rmqueue_run, set_pageblock_type
from emu.mm.page import MIGRATE_RECLAIMABLE, pageblock_type
from emu.shm import F_LIST_BROKEN, F_PAGE_STATE, HEADER
from emu.stats import VM, counter
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, free_blocks, free_list, zone_word

ME = 1
PAGEBLOCK = 1 << PAGEBLOCK_ORDER
# Whom a type steals from, in order.
FALLBACKS = {0: (2, 1), 1: (2, 0), 2: (0, 1)}


def take(seg, order, kind, me=ME):
    return rmqueue(seg, me, zone_of(seg, 0), order, kind)


def give(seg, pfn, order, me=ME):
    free_by_block_type(seg, me, zone_of(seg, 0), pfn, order)


def merged(seg):
    """The blocks of a wholly free zone: two pageblocks side by side are one block if they are of one type."""
    blocks = {}
    for pfn in range(zone_word(seg, "start_pfn"), zone_word(seg, "end_pfn"), 2 * PAGEBLOCK):
        kinds = pageblock_type(seg, pfn), pageblock_type(seg, pfn + PAGEBLOCK)
        if kinds[0] == kinds[1]:
            blocks[pfn] = (MAX_ORDER, kinds[0])
        else:
            blocks[pfn], blocks[pfn + PAGEBLOCK] = (PAGEBLOCK_ORDER, kinds[0]), (PAGEBLOCK_ORDER, kinds[1])
    return blocks


class BuddyMachine(RuleBasedStateMachine):
    """Blocks of random order and type are taken and given back; which block, and what it does to types, is foretold."""

    def __init__(self):
        super().__init__()
        self.seg = small_machine().seg
        self.held = []

    def foretell(self, order, kind):
        """(page, pageblocks that change their type): what the rules give for this request; (NO_PAGE, ()) if nothing."""
        for k in range(order, MAX_ORDER + 1):
            if own := free_list(self.seg, k, kind):
                return own[0], ()
        lowest = max(order, PAGEBLOCK_ORDER // 2) if kind == MIGRATE_MOVABLE else order
        for k in range(MAX_ORDER, lowest - 1, -1):
            for other in FALLBACKS[kind]:
                if stolen := free_list(self.seg, k, other):
                    return self.foretell_steal(stolen[0], k, order, kind, other)
        for k in range(order, lowest):
            for other in FALLBACKS[kind]:
                if stolen := free_list(self.seg, k, other):
                    return stolen[0], ()
        return NO_PAGE, ()

    def foretell_steal(self, pfn, k, order, kind, other):
        if k >= PAGEBLOCK_ORDER:
            return pfn, tuple(range(pfn, pfn + (1 << k), PAGEBLOCK))
        # All free blocks of the pageblock move, in order of address, each to the head of its list.
        start = pfn // PAGEBLOCK * PAGEBLOCK
        inside = {at: size for at, (size, _) in free_blocks(self.seg).items() if start <= at < start + PAGEBLOCK}
        size = min(size for size in inside.values() if size >= order)
        page = max(at for at in inside if inside[at] == size)
        alike = other == MIGRATE_MOVABLE  # nobody here can be moved, so all that is in use is of our kind
        half = alike or sum(1 << each for each in inside.values()) >= PAGEBLOCK // 2
        return page, (start,) if half else ()

    @rule(order=st.one_of(st.integers(0, 3), st.integers(0, MAX_ORDER)), kind=st.sampled_from([0, 1, 2]))
    def allocate(self, order, kind):
        start, end = zone_word(self.seg, "start_pfn"), zone_word(self.seg, "end_pfn")
        expected, changed = self.foretell(order, kind)
        types = {pfn: pageblock_type(self.seg, pfn) for pfn in range(start, end, PAGEBLOCK)}
        extfrag = counter(self.seg, ME, VM.mm_page_alloc_extfrag)
        stolen = expected != NO_PAGE and not any(free_list(self.seg, k, kind) for k in range(order, MAX_ORDER + 1))
        free = zone_word(self.seg, "nr_free")
        pfn = take(self.seg, order, kind)
        assert pfn == expected
        assert counter(self.seg, ME, VM.mm_page_alloc_extfrag) - extfrag == stolen
        assert zone_word(self.seg, "nr_free") == free - (1 << order if pfn else 0)
        for block, was in types.items():
            assert pageblock_type(self.seg, block) == (kind if block in changed else was)
        if pfn != NO_PAGE:
            assert self.seg[page_of(self.seg, pfn)] == PG_TAKEN | order << 8 | ME << OWNER_SHIFT
            self.held.append((pfn, order))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 2**16))
    def free(self, pick):
        pfn, order = self.held.pop(pick % len(self.held))
        free = zone_word(self.seg, "nr_free")
        give(self.seg, pfn, order)
        assert zone_word(self.seg, "nr_free") == free + (1 << order)

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 2**16))
    def free_in_single_pages(self, pick):
        """A block split by its holder and given back page by page, in any order, merges as well."""
        pfn, order = self.held.pop(pick % len(self.held))
        pages = list(range(pfn, pfn + min(1 << order, 64)))
        rest = [(pfn + (1 << k), k) for k in range(6, order)]
        for first, k in [(page, 0) for page in pages] + rest:  # each piece is a block now, and says so
            self.seg[page_of(self.seg, first)] = PG_TAKEN | k << 8 | ME << OWNER_SHIFT
        self.held += rest
        random.Random(pick).shuffle(pages)
        for page in pages:
            give(self.seg, page, 0)

    @invariant()
    def every_page_is_free_or_held_and_never_both(self):
        free = {page for pfn, (order, _) in free_blocks(self.seg).items() for page in range(pfn, pfn + (1 << order))}
        held = {page for pfn, order in self.held for page in range(pfn, pfn + (1 << order))}
        assert not free & held
        assert len(free) + len(held) == zone_word(self.seg, "managed")
        assert count_free_blocks(self.seg) == zone_word(self.seg, "nr_free") == len(free)
        assert zone_word(self.seg, "nr_free_min") <= len(free)
        assert fault_of(self.seg)[0] == 0

    def teardown(self):
        for pfn, order in self.held:
            give(self.seg, pfn, order)
        assert free_blocks(self.seg) == merged(self.seg)


def test_blocks_never_overlap_and_grow_together_again():
    run_state_machine_as_test(BuddyMachine, settings=settings(stateful_step_count=40))


@pytest.mark.parametrize("seed", range(3))
def test_a_zone_taken_page_by_page_comes_back_whole(seed):
    seg = small_machine().seg
    before = free_blocks(seg)
    dice = random.Random(seed)
    pages = []
    while (pfn := take(seg, 0, dice.choice((0, 1)))) != NO_PAGE:
        pages.append(pfn)
    assert len(set(pages)) == zone_word(seg, "managed")
    assert free_blocks(seg) == {}
    assert zone_word(seg, "nr_free") == zone_word(seg, "nr_free_min") == 0
    dice.shuffle(pages)
    for pfn in pages:
        give(seg, pfn, 0)
    assert free_blocks(seg) == merged(seg)
    assert sum(1 << order for order, _ in before.values()) == len(pages)


def test_the_smallest_block_that_does_is_split_and_the_rest_stays_free():
    seg = small_machine().seg
    first = take(seg, 0, MIGRATE_UNMOVABLE)
    assert [free_list(seg, order, MIGRATE_UNMOVABLE) for order in range(PAGEBLOCK_ORDER)] == \
           [[first + (1 << order)] for order in range(PAGEBLOCK_ORDER)]
    assert take(seg, 0, MIGRATE_UNMOVABLE) == first + 1
    assert take(seg, 2, MIGRATE_UNMOVABLE) == first + 4
    assert free_list(seg, 1, MIGRATE_UNMOVABLE) == [first + 2]


def test_a_block_never_merges_with_one_of_another_type_above_a_pageblock():
    seg = small_machine().seg
    start = zone_word(seg, "start_pfn")
    assert [pageblock_type(seg, start + PAGEBLOCK * i) for i in range(4)] == [0, 1, 1, 1]
    pfn = take(seg, PAGEBLOCK_ORDER, MIGRATE_UNMOVABLE)
    give(seg, pfn, PAGEBLOCK_ORDER)
    assert free_blocks(seg)[start] == (PAGEBLOCK_ORDER, MIGRATE_UNMOVABLE)
    pfn = take(seg, PAGEBLOCK_ORDER, MIGRATE_UNMOVABLE)
    set_pageblock_type(seg, pfn, MIGRATE_MOVABLE)
    give(seg, pfn, PAGEBLOCK_ORDER)
    assert free_blocks(seg)[start] == (MAX_ORDER, MIGRATE_MOVABLE)


def test_blocks_of_two_types_inside_one_pageblock_do_merge():
    seg = small_machine().seg
    pfn = take(seg, 0, MIGRATE_UNMOVABLE)  # its buddies are now free, of type UNMOVABLE
    set_pageblock_type(seg, pfn, MIGRATE_RECLAIMABLE)
    give(seg, pfn, 0)
    assert free_blocks(seg)[pfn] == (PAGEBLOCK_ORDER, MIGRATE_RECLAIMABLE)
    assert len(free_blocks(seg)) == 3


@pytest.mark.parametrize("kind, users, changes", [
    (MIGRATE_UNMOVABLE, PG_TAKEN, True),  # none of those that live there can be moved: they are alike
    (MIGRATE_UNMOVABLE, PG_LRU, False),
    (MIGRATE_MOVABLE, PG_LRU, True),
    (MIGRATE_MOVABLE, PG_TAKEN, False),
])
def test_users_of_a_like_kind_count_as_if_they_were_free(kind, users, changes):
    seg = small_machine().seg
    for order, each in ((9, 0), (9, 1), (10, 1)):
        take(seg, order, each)
    was = MIGRATE_MOVABLE if kind == MIGRATE_UNMOVABLE else MIGRATE_UNMOVABLE
    block = zone_word(seg, "end_pfn") - 2 * PAGEBLOCK
    set_pageblock_type(seg, block, was)
    for page in range(block, block + PAGEBLOCK):
        seg[page_of(seg, page)] = users
    for page in range(block, block + 64):
        seg[page_of(seg, page)] = PG_TAKEN
        give(seg, page, 0)
    assert block <= take(seg, 0, kind) < block + 64
    assert pageblock_type(seg, block) == (kind if changes else was)


def test_a_movable_request_takes_the_smallest_block_rather_than_claim_a_small_one():
    seg = small_machine().seg
    for order, each in ((9, 0), (9, 1), (10, 1)):
        take(seg, order, each)
    block = zone_word(seg, "end_pfn") - 2 * PAGEBLOCK
    set_pageblock_type(seg, block, MIGRATE_UNMOVABLE)
    for page, order in ((block, 3), (block + 16, 1)):
        seg[page_of(seg, page)] = PG_TAKEN
        give(seg, page, order)
    assert take(seg, 0, MIGRATE_MOVABLE) == block + 16
    assert pageblock_type(seg, block) == MIGRATE_UNMOVABLE
    assert free_blocks(seg) == {block: (3, MIGRATE_UNMOVABLE), block + 17: (0, MIGRATE_UNMOVABLE)}


@pytest.mark.parametrize("free, changes", [(PAGEBLOCK // 2, True), (PAGEBLOCK // 2 - 1, False)])
def test_a_stolen_pageblock_changes_its_type_when_half_of_it_is_free(free, changes):
    seg = small_machine().seg
    for order, kind in ((9, 0), (9, 1), (10, 1)):
        take(seg, order, kind)
    block = zone_word(seg, "end_pfn") - 2 * PAGEBLOCK
    assert free_blocks(seg) == {}
    for page in range(block, block + free):
        seg[page_of(seg, page)] = PG_TAKEN
    for page in range(block + free, block + 2 * PAGEBLOCK):
        seg[page_of(seg, page)] = PG_LRU
    for page in range(block, block + free):
        give(seg, page, 0)
    pfn = take(seg, 0, MIGRATE_UNMOVABLE)
    assert block <= pfn < block + free
    assert pageblock_type(seg, pfn) == (MIGRATE_UNMOVABLE if changes else MIGRATE_MOVABLE)
    # either way all that was free there serves the thief from now on
    assert {kind for _, kind in free_blocks(seg).values()} == {MIGRATE_UNMOVABLE}
    assert zone_word(seg, "nr_free") == free - 1


def test_changing_a_pageblocks_type_leaves_its_zone_and_its_neighbours_alone():
    seg = small_machine().seg
    start = zone_word(seg, "start_pfn")
    set_pageblock_type(seg, start + PAGEBLOCK, MIGRATE_RECLAIMABLE)
    assert [pageblock_type(seg, start + PAGEBLOCK * i) for i in range(4)] == [0, 2, 1, 1]


def fragmented(steps):
    """A machine whose lists were stirred by these (order, type, keep) steps."""
    seg = small_machine().seg
    given_back = []
    for order, kind, keep in steps:
        pfn = take(seg, order, kind)
        if pfn != NO_PAGE and not keep:
            given_back.append((pfn, order))
    for pfn, order in given_back:
        give(seg, pfn, order)
    return seg


def take_in_runs(seg, kind, want):
    """Pages as a refill takes them: as many as fit from one block at a time."""
    dst, got = scratch_of(seg, ME), 0
    while got < want and (taken := rmqueue_run(seg, ME, zone_of(seg, 0), kind, want - got, dst + got)):
        got += taken
    return [seg[dst + i] for i in range(got)]


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 2]), st.booleans()), max_size=30),
    kind=st.sampled_from([0, 1, 2]),
    want=st.one_of(st.integers(1, 64), st.integers(1, 2048)),
)
def test_pages_taken_in_runs_are_those_taken_one_by_one(steps, kind, want):
    one, many = fragmented(steps), fragmented(steps)
    singles = []
    while len(singles) < want and (pfn := take(one, 0, kind)) != NO_PAGE:
        singles.append(pfn)
    assert take_in_runs(many, kind, want) == singles
    assert list(free_blocks(one).items()) == list(free_blocks(many).items())  # in the order of their lists too
    assert zone_word(one, "nr_free") == zone_word(many, "nr_free")
    assert {many[page_of(many, pfn)] for pfn in singles} <= {PG_TAKEN | ME << OWNER_SHIFT}
    assert fault_of(one)[0] == fault_of(many)[0] == 0


# --- misuse and corruption are seen ----------------------------------------------------------------------


def test_freeing_a_free_block_faults_and_adds_nothing():
    seg = small_machine().seg
    pfn = take(seg, 0, MIGRATE_MOVABLE)
    give(seg, pfn, 0)
    before = free_blocks(seg)
    give(seg, pfn, 0)
    assert fault_of(seg) == (F_PAGE_STATE, pfn, PG_BUDDY, PG_TAKEN)
    assert free_blocks(seg) == before


def test_freeing_a_page_that_was_merged_into_a_lower_block_faults_too():
    seg = small_machine().seg
    pair = [take(seg, 0, MIGRATE_MOVABLE) for _ in range(2)]
    assert pair[1] == pair[0] + 1
    for pfn in pair:
        give(seg, pfn, 0)
    assert pair[1] not in free_blocks(seg)  # inside a block that begins below it
    assert page_state(seg, pair[1]) == PG_BUDDY
    before = free_blocks(seg)
    give(seg, pair[1], 0)
    assert fault_of(seg) == (F_PAGE_STATE, pair[1], PG_BUDDY, PG_TAKEN)
    assert free_blocks(seg) == before


@pytest.mark.parametrize("word", [PG_TAKEN | 1 << OWNER_SHIFT, PG_BUDDY | 8 << 8, PG_BUDDY | 9 << 8 | 2 << 16, 0])
def test_a_list_that_leads_to_a_page_that_is_no_such_block_faults_under_verify(word):
    seg = small_machine().seg
    head = zone_of(seg, 0) + ZONE.free_head + PAGEBLOCK_ORDER * 4 + MIGRATE_UNMOVABLE
    pfn = seg[head]
    seg[page_of(seg, pfn)] = word
    free = zone_word(seg, "nr_free")
    take(seg, 0, MIGRATE_UNMOVABLE)
    assert fault_of(seg) == (F_LIST_BROKEN, PAGEBLOCK_ORDER, pfn, word)
    assert zone_word(seg, "nr_free") >= free - 1


def test_a_corrupted_list_head_faults_under_verify():
    seg = small_machine().seg
    held = take(seg, 0, MIGRATE_UNMOVABLE)
    head = zone_of(seg, 0) + ZONE.free_head + 0 * 4 + MIGRATE_UNMOVABLE
    seg[head] = held
    take(seg, 0, MIGRATE_UNMOVABLE)
    assert fault_of(seg) == (F_LIST_BROKEN, 0, held, PG_TAKEN | ME << OWNER_SHIFT)


def test_a_corrupted_list_head_faults_in_a_refill_too():
    seg = small_machine().seg
    held = take(seg, 0, MIGRATE_UNMOVABLE)
    seg[zone_of(seg, 0) + ZONE.free_head + MIGRATE_UNMOVABLE] = held
    assert take_in_runs(seg, MIGRATE_UNMOVABLE, 5) == []
    assert fault_of(seg) == (F_LIST_BROKEN, 0, held, PG_TAKEN | ME << OWNER_SHIFT)


def test_without_verify_the_list_is_believed():
    seg = small_machine().seg
    seg[HEADER.verify] = 0
    held = take(seg, 0, MIGRATE_UNMOVABLE)
    seg[zone_of(seg, 0) + ZONE.free_head + MIGRATE_UNMOVABLE] = held
    assert take(seg, 0, MIGRATE_UNMOVABLE, me=2) == held
    assert page_owner(seg, held) == 2
    assert fault_of(seg)[0] == 0


def test_a_stale_word_inside_an_allocated_block_is_not_taken_for_a_free_buddy():
    seg = small_machine().seg
    pages = sorted(take(seg, 0, MIGRATE_MOVABLE) for _ in range(4))
    for pfn in reversed(pages):
        give(seg, pfn, 0)
    block = take(seg, 2, MIGRATE_MOVABLE)
    assert block == pages[0]
    assert page_state(seg, pages[1]) == page_state(seg, pages[2]) == PG_BUDDY
    beyond = take(seg, 2, MIGRATE_MOVABLE)
    give(seg, beyond, 2)
    free_blocks(seg)
    give(seg, block, 2)
    assert free_blocks(seg) == merged(seg)
    assert seg[page_of(seg, pages[0]) + PAGE.prev] == NO_PAGE
