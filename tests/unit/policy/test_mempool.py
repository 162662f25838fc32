"""mempool: the kernel's contract, step by step, and sleepers that are woken by who frees."""

import time

import pytest

from emu.mm import NO_PAGE, ZONE, zone_of
from emu.policy import GOT_NOTHING, POOL, POOL_MEMPOOL, STOCK, pool_of, put_page, stock_of, take_page, take_unlocked
from emu.policy.sources import SRC_MEMPOOL
from emu.policy.sources.mempool import mempool_alloc_sleeping, wait_for_element
from emu.shm import HEADER, STOP
from tests.crew import Crew, booted, compile_before_fork, starve

S5 = ("policy.preset=S5", "policy.pool.pages_per_cpu=2")


def pool_word(crew, name: str) -> int:
    return crew.seg[pool_of(crew.seg, POOL_MEMPOOL) + getattr(POOL, name)]


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def test_the_allocator_comes_first_and_the_reserve_only_when_it_has_nothing():
    crew = Crew(*S5)
    crew.leave_free(3)
    assert all(take(crew) for _ in range(7)) and take(crew) == GOT_NOTHING
    counters = ("mempool_hit", "mempool_reserve_hit", "mempool_empty")
    assert [crew.counter(name) for name in counters] == [3, 4, 1]
    assert crew.seg[zone_of(crew.seg, 0) + ZONE.nr_free] >= crew.seg[zone_of(crew.seg, 0) + ZONE.wmark_min]


def test_a_freed_element_goes_to_the_reserve_before_the_allocator():
    crew = Crew(*S5)
    crew.leave_free(1)
    pages = [take(crew) for _ in range(5)]  # one of the allocator, four of the reserve
    assert [put(crew, page) for page in pages] == [1, 1, 1, 1, 0]
    assert (pool_word(crew, "nr"), pool_word(crew, "total"), pool_word(crew, "low")) == (4, 4, 0)
    assert (crew.counter("pgfree"), crew.seg[stock_of(crew.seg, 0) + STOCK.held]) == (1, 0)
    assert pool_word(crew, "whole_ns") >= 0 and crew.broken_pages() == []


def test_the_raw_variant_asks_the_reserve_alone():
    crew = Crew("policy.sources=['mempool-raw']", "policy.pool.pages_per_cpu=2")
    assert all(take(crew) for _ in range(4)) and take(crew) == GOT_NOTHING
    assert [crew.counter(name) for name in ("mempool_hit", "mempool_reserve_hit", "pgalloc_normal")] == [0, 4, 0]


def test_a_one_argument_caller_asks_with_the_lock_dropped():
    crew = Crew(*S5)
    assert take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), 1, 0) == -1
    crew.leave_free(1)
    assert all(take_unlocked(crew.seg, 0, 0, SRC_MEMPOOL) for _ in range(5))
    assert [crew.counter(name) for name in ("mempool_hit", "mempool_reserve_hit", "mempool_wait")] == [1, 4, 0]


def test_the_end_of_the_run_ends_the_wait():
    crew = Crew(*S5)
    crew.leave_free(0)
    assert all(take(crew) for _ in range(4))
    crew.seg[HEADER.run_state] = STOP
    assert take_unlocked(crew.seg, 0, 0, SRC_MEMPOOL) == NO_PAGE


@pytest.mark.jit_only
def test_a_blocked_caller_gets_the_next_element_that_is_freed(fork, shared_words):
    machine = booted(shared_words, *S5)
    seg = machine.seg
    compile_before_fork(take_unlocked, mempool_alloc_sleeping, wait_for_element)
    starve(seg)
    pool = pool_of(seg, POOL_MEMPOOL)
    held = [take_page(seg, 0, 0, stock_of(seg, 0), 0, 0) for _ in range(4)]
    assert NO_PAGE not in held and seg[pool + POOL.nr] == 0

    def wait_for_one():
        assert take_unlocked(seg, 1, 1, SRC_MEMPOOL) == held[0]

    child = fork(wait_for_one)
    child.wait_until_asleep()
    assert seg[pool + POOL.waiters] == 1
    began = time.monotonic()
    put_page(seg, machine.index("reclaim/0"), 0, 0, stock_of(seg, 0), held[0])
    assert child.wait() == 0
    assert time.monotonic() - began < 5  # woken, not timed out: the kernel's own limit is 5 s
    assert (seg[pool + POOL.waiters], seg[pool + POOL.nr]) == (0, 0)
