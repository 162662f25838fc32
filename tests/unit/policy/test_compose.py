"""A composition at work: sources in order, the way of a page back, windows of either kind of call."""

import pytest

from emu.mm import PG_BNODE, page_state
from emu.policy import (
    GOT_NOTHING,
    POLICY,
    STOCK,
    cache_put,
    drop_page,
    page_fetched,
    policy_of,
    put_page,
    stock_of,
    take_page,
    take_sleeping,
)
from emu.policy.sources import static_ring
from emu.ring import mpmc_count
from tests.crew import Crew

DIRECT_IS_NEXT = -2  # source number 1 of ("cache", "direct") wants the lock dropped


def stock(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[stock_of(crew.seg, cpu) + getattr(STOCK, name)]


def take(crew: Crew, cpu: int = 0, one_arg: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), one_arg, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def test_sources_are_asked_in_the_order_that_is_written():
    crew = Crew("policy.sources=['static', 'cache', 'nowait']", "policy.pool.pages_per_cpu=2", "kvfree.boot_fill=true",
                "kvfree.min_cached_objs=1")
    assert all(take(crew) > 0 for _ in range(4))
    names = ("static_hit", "static_miss", "krc_cache_hit", "krc_cache_miss", "direct_alloc_hit")
    assert [crew.counter(name) for name in names] == [2, 2, 1, 1, 1]
    turned = Crew("policy.sources=['nowait', 'static']", "policy.pool.pages_per_cpu=2")
    assert take(turned) > 0
    assert (turned.counter("direct_alloc_hit"), turned.counter("static_hit")) == (1, 0)


def test_one_argument_calls_have_sources_of_their_own():
    crew = Crew("run.epoch=E612")
    assert take(crew) == GOT_NOTHING
    assert take(crew, one_arg=1) == DIRECT_IS_NEXT
    assert crew.counter("kvfree_page_miss") == 1  # the direct request decides about the other


def test_an_empty_composition_gives_nothing_and_opens_the_window():
    crew = Crew("policy.preset=S19")
    assert [take(crew), take(crew, one_arg=1)] == [GOT_NOTHING, GOT_NOTHING]
    assert (stock(crew, "misses"), stock(crew, "hits")) == (2, 0)
    assert stock(crew, "window_start") == pytest.approx(crew.now, abs=20)


def test_a_page_taken_is_a_bnode_of_that_cpu_and_counts_as_held():
    crew = Crew("policy.preset=S8")
    pages = [take(crew, cpu) for cpu in (0, 1, 1)]
    assert {page_state(crew.seg, page) for page in pages} == {PG_BNODE}
    assert [stock(crew, "held", cpu) for cpu in (0, 1)] == [1, 2]
    assert crew.seg[policy_of(crew.seg) + POLICY.held_all] == 3


def test_an_empty_bnode_goes_to_the_cache_until_that_is_full():
    crew = Crew("run.epoch=E612", "policy.sources=['cache', 'nowait']", "kvfree.min_cached_objs=2")
    pages = [take(crew) for _ in range(3)]
    assert [put(crew, page) for page in pages] == [1, 1, 0]
    assert (stock(crew, "nr_cached"), stock(crew, "held")) == (2, 2)
    assert (crew.counter("krc_cache_put"), crew.counter("bnode_free"), crew.counter("pgfree")) == (2, 3, 1)
    assert crew.fault == 0


def test_a_dropped_page_goes_past_the_cache():
    crew = Crew("run.epoch=E612", "policy.sources=['cache', 'nowait']")
    page = take(crew)
    assert drop_page(crew.seg, crew.reclaim(0), crew.pcp_cpu(crew.reclaim(0)), 0, stock_of(crew.seg, 0), page) == 0
    assert (stock(crew, "nr_cached"), stock(crew, "held"), crew.counter("pgfree")) == (0, 0, 1)


@pytest.mark.parametrize("back", [put_page, drop_page])
def test_a_reserve_page_goes_back_to_its_reserve(back):
    crew = Crew("policy.sources=['static', 'cache']", "policy.pool.pages_per_cpu=3")
    page = take(crew)
    assert stock(crew, "static_out") == 1
    assert back(crew.seg, crew.reclaim(0), 0, 0, stock_of(crew.seg, 0), page) == 1
    assert (stock(crew, "static_out"), stock(crew, "held"), stock(crew, "nr_cached")) == (0, 0, 0)
    assert mpmc_count(crew.seg, static_ring(crew.seg, 0)) == 3


def test_a_one_argument_caller_s_own_page_closes_the_window():
    crew = Crew("run.epoch=E61")
    take(crew)
    crew.advance(7000)
    assert take(crew, one_arg=1) == DIRECT_IS_NEXT
    assert take_sleeping(crew.seg, 0, 0) > 0
    page_fetched(crew.seg, 0, stock_of(crew.seg, 0))
    assert (stock(crew, "windows"), stock(crew, "held"), stock(crew, "hits")) == (1, 1, 1)
    assert stock(crew, "window_ns") == pytest.approx(7000, abs=20)


def test_a_one_argument_caller_s_own_failure_opens_it():
    crew = Crew("run.epoch=E61")
    crew.leave_free(0)
    assert take(crew, one_arg=1) == DIRECT_IS_NEXT
    assert take_sleeping(crew.seg, 0, 0) == GOT_NOTHING
    assert take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), 1, 2) == GOT_NOTHING
    assert (stock(crew, "misses"), crew.counter("kvfree_page_miss"), crew.counter("direct_alloc_miss")) == (1, 1, 1)
    assert stock(crew, "window_start") != 0


def test_held_pages_are_integrated_over_the_time_they_are_held():
    crew = Crew("policy.preset=S8")
    first = take(crew)
    crew.advance(1000)
    second = take(crew)
    crew.advance(500)
    put(crew, first)
    crew.advance(250)
    put(crew, second)
    assert stock(crew, "held_ns") == pytest.approx(1000 + 2 * 500 + 2 * 250, abs=20)  # the cache keeps both
    assert stock(crew, "cache_ns") == pytest.approx(250, abs=20)


def test_a_cache_that_a_cpu_was_given_at_boot_counts_as_held():
    crew = Crew("run.epoch=E59")
    assert [stock(crew, "nr_cached", cpu) for cpu in (0, 1)] == [2, 2]
    assert crew.seg[policy_of(crew.seg) + POLICY.held_all] == 4
    assert cache_put(crew.seg, 0, 0, stock_of(crew.seg, 0), take(crew), PG_BNODE) == 1
    assert crew.broken() == []
