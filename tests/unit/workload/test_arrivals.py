"""Arrivals: schedules that late service does not move, bursts, rcuscale's loops, recordings."""

import pytest

from emu.mm import ZONE, scratch_of, zone_of
from emu.workload import CONTEXT_BITS, KINDS, LOAD, load_of
from emu.workload.arrivals import (
    LATE_NS,
    UNLIMITED,
    arrivals_begin,
    calls_allowed,
    calls_made,
    is_paced,
    next_context,
    whole_bursts_only,
)
from emu.workload.memory import memory_available
from tests.crew import MS, Crew


class Schedule:
    """One mutator's arrivals on the crew's clock."""

    def __init__(self, *overrides: str):
        self.crew = Crew(*overrides)
        self.load = load_of(self.crew.seg, 0)
        self.zero = self.crew.now
        arrivals_begin(self.crew.seg, self.load, self.zero)

    def word(self, name: str) -> int:
        return self.crew.seg[self.load + getattr(LOAD, name)]

    def allowed(self) -> int:
        return calls_allowed(self.crew.seg, self.load, self.crew.now)

    def serve(self, calls: int = 1) -> int:
        """Serve arrivals now; returns when the next ones are due, counted from time zero."""
        calls_made(self.crew.seg, 0, 0, self.load, calls, self.crew.now)
        return self.word("due") - self.zero

    def go_to(self, after: int) -> None:
        self.crew.set_clock(self.zero + after)


def test_a_flood_is_always_due():
    flood = Schedule("workload.kind='flood'")
    assert flood.allowed() == UNLIMITED
    flood.serve(1000)
    assert flood.allowed() == UNLIMITED
    assert (flood.crew.counter("arrivals"), is_paced(flood.crew.seg, flood.load)) == (0, 0)


def test_constant_arrivals_come_one_by_one_at_their_interval():
    steady = Schedule("workload.kind='constant'", "workload.rate_per_s=10_000")
    assert steady.allowed() == 0
    for call in range(1, 6):
        steady.go_to(call * 100_000 - 50)
        assert steady.allowed() == 0
        steady.go_to(call * 100_000)
        assert steady.allowed() == 1
        assert steady.serve() == (call + 1) * 100_000
    assert (steady.crew.counter("arrivals"), steady.crew.counter("arrivals_late")) == (5, 0)
    assert is_paced(steady.crew.seg, steady.load) == 1


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_late_service_does_not_move_later_arrivals(kind):
    on_time, late = (Schedule(f"workload.kind='{kind}'", "workload.rate_per_s=10_000") for _ in range(2))
    punctual, delayed = [], []
    for _ in range(40):
        on_time.go_to(on_time.word("due") - on_time.zero)
        punctual.append(on_time.serve())
    late.go_to(50 * MS)  # the host took the core away: all of them are overdue
    for _ in range(40):
        assert late.allowed() == 1
        delayed.append(late.serve())
    assert delayed == punctual
    lateness = late.crew.histogram("arrival_lateness_ns")
    assert lateness.count == late.crew.counter("arrivals") == 40
    assert lateness.max == pytest.approx(50 * MS - late_first(kind, on_time), abs=50 * MS * 0.01)
    assert late.crew.counter("arrivals_late") == 40
    assert on_time.crew.histogram("arrival_lateness_ns").max <= 50


def late_first(kind: str, like: Schedule) -> int:
    """When the first arrival of a schedule like this one is due."""
    fresh = Schedule(f"workload.kind='{kind}'", "workload.rate_per_s=10_000")
    assert fresh.word("interval_ns") == like.word("interval_ns")
    return fresh.word("due") - fresh.zero


def test_an_arrival_counts_as_late_beyond_a_millisecond():
    steady = Schedule("workload.kind='constant'", "workload.rate_per_s=100")
    steady.go_to(10 * MS + LATE_NS - 50)
    steady.serve()
    assert steady.crew.counter("arrivals_late") == 0
    steady.go_to(20 * MS + LATE_NS + 50)
    steady.serve()
    assert steady.crew.counter("arrivals_late") == 1


def test_poisson_gaps_have_the_rate_and_the_seed_decides_them():
    def gaps(seed):
        poisson = Schedule("workload.kind='poisson'", "workload.rate_per_s=10_000", f"run.seed={seed}")
        due = [poisson.word("due") - poisson.zero] + [poisson.serve() for _ in range(1500)]
        return [after - before for before, after in zip(due, due[1:], strict=False)]

    assert gaps(3) == gaps(3) != gaps(4)
    assert sum(gaps(3)) / 1500 == pytest.approx(100_000, rel=5 / 1500**0.5)


# --- bursts ------------------------------------------------------------------------------------------------


def test_after_a_burst_comes_the_gap():
    burst = Schedule("workload.kind='burst'", "workload.burst.calls=10", "workload.burst.gap_ms=20")
    for _ in range(3):
        start = burst.crew.now
        assert burst.allowed() == 10
        burst.serve(4)
        assert (burst.allowed(), burst.word("in_burst")) == (6, 1)
        burst.crew.advance(2 * MS)  # the burst itself took a while
        burst.serve(6)
        assert (burst.allowed(), burst.word("in_burst")) == (0, 0)
        assert burst.word("due") - start == pytest.approx(22 * MS, abs=100)
        burst.crew.set_clock(burst.word("due"))
    assert burst.crew.counter("arrivals") == 0  # a closed loop has no lateness


def test_bursts_with_a_period_keep_their_schedule_and_are_late_when_served_late():
    burst = Schedule("workload.kind='burst'", "workload.burst.calls=4", "workload.burst.period_ms=10")
    due = []
    for late in (0, 3 * MS, 25 * MS, 0):
        burst.go_to(max(len(due) * 10 * MS + late, burst.crew.now - burst.zero))
        assert burst.allowed() == 4
        due.append(burst.serve(4))
    assert due == [10 * MS, 20 * MS, 30 * MS, 40 * MS]
    lateness = burst.crew.histogram("arrival_lateness_ns")
    assert lateness.count == 4
    assert lateness.sum == pytest.approx((3 + 25 + 15) * MS, abs=400)
    assert burst.crew.counter("arrivals_late") == 3


def test_a_burst_s_lateness_is_that_of_its_first_call():
    burst = Schedule("workload.kind='burst'", "workload.burst.calls=4", "workload.burst.period_ms=10")
    served = burst.crew.now
    burst.crew.advance(5 * MS)  # the first calls themselves took so long
    calls_made(burst.crew.seg, 0, 0, burst.load, 4, served)
    assert burst.crew.histogram("arrival_lateness_ns").max <= 50


def test_the_run_ends_between_bursts():
    burst = Schedule("workload.kind='burst'", "workload.burst.calls=10")
    burst.serve(3)
    assert whole_bursts_only(burst.crew.seg, burst.load, burst.crew.now) == 0
    burst.serve(7)
    assert whole_bursts_only(burst.crew.seg, burst.load, burst.crew.now) == 1


# --- rcuscale ----------------------------------------------------------------------------------------------


def test_rcuscale_makes_its_loops_and_is_done():
    scale = Schedule("workload.kind='rcuscale'", "workload.rcuscale.loops=3", "workload.rcuscale.alloc_num=100")
    served = 0
    while not scale.word("done"):
        calls = min(64, scale.allowed())
        assert calls > 0
        scale.serve(calls)
        served += calls
    assert (served, scale.word("loop")) == (300, 3)
    assert scale.word("t_finish") >= scale.word("t_start")


def test_rcuscale_sleeps_between_loops_if_told_to():
    scale = Schedule("workload.kind='rcuscale'", "workload.rcuscale.alloc_num=5", "workload.rcuscale.loop_sleep_ms=7")
    scale.serve(5)
    assert scale.allowed() == 0
    assert scale.word("due") - scale.zero == pytest.approx(7 * MS, abs=100)
    scale.crew.set_clock(scale.word("due"))
    assert scale.allowed() == 5


def test_rcuscale_reads_memory_at_each_quarter_and_averages():
    scale = Schedule("workload.kind='rcuscale'", "workload.rcuscale.loops=8", "workload.rcuscale.alloc_num=1")
    free = zone_of(scale.crew.seg, 0) + ZONE.nr_free
    begin = memory_available(scale.crew.seg)
    expected = begin
    for loop in range(1, 8):
        scale.crew.seg[free] -= 10  # pages that somebody took
        if loop % 2 == 0:
            expected = (expected + memory_available(scale.crew.seg)) // 2
        scale.serve(1)
        assert scale.word("mem_during") == expected
    assert scale.word("mem_begin") == begin


# --- recordings --------------------------------------------------------------------------------------------


def recording(repeat: int, pause_ns: int = 500, calls=((0, 0), (100, 3), (250, 1))) -> Schedule:
    """A schedule of recorded calls (ns, context), spanning 300 ns."""
    played = Schedule("workload.kind='flood'")
    seg, load, at = played.crew.seg, played.load, scratch_of(played.crew.seg, 1)
    values = {"kind": KINDS["replay"], "schedule": at, "schedule_len": len(calls), "schedule_span": 300,
              "pause_ns": pause_ns, "repeat": repeat}
    for name, value in values.items():
        seg[load + getattr(LOAD, name)] = value
    for i, (time, context) in enumerate(calls):
        seg[at + i] = time << CONTEXT_BITS | context
    arrivals_begin(seg, load, played.zero)
    return played


def test_a_recording_is_played_in_order_with_its_contexts():
    played = recording(repeat=1)
    seen = []
    while not played.word("done"):
        seen.append((played.word("due") - played.zero, next_context(played.crew.seg, played.load)))
        played.crew.set_clock(played.word("due"))
        assert played.allowed() == 1
        played.serve()
    assert seen == [(0, 0), (100, 3), (250, 1)]
    assert played.word("round") == 1


def test_it_starts_over_after_its_span_and_its_pause_as_often_as_told():
    played = recording(repeat=3)
    due = [played.word("due") - played.zero]
    while not played.word("done"):
        due.append(played.serve())
    assert due[:-1] == [base + time for base in (0, 800, 1600) for time in (0, 100, 250)]
    assert played.crew.counter("arrivals") == 9


def test_repeat_0_goes_on_for_ever():
    played = recording(repeat=0)
    for _ in range(300):
        played.serve()
    assert (played.word("done"), played.word("round")) == (0, 100)


def test_only_recordings_give_contexts():
    assert next_context(Schedule("workload.kind='flood'").crew.seg, Schedule("workload.kind='flood'").load) == 0
