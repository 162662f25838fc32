"""The time series: what a row holds, when rows are written, what is made of them."""

import time

from emu.launch.collect_series import collect_series, spans, summaries
from emu.mm import GFP_KERNEL, MIGRATE_UNMOVABLE, alloc_page
from emu.shm import HEADER
from emu.users import SERIES, sample_step
from tests.small_machine import small_machine

INTERVAL_NS = 10_000_000


def sampled(rows, *overrides, between=lambda machine: None):
    """A machine with so many rows sampled, `between` called after each."""
    machine = small_machine("series.always=true", *overrides)
    series = machine.plan.offsets["series"]
    for _ in range(rows):
        machine.seg[series + SERIES.due] = time.monotonic_ns()
        sample_step(machine.seg)
        between(machine)
    return machine


def test_a_row_accounts_for_every_free_page():
    def take(machine):
        alloc_page(machine.seg, machine.index("reclaim/0"), 0, GFP_KERNEL, MIGRATE_UNMOVABLE)

    machine = sampled(3, between=take)
    series = collect_series(machine.seg, machine.plan)
    rows = [dict(zip(series["names"], row, strict=True)) for row in series["rows"]]
    managed = machine.plan.resolved.memory.managed_pages
    assert [managed - row["free_pages"] - row["pcp_pages"] for row in rows] == [0, 1, 2]
    assert rows[0]["zone0_free"] == managed and "zone1_free" not in rows[0]
    assert all(row["gp_in_progress"] == 0 and row["queued_objects"] == 0 for row in rows)


def test_pages_of_a_pool_and_of_users_have_their_columns():
    machine = sampled(1, "policy.preset=S4", "policy.pool.pages_per_cpu=7", 'users=[{kind="victim"}]')
    series = collect_series(machine.seg, machine.plan)
    row = dict(zip(series["names"], series["rows"][0], strict=True))
    assert (row["pool_pages"], row["user_pages"]) == (14, 0)


def test_rows_come_at_their_interval_and_missed_ones_are_counted():
    machine = sampled(0)
    series = machine.plan.offsets["series"]
    machine.seg[HEADER.t_zero] = time.monotonic_ns() - 5 * INTERVAL_NS
    due = sample_step(machine.seg)
    assert machine.seg[series + SERIES.late] >= 5
    assert (due - machine.seg[HEADER.t_zero]) % INTERVAL_NS == 0 and due > machine.seg[HEADER.t_zero] + 5 * INTERVAL_NS
    assert machine.seg[series + SERIES.rows] == 1


def test_a_full_series_stops_and_says_so():
    machine = sampled(0)
    series = machine.plan.offsets["series"]
    machine.seg[series + SERIES.rows_max] = 2
    for _ in range(4):
        machine.seg[series + SERIES.due] = time.monotonic_ns()
        sample_step(machine.seg)
    found = collect_series(machine.seg, machine.plan)
    assert len(found["rows"]) == 2 and found["full"]


def test_the_cost_of_sampling_is_measured():
    cost = collect_series(*(lambda m: (m.seg, m.plan))(sampled(4)))["cost"]
    assert 0 < cost["per_row_ns"] <= cost["sampled_max_ns"] <= cost["sampled_ns"]


def test_time_below_marks_is_summed_over_samples():
    machine = sampled(3)
    series = collect_series(machine.seg, machine.plan)
    assert series["below_ns"] == [{"zone": "NORMAL", "node": 0, "min": 0, "low": 0, "high": 0}]
    at = machine.plan.offsets["series"] + SERIES.SIZE
    names = [*series["names"]]
    machine.seg[at + names.index("zone0_free")] = 0
    below = collect_series(machine.seg, machine.plan)["below_ns"][0]
    assert below["min"] == below["low"] == below["high"] == series["rows"][1][0] - series["rows"][0][0]


def test_means_weigh_rows_by_the_time_they_stand_for():
    rows = [[0, 10], [30, 20], [40, 0]]
    assert spans(rows, 10) == [30, 10, 10]
    assert summaries(["t_ns", "x"], rows, 10) == {"x": {"min": 0, "mean": 10.0, "max": 20}}
    assert summaries(["t_ns", "x"], [], 10) == {}


def test_without_a_sampler_there_is_no_series():
    machine = small_machine()
    assert collect_series(machine.seg, machine.plan) is None
    assert "sampler" not in [role.name for role in machine.plan.roles]
