"""The grace-period kthread: asked once, timed by jiffies, ended by reports alone, stalls named; its checkers fire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import NO_DEADLINE
from emu.rcu import (
    RCU,
    RDP,
    RNP,
    STEP_ENDED,
    STEP_IDLE,
    STEP_STALL,
    STEP_STARTED,
    STEP_WAITING,
    get_state_synchronize_rcu,
    gp_is_clean,
    gp_wake_time,
    leaf_of,
    next_tick_after,
    poll_state_synchronize_rcu,
    rcu_eqs_exit,
    rcu_request_gp,
    rcu_state,
    rdp_of,
    timer_expiry,
)
from emu.rcu.gp import move_gp_seq
from emu.shm import ABORT, F_GP_BACKWARDS, F_GP_EARLY, HEADER, PROC, proc_of
from tests.crew import Crew


def crew_of(*overrides) -> Crew:
    return Crew("policy.preset=S19", *overrides)


def ask(crew: Crew) -> int:
    cookie = get_state_synchronize_rcu(crew.seg)
    rcu_request_gp(crew.seg, cookie)
    return cookie


def busy(crew: Crew, *cpus: int) -> None:
    for cpu in cpus:
        rcu_eqs_exit(crew.seg, cpu)


def test_nothing_starts_unasked():
    crew = crew_of()
    get_state_synchronize_rcu(crew.seg)
    assert [crew.coordinate() for _ in range(3)] == [STEP_IDLE] * 3
    assert gp_wake_time(crew.seg) == NO_DEADLINE
    assert gp_is_clean(crew.seg) == 1


def test_a_cookie_elapses_with_the_grace_period_that_was_asked_for():
    crew = crew_of()
    cookie = ask(crew)
    assert poll_state_synchronize_rcu(crew.seg, cookie) == 0
    crew.grace_period()
    assert poll_state_synchronize_rcu(crew.seg, cookie) == 1
    assert crew.coordinate() == STEP_IDLE


def test_a_request_in_a_running_grace_period_brings_a_second_one():
    crew = crew_of()
    ask(crew)
    assert crew.coordinate() == STEP_STARTED
    cookie = ask(crew)
    crew.grace_period()
    assert poll_state_synchronize_rcu(crew.seg, cookie) == 0
    assert crew.coordinate() == STEP_STARTED
    crew.grace_period()
    assert poll_state_synchronize_rcu(crew.seg, cookie) == 1


def test_requests_for_one_cookie_ring_once_and_share_one_grace_period():
    crew = crew_of()
    bell = proc_of(crew.seg, crew.coordinator) + PROC.bell
    before = crew.seg[bell]
    assert len({ask(crew) for _ in range(20)}) == 1
    assert crew.seg[bell] == before + 1
    crew.grace_period()
    assert crew.coordinate() == STEP_IDLE
    assert (crew.counter("rcu_gp_start"), crew.counter("rcu_gp_end")) == (1, 1)


def test_a_lower_request_does_not_take_back_a_higher_one():
    crew = crew_of()
    seq = crew.gp_word("gp_seq")
    rcu_request_gp(crew.seg, seq + 8)
    rcu_request_gp(crew.seg, seq + 4)
    assert crew.gp_word("gp_needed") == seq + 8
    crew.grace_period()
    crew.grace_period()
    assert crew.coordinate() == STEP_IDLE


@pytest.mark.parametrize("hz", [100, 250, 1000])
@given(after=st.integers(0, 10_000_000), jiffies=st.integers(1, 5))
def test_a_timer_fires_at_a_tick_after_more_than_its_jiffies_and_at_most_one_more(hz, after, jiffies):
    crew = CREWS.setdefault(hz, crew_of(f"run.hz={hz}"))
    zero = crew.seg[HEADER.t_zero]
    now = zero + after
    fires = timer_expiry(crew.seg, now, jiffies)
    assert (fires - zero) % crew.jiffy == 0
    assert jiffies * crew.jiffy < fires - now <= (jiffies + 1) * crew.jiffy
    assert timer_expiry(crew.seg, now, 0) == now
    assert 0 < next_tick_after(crew.seg, now) - now <= crew.jiffy


CREWS: dict[int, Crew] = {}


@pytest.mark.parametrize(("hz", "jiffies"), [(100, 1), (250, 1), (300, 2), (1000, 3)])
def test_scans_come_by_the_kernel_s_jiffies(hz, jiffies):
    crew = crew_of(f"run.hz={hz}")
    busy(crew, 0)
    crew.advance(crew.jiffy // 3)
    started = crew.now
    ask(crew)
    crew.coordinate()
    for scan in range(3):
        due = crew.gp_word("fqs_due")
        assert jiffies * crew.jiffy < due - started <= (jiffies + 1) * crew.jiffy
        assert gp_wake_time(crew.seg) == due
        crew.set_clock(due - 50)
        assert crew.coordinate() == STEP_WAITING
        assert crew.counter("rcu_fqs") == scan
        crew.set_clock(due)
        started = crew.now
        assert crew.coordinate() == STEP_WAITING
        assert crew.counter("rcu_fqs") == scan + 1


def test_first_and_later_waits_are_set_apart():
    crew = crew_of("run.hz=1000", "rcu.jiffies_till_first_fqs=2", "rcu.jiffies_till_next_fqs=7")
    busy(crew, 0)
    ask(crew)
    crew.coordinate()
    start = crew.now
    assert crew.gp_word("fqs_due") - start == pytest.approx(3 * crew.jiffy, abs=100)
    crew.set_clock(crew.gp_word("fqs_due"))
    start = crew.now
    crew.coordinate()
    assert crew.gp_word("fqs_due") - start == pytest.approx(8 * crew.jiffy, abs=100)


def test_a_stall_is_counted_and_its_culprit_named_and_the_wait_goes_on():
    crew = crew_of("cpus.count=3", "rcu.stall_timeout_ms=3000")
    busy(crew, 1)
    ask(crew)
    crew.coordinate()
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_WAITING
    crew.set_clock(crew.gp_word("stall_due") - 50)
    assert crew.coordinate() == STEP_WAITING
    crew.set_clock(crew.gp_word("stall_due"))
    assert crew.coordinate() == STEP_STALL
    assert (crew.counter("rcu_stall"), crew.gp_word("stall_cpu")) == (1, 1)
    assert crew.gp_word("stall_due") - crew.now == pytest.approx(9_000_000_000, abs=100)
    assert gp_is_clean(crew.seg) == 0
    crew.seg[rdp_of(crew.seg, 1) + RDP.eqs] += 2  # it slept at last
    crew.set_clock(crew.gp_word("fqs_due"))
    assert crew.coordinate() == STEP_ENDED
    assert crew.fault == 0


def test_grace_periods_are_counted_and_timed_alike():
    crew = crew_of()
    for _ in range(5):
        ask(crew)
        crew.grace_period()
    lengths = crew.histogram("gp_ns")
    assert lengths.count == crew.counter("rcu_gp_end") == 5
    assert lengths.min > crew.jiffy and lengths.max <= 3 * crew.jiffy


def test_the_sequence_survives_its_wrap():
    crew = crew_of()
    rcu = rcu_state(crew.seg)
    crew.seg[rcu + RCU.gp_seq] = crew.seg[rcu + RCU.gp_needed] = (1 << 63) - 8
    for _ in range(6):
        cookie = ask(crew)
        crew.grace_period()
        assert poll_state_synchronize_rcu(crew.seg, cookie) == 1
    assert crew.gp_word("gp_seq") == -(1 << 63) + 16
    assert crew.fault == 0


# --- the checkers see what they are for --------------------------------------------------------------------


def test_the_checker_sees_a_grace_period_that_ends_without_reports():
    crew = crew_of()
    busy(crew, 0, 1)
    ask(crew)
    crew.coordinate()
    crew.seg[leaf_of(crew.seg, 0) + RNP.qsmask] = 0
    assert crew.coordinate() == STEP_ENDED
    assert (crew.fault, crew.seg[HEADER.fault_b]) == (F_GP_EARLY, 0)
    assert crew.seg[HEADER.run_state] == ABORT


@pytest.mark.parametrize("step", [0, -1, -4])
def test_the_checker_sees_a_sequence_that_does_not_grow(step):
    crew = crew_of()
    move_gp_seq(crew.seg, crew.coordinator, crew.gp_word("gp_seq") + step)
    assert crew.fault == F_GP_BACKWARDS
