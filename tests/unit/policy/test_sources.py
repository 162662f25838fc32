"""Page sources: what each may take, what it costs others, and what it leaves alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.mm import (
    GFP_ATOMIC,
    GFP_KERNEL,
    GFP_NOWAIT,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PG_TAKEN,
    ZONE,
    alloc_page,
    free_page,
    zone_of,
)
from emu.policy import GOT_NOTHING, STOCK, put_page, stock_of, take_page
from emu.policy.sources import static_ring
from emu.ring import mpmc_count
from emu.sync import LOCK
from tests.crew import Crew
from tests.unit.mm.memory import mark_for


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def zone_word(crew: Crew, name: str) -> int:
    return crew.seg[zone_of(crew.seg, 0) + getattr(ZONE, name)]


# --- static ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=40))
def test_a_reserve_neither_grows_nor_leaks(operations):
    crew = RESERVE
    out: list[list[int]] = [[], []]
    for cpu, back in operations:
        if back and out[cpu]:
            assert put(crew, out[cpu].pop(0), cpu) == 1
        elif not back:
            page = take(crew, cpu)
            assert (page == GOT_NOTHING) == (len(out[cpu]) == 3)
            if page != GOT_NOTHING:
                out[cpu].append(page)
        assert crew.seg[stock_of(crew.seg, cpu) + STOCK.static_out] == len(out[cpu])
    for cpu in (0, 1):
        for page in out[cpu]:
            put(crew, page, cpu)
        assert mpmc_count(crew.seg, static_ring(crew.seg, cpu)) == 3
    assert crew.fault == 0


RESERVE = Crew("policy.preset=S4", "policy.pool.pages_per_cpu=3")


def test_a_reserve_page_comes_back_to_where_it_was_taken():
    crew = Crew("policy.preset=S4", "policy.pool.pages_per_cpu=2")
    pages = {take(crew) for _ in range(2)}
    assert len(pages) == 2 and take(crew) == GOT_NOTHING
    assert take(crew, cpu=1) not in pages | {GOT_NOTHING}
    for page in pages:
        put(crew, page)
    assert {take(crew) for _ in range(2)} == pages
    assert crew.counter("pgalloc_normal") == 0


# --- lock-less pop -----------------------------------------------------------------------------------------


def fill_pcp(crew: Crew, pages: int, migratetype: int = MIGRATE_UNMOVABLE, cpu: int = 0) -> None:
    """Put pages on a CPU's lists as other users do: take them, then free them."""
    taken = [alloc_page(crew.seg, cpu, cpu, GFP_KERNEL, migratetype) for _ in range(pages)]
    for page in taken:
        free_page(crew.seg, cpu, cpu, page, PG_TAKEN, cpu)


@pytest.mark.parametrize("migratetype", [MIGRATE_UNMOVABLE, MIGRATE_MOVABLE])
def test_the_lockless_pop_takes_any_type_below_every_mark_and_takes_no_lock(migratetype):
    crew = Crew("policy.preset=S1")
    assert take(crew) == GOT_NOTHING  # lists are empty at boot
    fill_pcp(crew, 3, migratetype)
    crew.leave_free(0)
    free, locked = zone_word(crew, "nr_free"), crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired]
    pages = [take(crew) for _ in range(3)]
    assert GOT_NOTHING not in pages and len(set(pages)) == 3
    assert crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired] == locked
    assert zone_word(crew, "nr_free") == free
    assert (crew.counter("pcp_lockless_hit"), crew.counter("pcp_lockless_miss")) == (3, 1)
    assert alloc_page(crew.seg, 0, 0, GFP_NOWAIT, migratetype) == NO_PAGE  # the ordinary way sees the marks
    assert crew.fault == 0


def test_the_lockless_pop_sees_its_own_cpu_s_lists_alone():
    crew = Crew("policy.preset=S1", "memory.pcp_rule='v5.9'", "memory.pcp_batch=1", "memory.pcp_high=50")
    fill_pcp(crew, 4, cpu=1)
    assert take(crew, cpu=0) == GOT_NOTHING
    assert [take(crew, cpu=1) != GOT_NOTHING for _ in range(5)] == [True] * 4 + [False]


def test_the_lockless_pop_does_not_refill_the_lists():
    crew = Crew("policy.preset=S1")
    assert [take(crew) for _ in range(5)] == [GOT_NOTHING] * 5
    assert crew.counter("pcp_refill_pages") == 0


# --- straight to the allocator -----------------------------------------------------------------------------


def drain_source(crew: Crew) -> int:
    """Take until the source has nothing; returns how many pages that were."""
    pages = 0
    while take(crew) != GOT_NOTHING:
        pages += 1
    return pages


def test_nowait_stops_at_min():
    crew = Crew("policy.sources=['nowait']")
    crew.leave_free(17)
    assert drain_source(crew) == 17
    assert zone_word(crew, "nr_free") == zone_word(crew, "wmark_min")
    assert (crew.counter("direct_alloc_hit"), crew.counter("direct_alloc_miss")) == (17, 1)
    assert crew.fault == 0


def test_atomic_goes_on_to_three_eighths_of_min():
    crew = Crew("policy.sources=['atomic']", "memory.managed_pages=1024")
    crew.leave_free(0)
    zone = zone_of(crew.seg, 0)
    free = zone_word(crew, "nr_free")
    crew.seg[zone + ZONE.wmark_min] = (free - 40) * 8 // 3  # so that the floor is near
    floor = mark_for(crew.seg, zone, GFP_ATOMIC, 0)
    assert floor == pytest.approx(free - 40, abs=2)
    assert drain_source(crew) == free - floor
    assert crew.fault == 0
    assert alloc_page(crew.seg, 0, 0, GFP_NOWAIT, MIGRATE_UNMOVABLE) == NO_PAGE


def test_a_source_behind_a_failed_one_is_asked():
    crew = Crew("policy.sources=['nowait', 'atomic']", "memory.managed_pages=1024")
    crew.leave_free(0)
    assert take(crew) != GOT_NOTHING
    assert (crew.counter("direct_alloc_hit"), crew.counter("direct_alloc_miss")) == (1, 1)
