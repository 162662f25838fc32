"""What each kind of user does to memory, and that everything it takes is its own and goes back."""

import time

import pytest

from emu.launch.collect_users import check_users, collect_users
from emu.mm import PG_TAKEN, page_owner, page_state
from emu.shm import DRAINED, HEADER, PROC
from emu.stats import VM, counter
from emu.users import USR, user_begin, user_finish, user_step
from emu.users.user import LAG_NS, STEP_OPS, free_total, operations_due, user_take
from tests.small_machine import SmallMachine, small_machine

LISTED = 64  # pages that its CPU's list takes or keeps at once


class Played:
    """A small machine with one user, stepped by the test."""

    def __init__(self, table: str, *overrides: str):
        self.machine: SmallMachine = small_machine(f"users=[{{{table}}}]", *overrides)
        self.seg, self.plan = self.machine.seg, self.machine.plan
        self.me = self.machine.index("user/0")
        self.user = self.plan.user(0)
        user_begin(self.seg, self.me, self.user)

    def __getitem__(self, name: str) -> int:
        return self.seg[self.user + getattr(USR, name)]

    def step(self, operations: int = 1) -> None:
        """Let so many operations be due, and take a step."""
        self.seg[self.user + USR.due] = time.monotonic_ns() - (operations - 1) * self["interval_ns"]
        user_step(self.seg, self.me, self.user)

    def finish(self) -> dict:
        """Leave; the row of the record."""
        user_finish(self.seg, self.me, self.user)
        assert self.seg[self.plan.proc(self.me) + PROC.state] == DRAINED
        return collect_users(self.seg, self.plan)[0]


def test_a_victim_gives_back_what_it_takes_and_times_both():
    played = Played('kind = "victim", burst = 4')
    free = free_total(played.seg)
    while played["taken"] < 40:  # a step that had to be compiled first is late, and leaves operations out
        played.step(40)
    row = played.finish()
    assert row["pages_taken"] == row["pages_given"] >= 40 and row["pages_held_peak"] == 4
    assert 1 <= row["pcp_misses"] < 10 and row["zone_lock_acquired"] >= 1  # the first filled the list
    assert row["alloc_p99_ns"] >= row["alloc_p50_ns"] > 0
    assert free_total(played.seg) <= free
    assert played.machine.fault == 0


def test_a_filler_swings_free_memory_between_its_marks():
    played = Played('kind = "filler", low_mark = "low+100", high_mark = "low+300"')
    low, high = played["low_pages"], played["high_pages"]
    seen = []
    for _ in range(60):
        played.step(100)
        seen.append(free_total(played.seg))
    assert low - LISTED < min(seen) <= low
    assert any(a < b for a, b in zip(seen, seen[1:], strict=False))  # it came back up
    assert max(seen[seen.index(min(seen)):]) >= high - LISTED
    assert check_users([played.finish()])[0]


def test_pages_that_a_user_holds_are_taken_and_owned_by_it():
    played = Played('kind = "filler"')
    pfn = user_take(played.seg, played.me, played.user, 0)
    assert (page_state(played.seg, pfn), page_owner(played.seg, pfn)) == (PG_TAKEN, played.me)
    assert not check_users(collect_users(played.seg, played.plan))[0]  # a page in its hands is found at the end
    assert check_users([played.finish()])[0]


def test_a_lost_page_is_noticed():
    played = Played('kind = "filler"')
    user_take(played.seg, played.me, played.user, 0)
    played.seg[played.user + USR.head] = 0  # sabotage: the list forgets its page
    ok, detail = check_users([played.finish()])
    assert not ok and "user/0 took 1, gave 0" in detail


def test_atomic_bursts_are_held_for_a_while_in_drawn_orders():
    played = Played('kind = "atomic", burst = 16, order = 2, hold_us = 60_000_000')
    played.step()
    assert played["held"] > 16  # 16 blocks, some of more than one page
    played.seg[played.user + USR.hold_ns] = 0
    played.step()
    row = played.finish()
    assert row["requests"] == 32 and row["pages_taken"] == row["pages_given"]
    assert played.machine.fault == 0


def test_atomic_bursts_reach_below_min_and_say_how_far():
    played = Played('kind = "atomic", burst = 2000, order = 0, hold_us = 60_000_000')
    played.step()
    row = played.finish()
    assert row["failed"] > 0 and row["below_min_pages_max"] > 0


def test_a_monopoliser_takes_its_round_and_frees_all_of_it():
    played = Played('kind = "pcp_hog", pages = 50')
    played.step()
    for _ in range(3):
        user_step(played.seg, played.me, played.user)
    row = played.finish()
    assert row["pages_held_peak"] == 50 and row["pages_taken"] == row["pages_given"] >= 50


def test_a_reader_of_files_stops_at_its_limit():
    played = Played('kind = "cache", pages = 30')
    played.step(100)
    row = played.finish()
    assert row["pages_taken"] == 30 and check_users([row])[0]


def test_a_second_user_of_the_shared_reserve_starves_the_first():
    played = Played('kind = "greedy", pages = 8, hold_us = 60_000_000', "policy.preset=S15")
    played.step(20)
    assert played["held"] > 0
    row = played.finish()
    assert row["pages_taken"] == row["pages_given"] > 0
    assert played.machine.fault == 0


@pytest.mark.parametrize("late_ns", [0, 3 * LAG_NS])
def test_what_is_too_late_is_left_out_and_counted(late_ns):
    played = Played('kind = "victim", rate_per_s = 1000')
    now = time.monotonic_ns()
    played.seg[played.user + USR.due] = now - late_ns
    done = operations_due(played.seg, played.me, played.user, now)
    left_out = late_ns // 1_000_000
    assert (done, played["left_out"]) == (1, left_out)
    assert counter(played.seg, played.me, VM.user_left_out) == (1 if left_out else 0)
    assert played["due"] > now


def test_a_step_is_bounded():
    played = Played('kind = "victim", rate_per_s = 100_000_000')
    now = time.monotonic_ns()
    played.seg[played.user + USR.due] = now - LAG_NS
    assert operations_due(played.seg, played.me, played.user, now) == STEP_OPS


def test_a_user_begins_when_it_should():
    played = Played('kind = "victim", start_ms = 5000')
    assert played["due"] == played.seg[HEADER.t_zero] + 5_000_000_000
