"""A pool that grows after an emergency and shrinks after a quiet time, and the rescue reserve beside it."""

from emu.mm import ZONE, zone_of
from emu.policy import (
    GOT_NOTHING,
    GROWN,
    POOL,
    RESCUE,
    cpu_pool,
    put_page,
    refill_request,
    refill_ring,
    stock_of,
    take_page,
)
from tests.crew import MS, Crew

S6 = ("run.epoch=E61", "policy.preset=S6", "policy.pool.pages_per_cpu=2", "policy.pool.grow_pages=3",
      "policy.pool.grow_limit_pages=7", "policy.pool.shrink_after_ms=100")
S7 = (*S6, "policy.preset=S7", "policy.pool.rescue_pages=2")


def word(crew: Crew, name: str, which: int = GROWN, cpu: int = 0) -> int:
    return crew.seg[cpu_pool(crew.seg, cpu, which) + getattr(POOL, name)]


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def emergency(crew: Crew, cpu: int = 0) -> list[int]:
    """Take until nothing is left, ask for the worker and let it run; returns the pages taken."""
    pages = []
    while (page := take(crew, cpu)) != GOT_NOTHING:
        pages.append(page)
    words = stock_of(crew.seg, cpu)
    assert refill_request(crew.seg, cpu, words) == 1
    refill_ring(crew.seg, cpu, cpu, words)
    crew.run_refill(cpu)
    return pages


def test_an_emergency_raises_the_target_up_to_the_limit_and_each_time_more_are_there():
    crew = Crew(*S6)
    sizes = []
    held = []
    for _ in range(4):
        pages = emergency(crew)
        sizes.append(len(pages))
        held += pages
        while held:
            put(crew, held.pop())
    assert sizes == [2, 5, 7, 7]
    assert (word(crew, "target"), word(crew, "total"), word(crew, "nr"), word(crew, "grown")) == (7, 7, 7, 2)
    assert (crew.counter("grown_raise"), crew.counter("grown_page")) == (2, 5)
    assert crew.histogram("grow_ns").count == 2
    assert crew.broken_pages() == []


def test_only_the_cpu_in_need_grows():
    crew = Crew(*S6)
    emergency(crew, 1)
    assert [word(crew, "target", cpu=cpu) for cpu in (0, 1)] == [2, 5]


def test_a_quiet_time_brings_the_target_down_and_pages_back():
    crew = Crew(*S6)
    held = emergency(crew)
    assert word(crew, "total") == 5
    crew.advance(99 * MS)
    assert crew.run_refill(0) > crew.now  # tells when to look again
    assert word(crew, "target") == 5
    crew.advance(2 * MS)
    crew.run_refill(0)
    assert (word(crew, "target"), word(crew, "total"), word(crew, "nr")) == (2, 2, 0)
    assert [put(crew, page) for page in held] == [1, 1]
    assert (word(crew, "nr"), crew.counter("grown_shrink_page"), crew.counter("grown_lower")) == (2, 3, 1)
    assert crew.broken_pages() == []


def test_pages_that_are_out_when_the_pool_shrinks_go_on_to_the_allocator_as_they_come_home():
    crew = Crew(*S6)
    emergency(crew)
    held = [take(crew) for _ in range(3)]
    crew.advance(200 * MS)
    crew.run_refill(0)
    assert (word(crew, "target"), word(crew, "total"), word(crew, "nr")) == (2, 5, 0)
    assert [put(crew, page) for page in held] == [0, 0, 0]
    assert word(crew, "total") == 2


def test_growth_stops_where_the_allocator_does_and_goes_on_at_the_next_emergency():
    crew = Crew(*S6)
    while take(crew) != GOT_NOTHING:
        pass
    crew.leave_free(1)
    words = stock_of(crew.seg, 0)
    refill_request(crew.seg, 0, words)
    refill_ring(crew.seg, 0, 0, words)
    crew.run_refill(0)
    assert (word(crew, "target"), word(crew, "total"), crew.counter("krc_refill_fail")) == (5, 3, 1)


def test_the_rescue_reserve_is_asked_only_when_the_pool_is_empty_and_gets_its_pages_back():
    crew = Crew(*S7)
    pages = [take(crew) for _ in range(4)]
    assert GOT_NOTHING not in pages and take(crew) == GOT_NOTHING
    assert [crew.counter(f"{name}") for name in ("grown_hit", "rescue_hit", "rescue_empty")] == [2, 2, 1]
    assert (word(crew, "low", RESCUE), word(crew, "empty", RESCUE)) == (0, 1)
    assert [put(crew, page) for page in pages] == [1] * 4
    assert (word(crew, "nr"), word(crew, "nr", RESCUE)) == (2, 2)
    assert crew.broken_pages() == []


def test_below_the_marks_nothing_grows_and_the_pools_stay_whole():
    crew = Crew(*S7)
    zone = zone_of(crew.seg, 0)
    crew.seg[zone + ZONE.wmark_min] = crew.seg[zone + ZONE.wmark_low] = crew.seg[zone + ZONE.nr_free]
    for page in emergency(crew):
        put(crew, page)
    assert (word(crew, "total"), crew.counter("grown_page")) == (2, 0)
    assert crew.broken_pages() == []
