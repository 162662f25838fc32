"""Refill by softirq: before there is nothing left, on the same CPU, never over a holder of an allocator lock."""

import pytest

from emu.mm import zone_lock, zone_of, zone_unlock
from emu.policy import STOCK, refill_if_low, refill_kick, refill_request, stock_of, take_page
from emu.sync import CPU, cpu_of, preempt_disable, preempt_enable
from tests.crew import Crew

S17 = ("run.epoch=E61", "policy.preset=S17")


def stock(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[stock_of(crew.seg, cpu) + getattr(STOCK, name)]


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def kick(crew: Crew, cpu: int = 0) -> int:
    """What a call does at its end when the stock ran low; 1 if it did."""
    if refill_if_low(crew.seg, cpu, stock_of(crew.seg, cpu)) == 0:
        return 0
    refill_kick(crew.seg, cpu, cpu, stock_of(crew.seg, cpu))
    return 1


def filled(*overrides: str) -> Crew:
    """A machine whose CPU 0 has missed once and has been refilled."""
    crew = Crew(*S17, *overrides)
    take(crew)
    assert refill_request(crew.seg, 0, stock_of(crew.seg, 0)) == 1
    refill_kick(crew.seg, 0, 0, stock_of(crew.seg, 0))
    assert (stock(crew, "nr_cached"), stock(crew, "in_progress"), crew.counter("softirq_refill")) == (5, 0, 1)
    return crew


def test_the_stock_is_refilled_before_it_is_empty():
    crew = filled()
    asked = []
    for _ in range(8):
        assert take(crew) > 0
        asked.append(kick(crew))
    assert asked == [0, 0, 1] + [0, 0, 1] + [0, 0]  # three are low stock, of five
    assert (crew.counter("kvfree_page_miss"), crew.counter("krc_refill_run")) == (1, 3)
    assert crew.histogram("low_stock_ns").count == 2
    assert crew.fault == 0


def test_pages_that_go_fast_ask_for_more_however_many_there_are():
    crew = filled("policy.refill.low_stock_pages=0", "policy.refill.busy_page_us=100")
    take(crew)
    assert kick(crew) == 0  # the first page has nothing before it
    crew.advance(101_000)
    take(crew)
    assert kick(crew) == 0
    crew.advance(99_000)
    take(crew)
    assert kick(crew) == 1
    assert stock(crew, "nr_cached") == 5


def test_in_a_section_it_waits_for_the_section_s_end():
    crew = filled()
    take(crew), take(crew), take(crew)
    preempt_disable(crew.seg, 0)
    preempt_disable(crew.seg, 0)
    assert kick(crew) == 1
    preempt_enable(crew.seg, 0, 0)
    assert (stock(crew, "nr_cached"), crew.seg[cpu_of(crew.seg, 0) + CPU.softirq]) == (2, 1)
    preempt_enable(crew.seg, 0, 0)
    assert (stock(crew, "nr_cached"), crew.seg[cpu_of(crew.seg, 0) + CPU.softirq]) == (5, 0)


def test_over_a_holder_of_an_allocator_lock_the_worker_does_it():
    crew = filled()
    take(crew), take(crew), take(crew)
    zone_lock(crew.seg, 0, zone_of(crew.seg, 0))
    assert kick(crew) == 1
    zone_unlock(crew.seg, 0, zone_of(crew.seg, 0))
    assert (crew.counter("softirq_defer"), stock(crew, "nr_cached")) == (1, 2)
    crew.run_refill(0)
    assert (stock(crew, "nr_cached"), crew.fault) == (5, 0)


def test_the_worker_leaves_a_raised_request_alone():
    crew = filled()
    take(crew), take(crew), take(crew)
    preempt_disable(crew.seg, 0)
    kick(crew)
    crew.seg[cpu_of(crew.seg, 0) + CPU.softirq] = 0  # as if it had not come to it yet
    assert crew.run_refill(0) == 0
    assert (stock(crew, "nr_cached"), crew.fault) == (2, 0)
    assert refill_request(crew.seg, 0, stock_of(crew.seg, 0)) == 0  # one in flight, whoever serves it


@pytest.mark.parametrize("cached", [0, 5])
def test_a_cache_of_size_zero_never_asks(cached):
    overrides = ("policy.preset=S3", f"kvfree.min_cached_objs={cached}")
    crew = Crew("run.epoch=E612", *overrides)
    take(crew)
    assert refill_request(crew.seg, 0, stock_of(crew.seg, 0)) == (1 if cached else 0)
    assert crew.counter("krc_refill_req") == (1 if cached else 0)
