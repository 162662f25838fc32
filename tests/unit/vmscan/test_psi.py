"""Stall times: some, full, and their averages."""

import pytest

from emu.shm import now_ns
from emu.vmscan import PSI, PSI_IDLE, PSI_RUNNING, PSI_STALLED
from emu.vmscan.psi import (
    FIXED_1,
    decay,
    decay_of,
    memstall_enter,
    memstall_leave,
    psi_change,
    psi_of,
    psi_settle,
    psi_update_averages,
)
from tests.unit.vmscan.pressed import pressed

SECOND = 1_000_000_000


def settled(machine, ns):
    """(some, full) after `ns` more."""
    psi = psi_of(machine.seg)
    before = machine.seg[psi + PSI.some_ns], machine.seg[psi + PSI.full_ns]
    psi_settle(machine.seg, machine.seg[psi + PSI.since] + ns)
    return machine.seg[psi + PSI.some_ns] - before[0], machine.seg[psi + PSI.full_ns] - before[1]


@pytest.mark.parametrize("states, some, full", [
    ((PSI_RUNNING, PSI_RUNNING), 0, 0), ((PSI_STALLED, PSI_RUNNING), SECOND, 0), ((PSI_IDLE, PSI_IDLE), 0, 0),
    ((PSI_STALLED, PSI_IDLE), SECOND, SECOND), ((PSI_STALLED, PSI_STALLED), SECOND, SECOND),
])
def test_some_is_one_stalled_and_full_is_nobody_running(states, some, full):
    machine = pressed(filled=False)
    for me, state in enumerate(states):
        psi_change(machine.seg, me, state)
    assert settled(machine, SECOND) == (some, full)


def test_a_stall_inside_a_stall_ends_with_the_outer_one():
    machine = pressed(filled=False)
    psi_change(machine.seg, 0, PSI_RUNNING)
    outer = memstall_enter(machine.seg, 0)
    inner = memstall_enter(machine.seg, 0)
    memstall_leave(machine.seg, 0, inner)
    assert settled(machine, SECOND) == (SECOND, SECOND)
    memstall_leave(machine.seg, 0, outer)
    assert settled(machine, SECOND) == (0, 0)
    assert machine.seg[psi_of(machine.seg) + PSI.running] == 1


def test_an_average_of_a_constant_share_comes_near_it_and_falls_again():
    average = 0
    for _ in range(40):
        average = decay(average, decay_of(0), 50 * FIXED_1)
    assert 49 * FIXED_1 < average <= 50 * FIXED_1
    for _ in range(40):
        average = decay(average, decay_of(0), 0)
    assert average < FIXED_1


def test_longer_averages_move_less():
    assert decay(0, decay_of(0), FIXED_1) > decay(0, decay_of(1), FIXED_1) > decay(0, decay_of(2), FIXED_1)


def test_averages_move_once_in_two_seconds():
    machine = pressed(filled=False)
    psi = psi_of(machine.seg)
    machine.seg[psi + PSI.since] = machine.seg[psi + PSI.avg_at] = now_ns(machine.seg) - 1
    machine.seg[psi + PSI.some_ns] = SECOND
    due = psi_update_averages(machine.seg, 0)
    assert machine.seg[psi + PSI.some_avg] == decay(0, decay_of(0), 50 * FIXED_1)
    assert psi_update_averages(machine.seg, 0) == due
    assert machine.seg[psi + PSI.some_avg] == decay(0, decay_of(0), 50 * FIXED_1)
