"""The stock: a bounded last-in first-out cache, windows that are opened once, and integrals that are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.mm import GFP_KERNEL, MIGRATE_UNMOVABLE, NO_PAGE, PG_BNODE, PG_TAKEN, alloc_page, page_move, page_state
from emu.policy import POLICY, STOCK, cache_put, held_add, policy_of, stock_of
from emu.policy.refill import window_close
from emu.policy.stock import cache_get, stock_settle, window_open
from emu.shm import F_PAGE_STATE
from tests.crew import Crew


@pytest.fixture
def crew() -> Crew:
    return Crew("kvfree.min_cached_objs=3")


def fresh_page(crew: Crew) -> int:
    return alloc_page(crew.seg, 0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE)


def stock(crew: Crew, cpu: int, name: str) -> int:
    return crew.seg[stock_of(crew.seg, cpu) + getattr(STOCK, name)]


def test_the_cache_gives_the_last_page_first_and_holds_no_more_than_its_limit(crew):
    words = stock_of(crew.seg, 0)
    pages = [fresh_page(crew) for _ in range(4)]
    assert [cache_put(crew.seg, 0, 0, words, page, PG_TAKEN) for page in pages] == [1, 1, 1, 0]
    assert page_state(crew.seg, pages[3]) == PG_TAKEN
    assert [cache_get(crew.seg, 0, 0, words) for _ in range(4)] == [pages[2], pages[1], pages[0], NO_PAGE]
    assert stock(crew, 0, "nr_cached") == 0
    assert {page_state(crew.seg, page) for page in pages[:3]} == {PG_BNODE}


def test_the_caches_of_two_cpus_are_apart(crew):
    page = fresh_page(crew)
    cache_put(crew.seg, 0, 0, stock_of(crew.seg, 0), page, PG_TAKEN)
    assert cache_get(crew.seg, 1, 1, stock_of(crew.seg, 1)) == NO_PAGE
    assert cache_get(crew.seg, 0, 0, stock_of(crew.seg, 0)) == page


def test_a_page_that_is_not_what_the_caller_believes_is_refused(crew):
    page = fresh_page(crew)
    assert cache_put(crew.seg, 0, 0, stock_of(crew.seg, 0), page, PG_BNODE) == 0
    assert crew.fault == F_PAGE_STATE
    assert stock(crew, 0, "nr_cached") == 0


@given(st.lists(st.sampled_from(["put", "get"]), max_size=60))
def test_the_cache_is_a_bounded_stack(operations):
    crew = CREW
    words, mine, model = stock_of(crew.seg, 1), [fresh_page(crew) for _ in range(5)], []
    for operation in operations:
        if operation == "put" and mine:
            done = cache_put(crew.seg, 1, 1, words, mine[-1], PG_TAKEN)
            assert done == (len(model) < 3)
            if done:
                model.append(mine.pop())
        else:
            page = cache_get(crew.seg, 1, 1, words)
            assert page == (model.pop() if model else NO_PAGE)
            if page != NO_PAGE:
                page_move(crew.seg, 1, page, PG_BNODE, PG_TAKEN, 1)
                mine.append(page)
        assert crew.seg[words + STOCK.nr_cached] == len(model) <= 3
    while (page := cache_get(crew.seg, 1, 1, words)) != NO_PAGE:
        page_move(crew.seg, 1, page, PG_BNODE, PG_TAKEN, 1)
    assert crew.fault == 0


CREW = Crew("kvfree.min_cached_objs=3", "memory.managed_pages=4096")


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(-3, 5)), max_size=30))
def test_the_footprint_is_the_exact_integral_of_what_was_held(changes):
    crew = CREW
    words, policy = stock_of(crew.seg, 0), policy_of(crew.seg)
    for name in ("held", "held_ns", "held_peak"):
        crew.seg[words + getattr(STOCK, name)] = 0
    crew.seg[policy + POLICY.held_all] = 0
    now, held, integral, peak = crew.now, 0, 0, 0
    crew.seg[words + STOCK.stamp] = now
    for span, pages in changes:
        now += span
        integral += span * held
        stock_settle(crew.seg, words, now)
        pages = max(pages, -held)
        held_add(crew.seg, words, pages)
        held += pages
        peak = max(peak, held)
        assert stock(crew, 0, "held_ns") == integral
    assert (stock(crew, 0, "held"), stock(crew, 0, "held_peak")) == (held, peak)
    assert crew.seg[policy + POLICY.held_all] == held


def test_cached_and_reserve_pages_have_integrals_of_their_own():
    crew = Crew("policy.sources=['cache', 'static']", "policy.pool.pages_per_cpu=4")
    words, now = stock_of(crew.seg, 0), crew.now
    crew.seg[words + STOCK.stamp] = now
    crew.seg[words + STOCK.nr_cached] = 2
    stock_settle(crew.seg, words, now + 1000)
    crew.seg[words + STOCK.nr_cached] = 0
    crew.seg[words + STOCK.static_out] = 3
    stock_settle(crew.seg, words, now + 1500)
    assert (stock(crew, 0, "cache_ns"), stock(crew, 0, "static_ns")) == (2000, 4 * 1000 + 1 * 500)


def test_the_peak_over_all_cpus_is_no_sum_of_peaks(crew):
    first, second = stock_of(crew.seg, 0), stock_of(crew.seg, 1)
    held_add(crew.seg, first, 5)
    held_add(crew.seg, first, -5)
    held_add(crew.seg, second, 4)
    assert (stock(crew, 0, "held_peak"), stock(crew, 1, "held_peak")) == (5, 4)
    assert crew.seg[policy_of(crew.seg) + POLICY.held_peak] == 5


def test_a_window_lasts_from_its_first_miss_to_the_next_hit(crew):
    words, start = stock_of(crew.seg, 0), crew.now
    for after in (0, 40, 70):
        window_open(crew.seg, words, start + after)
        crew.seg[words + STOCK.window_objects] += 1
    window_close(crew.seg, 0, words, start + 100)
    window_open(crew.seg, words, start + 500)
    crew.seg[words + STOCK.window_objects] += 1
    window_close(crew.seg, 0, words, start + 507)
    assert (stock(crew, 0, "windows"), stock(crew, 0, "window_ns"), stock(crew, 0, "misses")) == (2, 107, 4)
    assert stock(crew, 0, "window_start") == 0
    lengths, objects = crew.histogram("fallback_window_ns"), crew.histogram("fallback_window_objects")
    assert (lengths.count, lengths.sum, lengths.min, lengths.max) == (2, 107, 7, 100)
    assert (objects.count, objects.sum, objects.max) == (2, 4, 3)
