"""Pools: last in, first out, no page lost or made, books that say how low and how long."""

from hypothesis import given
from hypothesis import strategies as st

from emu.mm import NO_PAGE, PG_BNODE, PG_STATIC, page_state
from emu.policy import GOT_NOTHING, POOL, POOL_MEMPOOL, POOL_SHARED, pool_of, put_page, stock_of, take_page
from emu.policy.pool import pool_get, pool_put, put_if_short, take_locked
from emu.policy.sources import shared_reserve_put, shared_reserve_take
from tests.crew import Crew

USER = 2  # process index of somebody who is no mutator


def pool_word(crew: Crew, number: int, name: str) -> int:
    return crew.seg[pool_of(crew.seg, number) + getattr(POOL, name)]


def take(crew: Crew, cpu: int = 0, one_arg: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), one_arg, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def test_the_last_page_put_is_the_first_taken():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=4")
    pool = pool_of(crew.seg, POOL_SHARED)
    pages = [pool_get(crew.seg, 0, pool, PG_BNODE, 0, crew.now) for _ in range(3)]
    assert {page_state(crew.seg, page) for page in pages} == {PG_BNODE}
    for page in pages:
        pool_put(crew.seg, 0, pool, page, PG_BNODE, 0, crew.now)
    assert {page_state(crew.seg, page) for page in pages} == {PG_STATIC}
    assert [pool_get(crew.seg, 0, pool, PG_BNODE, 0, crew.now) for _ in range(3)] == pages[::-1]


SHARED = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=3")


@given(st.lists(st.tuples(st.sampled_from(["cpu0", "cpu1", "other"]), st.booleans()), max_size=40))
def test_a_shared_reserve_neither_grows_nor_leaks(operations):
    crew, out = SHARED, {"cpu0": [], "cpu1": [], "other": []}
    for who, back in operations:
        free = 6 - sum(map(len, out.values()))
        if back and out[who]:
            page = out[who].pop()
            if who == "other":
                shared_reserve_put(crew.seg, USER, 0, page)
            else:
                assert put(crew, page, int(who[3])) == 1
        elif not back:
            page = shared_reserve_take(crew.seg, USER, 0) if who == "other" else take(crew, int(who[3]))
            assert (page in (NO_PAGE, GOT_NOTHING)) == (free == 0)
            out[who] += [page] if page else []
        assert pool_word(crew, POOL_SHARED, "nr") == 6 - sum(map(len, out.values()))
        assert pool_word(crew, POOL_SHARED, "others_out") == len(out["other"])
    for page in out["other"]:
        shared_reserve_put(crew.seg, USER, 0, page)
    for cpu in (0, 1):
        for page in out[f"cpu{cpu}"]:
            put(crew, page, cpu)
    assert crew.broken_pages() == []


def test_a_greedy_second_user_starves_the_first_and_both_are_told():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=2")
    pages = [shared_reserve_take(crew.seg, USER, 0) for _ in range(5)]
    assert pages[4] == NO_PAGE and NO_PAGE not in pages[:4]
    assert take(crew) == GOT_NOTHING
    assert (pool_word(crew, POOL_SHARED, "others_denied"), crew.counter("shared_reserve_empty")) == (1, 1)
    shared_reserve_put(crew.seg, USER, 0, pages.pop(0))
    assert take(crew) != GOT_NOTHING
    assert crew.counter("shared_reserve_hit") == 1


def test_idle_pages_are_integrated_and_the_lowest_level_is_kept():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=2")
    crew.seg[pool_of(crew.seg, POOL_SHARED) + POOL.stamp] = crew.now
    crew.advance(1000)
    page = take(crew)
    crew.advance(500)
    put(crew, page)
    crew.advance(250)
    put(crew, take(crew))
    assert abs(pool_word(crew, POOL_SHARED, "idle_ns") - (4 * 1000 + 3 * 500 + 4 * 250)) < 100
    assert (pool_word(crew, POOL_SHARED, "low"), pool_word(crew, POOL_SHARED, "takes")) == (3, 2)


def test_a_pool_takes_no_more_than_it_is_short_of():
    crew = Crew("policy.preset=S5", "policy.pool.pages_per_cpu=1")
    pool = pool_of(crew.seg, POOL_MEMPOOL)
    page = take_locked(crew.seg, 0, pool, PG_BNODE, 0)
    assert put_if_short(crew.seg, 0, pool, page, PG_BNODE, 0) == 1
    extra = take(crew)  # of the allocator
    assert put_if_short(crew.seg, 0, pool, extra, PG_BNODE, 0) == 0
    assert pool_word(crew, POOL_MEMPOOL, "nr") == 2


# --- the checker fires -------------------------------------------------------------------------------------


def test_a_page_that_left_its_reserve_for_good_is_missed():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=2")
    assert crew.broken_pages() == []
    crew.seg[pool_of(crew.seg, POOL_SHARED) + POOL.total] += 1  # as if a page had gone elsewhere
    assert [row.split(":")[0] for row in crew.broken_pages()] == ["every reserve is whole"]


def test_a_page_that_is_in_a_pool_it_does_not_belong_to_is_seen():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=2")
    crew.seg[pool_of(crew.seg, POOL_SHARED) + POOL.nr] += 1
    assert "no pool holds what is not its own" in crew.broken_pages()[0]


def test_a_page_put_twice_faults():
    crew = Crew("policy.preset=S15", "policy.pool.pages_per_cpu=2")
    page = shared_reserve_take(crew.seg, USER, 0)
    shared_reserve_put(crew.seg, USER, 0, page)
    assert crew.fault == 0
    shared_reserve_put(crew.seg, USER, 0, page)
    assert crew.fault != 0
