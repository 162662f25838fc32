"""The emulated lockdep judges by wait type, context and holder, before anything blocks; the first of a kind is kept."""

import pytest

from emu.shm import HEADER
from emu.stats import VM, counter
from emu.sync import (
    CALL_IN_NMI,
    CTX_HARDIRQ,
    CTX_NMI,
    CTX_SOFTIRQ,
    CTX_TASK,
    CTX_TASK_ATOMIC,
    HELD,
    LC,
    LOCKDEP,
    ON_VIOLATION,
    context_enter,
    held_of,
    lockdep_acquired,
    lockdep_released,
    lockdep_report,
    may_acquire,
    may_block,
    may_enter,
    read_splats,
)
from emu.sync.lockdep import CLASS_SHIFT, LOCK_CLASSES, MAX_HELD

ME = 1


@pytest.fixture
def m(machine):
    """A machine whose process 1 is a preemptible task that holds nothing."""
    return machine()


def counts(m):
    return tuple(counter(m.seg, ME, item) for item in (VM.wait_ctx_violation, VM.sleep_in_atomic, VM.self_deadlock))


def setting(m, name, value):
    m.seg[m.lockdep + getattr(LOCKDEP, name)] = value


def test_classes_carry_their_wait_types():
    for attribute, wait in LOCK_CLASSES.values():
        assert getattr(LC, attribute) >> CLASS_SHIFT == wait


@pytest.mark.parametrize(("held", "wanted", "legal"), [
    ("raw", "krc", True), ("raw", "zone", False), ("krc", "pool_raw", True), ("krc", "pool", False),
    ("zone", "krc", True), ("pcp", "zone", True), ("zone", "mutex", False), ("mutex", "mutex", True),
])
def test_a_lock_may_be_taken_under_locks_of_its_type_or_a_higher_one(m, held, wanted, legal):
    lockdep_acquired(m.seg, ME, getattr(LC, held), 100)
    may_acquire(m.seg, ME, getattr(LC, wanted), 200)
    assert (counts(m)[0] == 0) == legal


def test_the_lowest_held_lock_counts_not_the_last(m):
    lockdep_acquired(m.seg, ME, LC.raw, 100)
    lockdep_acquired(m.seg, ME, LC.pcp, 200)  # taken by trylock: nobody was asked
    may_acquire(m.seg, ME, LC.zone, 300)
    assert counts(m) == (1, 0, 0)


@pytest.mark.parametrize(("context", "raw", "spinlock"), [
    (CTX_TASK, 0, 0), (CTX_TASK_ATOMIC, 0, 0), (CTX_SOFTIRQ, 0, 0), (CTX_HARDIRQ, 0, 1), (CTX_NMI, 1, 1),
])
def test_contexts_limit_wait_types(m, context, raw, spinlock):
    context_enter(m.seg, ME, context)
    may_enter(m.seg, ME, 0, LC.krc)
    assert counts(m)[0] == raw
    may_enter(m.seg, ME, 0, LC.zone)
    assert counts(m)[0] == raw + spinlock


@pytest.mark.parametrize(("mode", "rt", "goes_on"), [
    ("auto", 0, 1), ("auto", 1, 0), ("fail", 0, 0), ("fail", 1, 0), ("count", 0, 1), ("count", 1, 1),
])
def test_an_invalid_wait_context_is_counted_everywhere_and_fails_where_it_would_block(m, mode, rt, goes_on):
    setting(m, "on_violation", ON_VIOLATION[mode])
    setting(m, "rt", rt)
    lockdep_acquired(m.seg, ME, LC.krc, 100)
    assert may_acquire(m.seg, ME, LC.zone, 200) == goes_on
    assert counts(m) == (1, rt, 0)  # on RT the spinlock_t would have slept as well


@pytest.mark.parametrize(("mode", "goes_on"), [("auto", 0), ("fail", 0), ("count", 1)])
def test_a_lock_of_its_own_holder_is_told_before_it_blocks(m, mode, goes_on):
    setting(m, "on_violation", ON_VIOLATION[mode])
    lockdep_acquired(m.seg, ME, LC.zone, 100)
    assert may_acquire(m.seg, ME, LC.zone, 100) == goes_on
    assert counts(m) == (0, 0, 1)
    assert m.seg[HEADER.fault] == 0


def test_another_lock_of_the_class_is_no_self_deadlock_and_another_process_is_another_holder(m):
    lockdep_acquired(m.seg, ME, LC.zone, 100)
    assert may_acquire(m.seg, ME, LC.zone, 200) == 1
    assert may_acquire(m.seg, 2, LC.zone, 100) == 1
    assert counts(m) == (0, 0, 0)


def test_a_source_that_names_no_lock_is_judged_by_class(m):
    lockdep_acquired(m.seg, ME, LC.pool, 100)
    assert may_enter(m.seg, ME, 0, LC.pool) == 0
    assert counts(m) == (0, 0, 1)


@pytest.mark.parametrize(("context", "rt", "asleep"), [
    (CTX_TASK, 0, 0), (CTX_TASK_ATOMIC, 0, 1), (CTX_SOFTIRQ, 0, 1), (CTX_SOFTIRQ, 1, 0), (CTX_HARDIRQ, 1, 1),
])
def test_sleeping_in_atomic_context_is_counted_and_fails(m, context, rt, asleep):
    setting(m, "rt", rt)
    context_enter(m.seg, ME, context)
    assert may_block(m.seg, ME, 0) == 1 - asleep
    assert counts(m) == (0, asleep, 0)


def test_on_rt_a_spinlock_sleeps_and_is_not_for_atomic_tasks(m):
    context_enter(m.seg, ME, CTX_TASK_ATOMIC)
    assert may_enter(m.seg, ME, 0, LC.zone) == 1
    setting(m, "rt", 1)
    assert may_enter(m.seg, ME, 0, LC.zone) == 0
    assert counts(m) == (0, 1, 0)


def test_locks_are_released_in_any_order_and_the_stack_is_empty_again(m):
    for at, each in enumerate((LC.raw, LC.zone, LC.pcp)):
        lockdep_acquired(m.seg, ME, each, 100 + at)
    lockdep_released(m.seg, ME, LC.raw, 100)
    assert may_acquire(m.seg, ME, LC.list, 200) == 1
    assert may_acquire(m.seg, ME, LC.zone, 101) == 0  # still there, one place lower
    lockdep_released(m.seg, ME, LC.pcp, 102)
    lockdep_released(m.seg, ME, LC.zone, 101)
    assert m.seg[held_of(m.seg, ME) + HELD.depth] == 0


def test_a_stack_deeper_than_its_room_loses_names_not_the_count(m):
    for at in range(MAX_HELD + 3):
        lockdep_acquired(m.seg, ME, LC.pcp, 100 + at)
    for at in range(MAX_HELD + 3):
        lockdep_released(m.seg, ME, LC.pcp, 100 + at)
    assert m.seg[held_of(m.seg, ME) + HELD.depth] == 0


def test_the_first_of_each_kind_is_kept_with_the_stack_of_held_locks(m):
    context_enter(m.seg, ME, CTX_SOFTIRQ)
    lockdep_acquired(m.seg, ME, LC.raw, 100)
    lockdep_acquired(m.seg, ME, LC.krc, 101)
    may_enter(m.seg, ME, 1, LC.zone)
    lockdep_released(m.seg, ME, LC.krc, 101)
    may_enter(m.seg, ME, 0, LC.pool)
    [splat] = read_splats(m.seg)
    assert (splat["kind"], splat["cpu"], splat["process"]) == ("invalid wait context", 1, ME)
    assert (splat["context"], splat["wanted"], splat["wanted_type"]) == ("softirq", "zone->lock", "spinlock")
    assert [(each["name"], each["type"]) for each in splat["held"]] == [
        ("caller's raw lock", "raw"), ("krc->lock", "raw")]
    assert counts(m)[0] == 2


def test_a_call_in_nmi_has_a_kind_of_its_own(m):
    assert lockdep_report(m.seg, ME, 0, CALL_IN_NMI, LC.krc, 0) == 1
    assert lockdep_report(m.seg, ME, 0, CALL_IN_NMI, LC.krc, 0) == 0
    assert counter(m.seg, ME, VM.kvfree_in_nmi) == 2
    assert [splat["kind"] for splat in read_splats(m.seg)] == ["kvfree_rcu() in NMI"]


def test_switched_off_it_sees_nothing(m):
    setting(m, "enabled", 0)
    lockdep_acquired(m.seg, ME, LC.zone, 100)
    context_enter(m.seg, ME, CTX_NMI)
    assert may_acquire(m.seg, ME, LC.zone, 100) == may_block(m.seg, ME, 0) == 1
    assert counts(m) == (0, 0, 0)
    assert read_splats(m.seg) == []
