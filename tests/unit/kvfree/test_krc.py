"""kvfree_rcu(): array, list or wait; cookies, arming, bells; and what a one-argument caller may do."""

import pytest

from emu.kvfree import (
    BNODE,
    KRC,
    TO_ARRAY,
    TO_LIST,
    TO_SYNC,
    krc_of,
    kvfree_call_rcu,
    kvfree_rcu_mightsleep,
    queued_objects,
)
from emu.kvfree.krc import NEVER
from emu.mm import GFP_KERNEL, PG_BNODE, POISON, RCU_COOKIE, RCU_NEXT, kmalloc, object_words, page_state, pfn_of
from emu.policy import STOCK, stock_of
from emu.rcu import RCU, gp_seq, rcu_eqs_exit, rcu_read_lock, rcu_read_unlock, rcu_state, seq_snap
from emu.shm import HEADER, PROC, RUN, STOP, proc_of, set_run_state
from emu.stats import sum_counters
from emu.sync import LOCK, preempt_disable, preempt_enable, proc_ring
from tests.crew import MS, Crew, booted
from workers import coordinator


def krc_word(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[crew.krc(cpu) + getattr(KRC, name)]


def full_cache(*overrides) -> Crew:
    """A machine whose caches the workers have filled."""
    crew = Crew(*overrides)
    for cpu in range(crew.plan.cpus):
        crew.retire(cpu)
        crew.run_refill(cpu)
    return crew


# --- two arguments -----------------------------------------------------------------------------------------


def test_slab_and_vmalloc_pointers_go_to_channels_of_their_own():
    crew = Crew("policy.preset=S8", "kvfree.bnode_records=3")
    assert crew.retire(0, 4) + crew.retire(0, 2, "vmalloc") == [TO_ARRAY] * 6
    krc = crew.krc(0)
    assert [crew.seg[krc + KRC.bulk_count + channel] for channel in (0, 1)] == [4, 2]
    slab, vmalloced = (crew.seg[krc + KRC.bulk_head + channel] for channel in (0, 1))
    assert [crew.seg[bnode + BNODE.nr_records] for bnode in (slab, vmalloced)] == [1, 2]
    assert crew.counter("kvfree_bulk") == crew.counter("kvfree_calls") == queued_objects(crew.seg, 0) == 6
    crew.drain()
    assert (crew.counter("vmalloc_free"), crew.broken()) == (2, [])


def test_without_a_page_the_object_is_linked_through_its_own_head():
    crew = Crew("policy.preset=S19")
    objects = [crew.make(0), crew.make(0, "vmalloc"), crew.make(0)]
    assert {kvfree_call_rcu(crew.seg, 0, 0, obj) for obj in objects} == {TO_LIST}
    walked, obj = [], krc_word(crew, "head")
    while obj:
        walked.append(obj)
        obj = crew.seg[object_words(obj) + RCU_NEXT]
    assert walked == objects[::-1]
    assert (krc_word(crew, "head_count"), crew.counter("kvfree_fallback_list")) == (3, 3)
    crew.drain()
    assert (crew.counter("kvfree_freed_list"), crew.broken()) == (3, [])


def test_the_list_is_left_again_once_a_page_is_there():
    crew = Crew("run.epoch=E61")
    assert crew.retire(0, 2) == [TO_LIST] * 2
    crew.run_refill(0)
    assert crew.retire(0, 2) == [TO_ARRAY] * 2
    objects = crew.histogram("fallback_window_objects")
    assert (objects.count, objects.max) == (1, 2)


def test_a_fallback_asks_for_a_refill_once():
    crew = Crew("run.epoch=E61")
    bell = proc_of(crew.seg, crew.refill(0)) + PROC.bell
    before = crew.seg[bell]
    crew.retire(0, 5)
    assert (crew.counter("krc_refill_req"), crew.seg[bell] - before) == (1, 1)


def test_each_record_refreshes_the_cookie_of_its_bnode():
    crew = Crew("run.epoch=E612", "policy.preset=S8")
    crew.retire(0)
    bnode = krc_word(crew, "bulk_head")
    first = crew.seg[bnode + BNODE.gp_snap]
    assert first == seq_snap(gp_seq(crew.seg))
    crew.seg[rcu_state(crew.seg) + RCU.gp_needed] += 4
    crew.grace_period()
    assert crew.seg[bnode + BNODE.gp_snap] == first
    crew.retire(0)
    assert crew.seg[bnode + BNODE.gp_snap] == first + 4 == seq_snap(gp_seq(crew.seg))


def test_with_verify_each_object_carries_its_own_cookie():
    crew = Crew("policy.preset=S8")
    obj = crew.make(0)
    kvfree_call_rcu(crew.seg, 0, 0, obj)
    assert crew.seg[object_words(obj) + RCU_COOKIE] == seq_snap(gp_seq(crew.seg))


def test_calls_are_legal_in_sections_and_readers_and_leave_the_lock_free():
    crew = Crew("policy.preset=S8")
    preempt_disable(crew.seg, 0)
    rcu_read_lock(crew.seg, 0)
    assert crew.retire(0, 2) == [TO_ARRAY] * 2
    rcu_read_unlock(crew.seg, 0)
    preempt_enable(crew.seg, 0, 0)
    lock = crew.krc(0) + KRC.lock
    assert (crew.seg[lock], crew.seg[lock + LOCK.acquired]) == (0, 2)
    assert crew.fault == 0


# --- arming the monitor ------------------------------------------------------------------------------------


def test_e511_arms_once_for_20_ms_however_many_come():
    crew = full_cache("run.epoch=E511", "kvfree.bnode_records=3")
    due = krc_word(crew, "monitor_due")
    assert 20 * MS < due - crew.now <= 24 * MS
    crew.advance(MS)
    crew.retire(0, 12)
    assert krc_word(crew, "monitor_due") == due
    assert krc_word(crew, "arm_at") == NEVER


@pytest.mark.parametrize("epoch", ["E61", "E612"])
def test_later_epochs_arm_for_5_s_and_for_a_jiffy_once_a_page_s_worth_is_queued(epoch):
    crew = full_cache(f"run.epoch={epoch}", "kvfree.bnode_records=4")
    assert 5000 * MS < krc_word(crew, "monitor_due") - crew.now <= 5004 * MS
    crew.retire(0, 2)
    assert krc_word(crew, "count") == 3
    assert krc_word(crew, "monitor_due") > 5000 * MS + crew.now - 100
    crew.retire(0, 1)
    assert crew.jiffy < krc_word(crew, "monitor_due") - crew.now <= 2 * crew.jiffy


def test_a_due_time_is_only_brought_forward():
    crew = full_cache("run.epoch=E612", "kvfree.bnode_records=3")
    crew.retire(0, 3)
    due = krc_word(crew, "monitor_due")
    crew.advance(crew.jiffy)
    crew.retire(0, 3)
    assert krc_word(crew, "monitor_due") == due


def test_the_daemon_is_rung_only_when_it_would_wake_too_late():
    crew = Crew("run.epoch=E511")
    proc = proc_of(crew.seg, crew.reclaim(0))
    crew.seg[proc + PROC.wake_at] = NEVER
    crew.retire(0)
    assert crew.seg[proc + PROC.bell] == 1
    crew.seg[crew.krc(0) + KRC.monitor_due] = crew.seg[crew.krc(0) + KRC.arm_at] = 0
    crew.seg[proc + PROC.wake_at] = crew.now  # it looks earlier anyway
    crew.retire(0)
    assert crew.seg[proc + PROC.bell] == 1


def test_a_bell_for_a_bound_daemon_waits_for_the_end_of_the_section():
    crew = Crew("run.epoch=E511", "policy.preset=S19")
    proc = proc_of(crew.seg, crew.reclaim(0))
    crew.seg[proc + PROC.wake_at] = NEVER
    preempt_disable(crew.seg, 0)
    crew.retire(0)
    assert crew.seg[proc + PROC.bell] == 0
    preempt_enable(crew.seg, 0, 0)
    assert crew.seg[proc + PROC.bell] == 1


# --- one argument ------------------------------------------------------------------------------------------


def test_a_one_argument_call_prefers_the_cache():
    crew = full_cache("run.epoch=E61")
    assert kvfree_rcu_mightsleep(crew.seg, 0, 0, crew.make(0)) == TO_ARRAY
    assert (crew.counter("krc_cache_hit"), crew.counter("direct_alloc_hit")) == (1, 0)


def test_a_one_argument_call_fetches_its_own_page_with_the_lock_dropped():
    crew = Crew("run.epoch=E61")
    lock = crew.krc(0) + KRC.lock
    assert kvfree_rcu_mightsleep(crew.seg, 0, 0, crew.make(0)) == TO_ARRAY
    assert crew.counter("direct_alloc_hit") == 1
    assert crew.seg[lock + LOCK.acquired] == 2  # taken, dropped, taken again
    assert crew.seg[lock] == 0
    assert page_state(crew.seg, pfn_of(krc_word(crew, "bulk_head"))) == PG_BNODE
    assert crew.seg[stock_of(crew.seg, 0) + STOCK.held] == 1
    crew.drain()
    assert crew.broken() == []


@pytest.mark.parametrize("where", ["section", "reader"])
def test_a_one_argument_call_that_may_not_sleep_is_counted_and_made_one_with_two(where):
    crew = Crew("run.epoch=E61")
    if where == "section":
        preempt_disable(crew.seg, 0)
    else:
        rcu_read_lock(crew.seg, 0)
    assert kvfree_rcu_mightsleep(crew.seg, 0, 0, crew.make(0)) == TO_LIST
    assert (crew.counter("sleep_in_atomic"), crew.counter("kvfree_one_arg"), crew.counter("kvfree_calls")) == (1, 1, 1)
    assert crew.counter("synchronize_rcu") == 0


def test_without_any_page_a_one_argument_caller_waits_and_frees_itself(shared_words, fork):
    machine = booted(shared_words, "run.epoch=E511", "run.hz=1000", "rcu.jiffies_till_first_fqs=1")
    seg, driver = machine.seg, machine.index("coordinator")
    seg[HEADER.run_state] = STOP
    coordinator.main(seg, driver)  # compiled before the fork
    seg[HEADER.run_state] = RUN
    child = fork(lambda: coordinator.main(seg, driver))
    rcu_eqs_exit(seg, 0)
    obj = kmalloc(seg, 0, 0, 0, GFP_KERNEL)
    before = gp_seq(seg)
    assert kvfree_rcu_mightsleep(seg, 0, 0, obj) == TO_SYNC
    assert gp_seq(seg) >= seq_snap(before)
    assert seg[object_words(obj) + RCU_COOKIE] == POISON
    set_run_state(seg, STOP)
    proc_ring(seg, driver)
    assert child.wait() == 0
    counters = sum_counters(seg)
    names = ("kvfree_fallback_sync", "kvfree_freed_sync", "kvfree_page_miss", "krc_refill_req", "kvfree_calls")
    assert [counters[name] for name in names] == [1] * 5
    assert queued_objects(seg, 0) == 0 and machine.fault == 0


def test_a_caller_whose_wait_was_cut_short_leaves_the_object_where_the_ledger_finds_it():
    crew = Crew("run.epoch=E511")
    crew.seg[HEADER.run_state] = STOP
    obj = crew.make(0)
    assert kvfree_rcu_mightsleep(crew.seg, 0, 0, obj) == TO_SYNC
    assert (crew.seg[krc_of(crew.seg, 0) + KRC.head], queued_objects(crew.seg, 0)) == (obj, 1)
    assert crew.counter("kvfree_freed_sync") == 0
