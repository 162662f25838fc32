"""The refill worker: one request in flight, the rule's amount and no page more, phases that add up."""

import pytest

from emu.mm import ZONE, zone_of
from emu.policy import (
    GOT_NOTHING,
    STOCK,
    refill_pending,
    refill_request,
    refill_ring,
    refill_run,
    stock_of,
    take_page,
)
from emu.shm import F_REFILL_TWICE, HEADER, PROC, proc_of
from emu.sync import CPU, cpu_of, preempt_disable, preempt_enable
from tests.crew import MS, Crew

E511 = "run.epoch=E511"
E61 = "run.epoch=E61"
E612 = "run.epoch=E612"
PHASES = ("refill_doorbell_ns", "refill_aside_ns", "refill_wake_ns", "refill_alloc_ns", "refill_hit_ns")


def stock(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[stock_of(crew.seg, cpu) + getattr(STOCK, name)]


def set_stock(crew: Crew, name: str, value: int, cpu: int = 0) -> None:
    crew.seg[stock_of(crew.seg, cpu) + getattr(STOCK, name)] = value


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def ask(crew: Crew, cpu: int = 0) -> int:
    """A request and its bell, as a call that missed makes them; 1 if it was the one that rings."""
    words = stock_of(crew.seg, cpu)
    mine = refill_request(crew.seg, cpu, words)
    if mine:
        refill_ring(crew.seg, cpu, cpu, words)
    return mine


def run(crew: Crew, cpu: int = 0) -> int:
    """One request and its run; returns the pages cached."""
    assert ask(crew, cpu) == 1
    me = crew.refill(cpu)
    return refill_run(crew.seg, me, crew.pcp_cpu(me) if not crew.bound_refill else cpu, cpu)


def test_only_one_request_is_in_flight():
    crew = Crew(E612)
    assert [refill_request(crew.seg, 0, stock_of(crew.seg, 0)) for _ in range(3)] == [1, 0, 0]
    assert refill_pending(crew.seg, 0) == 0  # asked for, not rung
    refill_ring(crew.seg, 0, 0, stock_of(crew.seg, 0))
    assert refill_pending(crew.seg, 0) == 1
    assert ask(crew) == 0
    assert ask(crew, cpu=1) == 1  # single per CPU, not over all
    crew.run_refill(0)
    assert refill_pending(crew.seg, 0) == 0
    assert ask(crew) == 1
    assert crew.counter("krc_refill_req") == 3


def test_a_policy_without_a_worker_never_asks():
    crew = Crew("policy.preset=S1")
    assert ask(crew) == 0
    assert crew.counter("krc_refill_req") == 0


def test_the_bell_of_the_cpu_s_own_worker_is_rung():
    crew = Crew(E61)
    bells = [proc_of(crew.seg, crew.refill(cpu)) + PROC.bell for cpu in range(2)]
    before = [crew.seg[bell] for bell in bells]
    ask(crew, cpu=1)
    assert [crew.seg[bell] - was for bell, was in zip(bells, before, strict=True)] == [0, 1]


@pytest.mark.parametrize("epoch", [E511, E61, E612])
def test_an_empty_cache_is_filled_to_the_rule_s_amount(epoch):
    crew = Crew(epoch)
    assert run(crew) == 5
    assert (stock(crew, "nr_cached"), stock(crew, "held")) == (5, 5)
    assert (crew.counter("krc_refill_page"), crew.counter("krc_refill_surplus")) == (5, 0)
    assert crew.histogram("pages_per_refill").max == 5


def test_e511_tries_five_times_and_goes_on_after_failures():
    crew = Crew(E511)
    crew.leave_free(3)
    assert run(crew) == 3
    assert crew.counter("krc_refill_fail") == 2


@pytest.mark.parametrize("epoch", [E61, E612])
def test_later_epochs_stop_at_the_first_failure(epoch):
    crew = Crew(epoch)
    crew.leave_free(3)
    assert run(crew) == 3
    assert crew.counter("krc_refill_fail") == 1


def test_e61_counts_from_zero_and_gives_one_surplus_page_back():
    crew = Crew(E61)
    assert run(crew) == 5
    take(crew)
    take(crew)
    free = crew.counter("pgfree")
    assert run(crew) == 2
    assert crew.counter("krc_refill_surplus") == 1
    assert crew.counter("pgfree") == free + 1
    assert (stock(crew, "nr_cached"), stock(crew, "held")) == (5, 7)


def test_e612_counts_from_what_the_cache_holds():
    crew = Crew(E612)
    assert run(crew) == 5
    take(crew)
    take(crew)
    assert run(crew) == 2
    assert (crew.counter("krc_refill_surplus"), crew.counter("krc_refill_run")) == (0, 2)


def test_a_full_cache_brings_e612_no_page():
    crew = Crew(E612)
    run(crew)
    assert run(crew) == 0
    assert crew.counter("pgalloc_normal") == 5


def test_after_pressure_one_page_comes_after_the_back_off_and_the_next_run_is_full_again():
    crew = Crew(E612)
    set_stock(crew, "backoff", 1)
    assert ask(crew) == 1
    due = stock(crew, "due")
    assert due - crew.now == pytest.approx(5000 * MS, abs=100)
    assert crew.run_refill(0) == due
    assert stock(crew, "nr_cached") == 0
    crew.set_clock(due - 50)
    assert crew.run_refill(0) == due
    crew.set_clock(due)
    assert crew.run_refill(0) == 0
    assert (stock(crew, "nr_cached"), stock(crew, "backoff")) == (1, 0)
    assert take(crew) != GOT_NOTHING
    assert run(crew) == 5


def test_the_delayed_path_runs_after_its_jiffies():
    crew = Crew("run.epoch=ERFC")
    crew.advance(crew.jiffy // 4)
    assert ask(crew) == 1
    due = stock(crew, "due")
    assert due - crew.seg[HEADER.t_zero] == 2 * crew.jiffy
    assert crew.run_refill(0) == due
    crew.set_clock(due)
    assert crew.run_refill(0) == 0
    assert stock(crew, "nr_cached") == 5


def test_the_earliest_of_several_due_times_is_waited_for():
    crew = Crew("cpus.count=3", "policy.refill.bound=false", "policy.refill.path='delayed'",
                "policy.refill.delay_jiffies=3")
    for cpu in (2, 0, 1):
        assert ask(crew, cpu) == 1
        crew.advance(crew.jiffy)
    first = min(stock(crew, "due", cpu) for cpu in range(3))
    assert crew.run_refill(0) == first == stock(crew, "due", 2)
    crew.set_clock(first)
    assert crew.run_refill(0) == stock(crew, "due", 0)
    assert [stock(crew, "nr_cached", cpu) for cpu in range(3)] == [0, 0, 5]


def test_the_phases_of_a_refill_add_up_to_the_whole():
    crew = Crew(E61)
    for wait in (3 * MS, 170):
        assert take(crew) == GOT_NOTHING
        words = stock_of(crew.seg, 0)
        assert refill_request(crew.seg, 0, words) == 1
        crew.advance(400)
        refill_ring(crew.seg, 0, 0, words)
        crew.advance(wait)
        crew.run_refill(0)
        crew.advance(9000)
        assert all(take(crew) != GOT_NOTHING for _ in range(5))
        crew.advance(1000)
    sums = {name: crew.histogram(name).sum for name in (*PHASES, "refill_total_ns")}
    assert sum(sums[name] for name in PHASES) == sums["refill_total_ns"]
    assert sums["refill_wake_ns"] == pytest.approx(3 * MS + 170, abs=50)
    assert sums["refill_doorbell_ns"] == pytest.approx(800, abs=50)
    assert sums["refill_hit_ns"] == pytest.approx(18_000, abs=50)
    assert [crew.histogram(name).count for name in PHASES] == [2] * 5


def test_time_in_a_section_is_a_phase_of_its_own():
    crew = Crew(E61)
    preempt_disable(crew.seg, 0)
    assert take(crew) == GOT_NOTHING
    assert ask(crew) == 1
    assert (stock(crew, "deferred"), crew.seg[cpu_of(crew.seg, 0) + CPU.need_resched]) == (1, 1)
    crew.advance(2 * MS)
    preempt_enable(crew.seg, 0, 0)
    crew.advance(500)
    crew.run_refill(0)
    assert take(crew) != GOT_NOTHING
    aside, wake = crew.histogram("refill_aside_ns").sum, crew.histogram("refill_wake_ns").sum
    assert (aside, wake) == (pytest.approx(2 * MS, abs=50), pytest.approx(500, abs=50))
    assert sum(crew.histogram(name).sum for name in PHASES) == crew.histogram("refill_total_ns").sum


@pytest.mark.parametrize("mixed", ["t_miss", "t_bell", "t_run"])
def test_stamps_of_two_requests_are_not_told_as_one(mixed):
    crew = Crew(E612)
    assert take(crew) == GOT_NOTHING
    crew.advance(100)
    ask(crew)
    crew.advance(100)
    crew.run_refill(0)
    set_stock(crew, mixed, crew.now + 1000)
    assert take(crew) != GOT_NOTHING
    assert crew.histogram("refill_total_ns").count == 0
    assert stock(crew, "hit_pending") == 0
    assert crew.histogram("fallback_window_ns").count == 1  # the window is told all the same


def test_a_run_that_got_nothing_leaves_the_window_open_and_may_be_asked_again():
    crew = Crew(E612)
    crew.leave_free(0)
    assert take(crew) == GOT_NOTHING
    assert run(crew) == 0
    assert take(crew) == GOT_NOTHING
    assert (stock(crew, "windows"), stock(crew, "misses")) == (0, 2)
    zone = zone_of(crew.seg, 0)
    crew.seg[zone + ZONE.wmark_min] = crew.seg[zone + ZONE.wmark_low] = 64
    assert run(crew) == 5
    assert take(crew) != GOT_NOTHING
    assert (stock(crew, "windows"), stock(crew, "hits")) == (1, 1)


# --- the checker sees what it is for -----------------------------------------------------------------------


def test_the_checker_sees_a_second_run_in_flight():
    crew = Crew(E612)
    assert run(crew) == 5
    assert crew.fault == 0
    refill_run(crew.seg, crew.refill(0), 0, 0)  # nobody asked
    assert (crew.fault, crew.seg[HEADER.fault_a]) == (F_REFILL_TWICE, 0)


def test_the_checker_sees_a_run_before_its_bell():
    crew = Crew(E612)
    assert refill_request(crew.seg, 1, stock_of(crew.seg, 1)) == 1
    refill_run(crew.seg, crew.refill(1), 1, 1)
    assert (crew.fault, crew.seg[HEADER.fault_a]) == (F_REFILL_TWICE, 1)
