"""What kind of lock each lock is: a spinlock_t sleeps on an RT machine and nowhere else, a raw lock never."""

import pytest

from emu.launch.collect_locks import collect_locks, lock_groups
from emu.shm import MAP, MAP_BASE
from emu.sync import CPU, LOCK, LOCKDEP
from tests.small_machine import small_machine

RAW = {"krc->lock", "reserve->lock"}


@pytest.mark.parametrize("preemption", ["none", "voluntary", "full", "rt"])
def test_spinlocks_sleep_on_rt_alone_and_raw_locks_never(preemption):
    m = small_machine(f"run.preemption={preemption}")
    for name, locks in lock_groups(m.seg, m.plan).items():
        sleeps = int(preemption == "rt" and name not in RAW)
        assert {m.seg[lock + LOCK.sleeps] for lock in locks} == {sleeps}, name


@pytest.mark.parametrize(("preemption", "counts"), [("none", 0), ("voluntary", 0), ("full", 1), ("rt", 1)])
def test_preemption_is_counted_where_the_model_does_or_the_user_says(preemption, counts):
    for overrides, expected in (([], counts), (["run.preempt_count=true"], 1), (["run.preempt_count=false"], 0)):
        m = small_machine(f"run.preemption={preemption}", *overrides)
        assert {m.seg[m.plan.cpu(cpu) + CPU.counts] for cpu in range(2)} == {expected}


def test_settings_reach_the_segment():
    m = small_machine("lockdep.enabled=false", "lockdep.on_violation=count", "run.preemption=rt")
    words = m.seg[MAP_BASE + MAP.lockdep]
    assert [m.seg[words + at] for at in (LOCKDEP.enabled, LOCKDEP.on_violation, LOCKDEP.rt)] == [0, 2, 1]


def test_every_lock_has_a_row_and_a_histogram_of_waits():
    m = small_machine("run.epoch=E618")
    rows = [row["name"] for row in collect_locks(m.seg, m.plan)]
    assert rows == ["zone->lock", "pcp->lock", "krc->lock", "list_lock", "mempool->lock", "reserve->lock", "barn->lock"]
    for name, locks in lock_groups(m.seg, m.plan).items():
        assert all(m.seg[lock + LOCK.wait_hist] != 0 for lock in locks), name
