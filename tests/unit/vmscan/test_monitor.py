"""lmkd and oomd: when they fire, whom they kill, when they keep still."""

import pytest

from emu.shm import now_ns
from emu.stats import VM, VM_WORDS
from emu.vmscan import KILL, PSI, VMSCAN, WATCH, kill_of, monitor_begin, vmscan_of
from emu.vmscan.monitor import (
    NOT_OVER,
    highest_adj,
    lmkd_look,
    mark_breached,
    monitor_kill,
    oomd_look,
    thrashing_percent,
    trigger,
    watch_of,
)
from emu.vmscan.psi import FIXED_1, psi_of
from emu.vmscan.state import KILLED_BY_LMKD, KILLED_BY_OOMD
from tests.unit.vmscan.pressed import counters, eat, pressed

MS = 1_000_000


def watched(kind, *overrides):
    """(machine, time zero of the monitor)."""
    machine = pressed(f'monitor.kind="{kind}"', "apps.oom_score_adj=[100, 900]", *overrides)
    now = now_ns(machine.seg)
    monitor_begin(machine.seg, now)
    return machine, now


def kills(machine):
    return machine.seg[vmscan_of(machine.seg) + VMSCAN.nr_kills]


def test_a_trigger_fires_once_a_window():
    machine, now = watched("lmkd")
    assert trigger(machine.seg, 0, 69 * MS, 70 * MS, now + 100 * MS) == 0
    assert trigger(machine.seg, 0, 70 * MS, 70 * MS, now + 200 * MS) == 1
    assert trigger(machine.seg, 0, 500 * MS, 70 * MS, now + 300 * MS) == 0
    assert trigger(machine.seg, 0, 560 * MS, 70 * MS, now + 1000 * MS) == 0  # a new window begins here
    assert trigger(machine.seg, 0, 640 * MS, 70 * MS, now + 1100 * MS) == 1


def stall(machine, some_ms=0, full_ms=0):
    psi = psi_of(machine.seg)
    machine.seg[psi + PSI.some_ns] += some_ms * MS
    machine.seg[psi + PSI.full_ns] += full_ms * MS


def test_partial_pressure_alone_kills_nobody():
    machine, now = watched("lmkd")
    stall(machine, some_ms=100)
    assert lmkd_look(machine.seg, 0, now + 100 * MS) == 0 == kills(machine)


def test_partial_pressure_with_a_breached_mark_kills_the_highest_adj():
    machine, now = watched("lmkd")
    eat(machine)
    assert mark_breached(machine.seg) == 1
    stall(machine, some_ms=100)
    assert lmkd_look(machine.seg, 0, now + 100 * MS) == 1
    kill = kill_of(machine.seg, 0)
    assert (machine.seg[kill + KILL.app], machine.seg[kill + KILL.cause]) == (1, KILLED_BY_LMKD)
    assert counters(machine)["monitor_kill"] == 1 and counters(machine)["oom_kill"] == 0


def test_partial_pressure_spares_what_the_user_perceives_and_complete_pressure_does_not():
    machine, now = watched("lmkd", "apps.oom_score_adj=[0, 100]")
    eat(machine)
    stall(machine, some_ms=100)
    assert lmkd_look(machine.seg, 0, now + 100 * MS) == 0
    stall(machine, full_ms=800)
    assert lmkd_look(machine.seg, 0, now + 200 * MS) == 1
    assert machine.seg[kill_of(machine.seg, 0) + KILL.app] == 1


def test_thrashing_beyond_the_limit_kills_and_lowers_the_limit():
    machine, now = watched("lmkd", "monitor.thrashing_limit=10")
    seg = machine.seg
    seg[machine.plan.offsets["counters"] + machine.index("app/0") * VM_WORDS + VM.workingset_refault_file] = 500
    assert thrashing_percent(seg, 0) == 500 * 100 // 841
    stall(machine, some_ms=100)
    assert lmkd_look(seg, 0, now + 100 * MS) == 1
    assert seg[watch_of(seg) + WATCH.limit_now] == 9


def test_after_a_kill_it_waits():
    machine, now = watched("lmkd", "apps.count=3", "apps.pages=400", "apps.oom_score_adj=[300, 900, 800]")
    seg = machine.seg
    eat(machine)
    stall(machine, some_ms=100)
    assert lmkd_look(seg, 0, now + 100 * MS) == 1
    assert seg[watch_of(seg) + WATCH.armed_at] == now + 200 * MS


def test_nobody_is_killed_while_somebody_dies():
    machine, _now = watched("lmkd")
    assert monitor_kill(machine.seg, 0, 0, KILLED_BY_LMKD) == 1
    assert monitor_kill(machine.seg, 0, 1, KILLED_BY_LMKD) == 0
    assert highest_adj(machine.seg, 0) == 1


@pytest.mark.parametrize("percent, killed", [(59, 0), (70, 1)])
def test_oomd_kills_the_largest_after_pressure_of_some_length(percent, killed):
    machine, now = watched("oomd", "monitor.oomd_duration_ms=1000")
    machine.seg[psi_of(machine.seg) + PSI.full_avg] = percent * FIXED_1
    assert oomd_look(machine.seg, 0, now) == 0
    assert oomd_look(machine.seg, 0, now + 999 * MS) == 0
    assert oomd_look(machine.seg, 0, now + 1000 * MS) == killed
    if killed:
        assert machine.seg[kill_of(machine.seg, 0) + KILL.cause] == KILLED_BY_OOMD
    else:
        assert machine.seg[watch_of(machine.seg) + WATCH.over_since] == NOT_OVER
