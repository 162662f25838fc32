"""The monitor: what it attaches where, what it frees by polling, what waits; and the barrier at the end."""

import pytest

from emu.arch import NO_DEADLINE
from emu.kvfree import (
    BNODE,
    KRC,
    KRW,
    all_reclaimed,
    krw_of,
    queued_objects,
)
from emu.kvfree.krc import KRW_FREE, KRW_WAITING
from emu.kvfree.monitor import BATCHES_PER_STEP
from emu.mm import PG_BNODE, PG_CACHE
from emu.rcu import RCU, STEP_ENDED, STEP_STARTED, gp_seq, rcu_state, seq_snap
from emu.shm import DRAIN, F_BATCHES, HEADER
from tests.crew import Crew

NOWAIT = "policy.preset=S8"


def krc_word(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[crew.krc(cpu) + getattr(KRC, name)]


def slot_word(crew: Crew, slot: int, name: str, cpu: int = 0) -> int:
    return crew.seg[krw_of(crew.krc(cpu), slot) + getattr(KRW, name)]


def states(crew: Crew, cpu: int = 0) -> list[int]:
    return [slot_word(crew, slot, "state", cpu) for slot in range(2)]


def pass_gp(crew: Crew) -> None:
    """A grace period that somebody else asked for."""
    crew.seg[rcu_state(crew.seg) + RCU.gp_needed] = seq_snap(gp_seq(crew.seg))
    crew.grace_period()


def test_a_batch_takes_all_three_channels_and_one_cookie():
    crew = Crew("run.epoch=E612", "policy.preset=S4", "policy.pool.pages_per_cpu=2", "kvfree.bnode_records=3")
    crew.retire(0, 2)
    crew.retire(0, 2, "vmalloc")
    crew.retire(0, 3)  # one more into the array, two onto the list
    assert (krc_word(crew, "head_count"), krc_word(crew, "count")) == (2, 7)
    crew.monitor_now(0)
    krw = krw_of(crew.krc(0), 0)
    assert 0 not in (crew.seg[krw + KRW.bulk], crew.seg[krw + KRW.bulk + 1], crew.seg[krw + KRW.head])
    assert (crew.seg[krw + KRW.objects], crew.seg[krw + KRW.cookie]) == (7, seq_snap(gp_seq(crew.seg)))
    assert (krc_word(crew, "count"), krc_word(crew, "detached"), krc_word(crew, "in_flight")) == (0, 7, 1)
    assert (states(crew), queued_objects(crew.seg, 0)) == ([KRW_WAITING, KRW_FREE], 7)


@pytest.mark.parametrize("epoch", ["E511", "E61", "E612"])
def test_a_third_batch_waits_until_a_slot_is_free(epoch):
    crew = Crew(f"run.epoch={epoch}", NOWAIT)
    for _ in range(3):
        crew.retire(0, 2)
        crew.monitor_now(0)
    assert states(crew) == [KRW_WAITING] * 2
    assert (krc_word(crew, "in_flight"), krc_word(crew, "count")) == (2, 2)
    assert krc_word(crew, "monitor_due") > crew.now  # looks again after its delay
    crew.grace_period()
    crew.monitor_now(0)
    assert crew.counter("kfree_rcu_work") == 2
    crew.drain()
    assert (krc_word(crew, "in_flight_peak"), crew.counter("kfree_rcu_batch")) == (2, 3 if epoch != "E612" else 2)
    assert crew.broken() == []


def test_one_slot_is_enough_where_the_scenario_says_so():
    crew = Crew("run.epoch=E511", NOWAIT, "kvfree.nr_batches=1")
    for _ in range(2):
        crew.retire(0)
        crew.monitor_now(0)
    assert (krc_word(crew, "in_flight"), krc_word(crew, "count")) == (1, 1)


def test_per_channel_adds_to_a_slot_that_waits_and_waits_for_the_later_cookie():
    crew = Crew("run.epoch=E61", NOWAIT)
    crew.retire(0, 2)
    crew.monitor_now(0)
    early = slot_word(crew, 0, "cookie")
    assert crew.coordinate() == STEP_STARTED  # a grace period runs that began before what follows
    crew.retire(0, 3, "vmalloc")
    crew.monitor_now(0)
    assert states(crew) == [KRW_WAITING, KRW_FREE]
    assert (slot_word(crew, 0, "objects"), slot_word(crew, 0, "cookie")) == (5, early + 4)
    crew.grace_period()
    crew.run_reclaim(0)
    assert crew.counter("kfree_rcu_work") == 0
    crew.grace_period()
    crew.run_reclaim(0)
    assert (crew.counter("kfree_rcu_work"), crew.counter("kvfree_freed_bulk")) == (1, 5)
    assert crew.fault == 0


def test_per_channel_uses_the_next_slot_for_a_channel_that_is_taken():
    crew = Crew("run.epoch=E61", NOWAIT)
    crew.retire(0)
    crew.monitor_now(0)
    crew.retire(0)
    crew.retire(0, 1, "vmalloc")
    crew.monitor_now(0)
    assert states(crew) == [KRW_WAITING] * 2
    assert [slot_word(crew, slot, "objects") for slot in (0, 1)] == [2, 1]


def test_whole_slot_never_adds_to_a_slot_that_waits():
    crew = Crew("run.epoch=E612", NOWAIT)
    crew.retire(0)
    crew.monitor_now(0)
    cookie = slot_word(crew, 0, "cookie")
    crew.retire(0, 1, "vmalloc")
    crew.monitor_now(0)
    assert [slot_word(crew, slot, "objects") for slot in (0, 1)] == [1, 1]
    assert slot_word(crew, 0, "cookie") == cookie


def test_polling_frees_what_has_waited_already_and_batches_the_rest():
    crew = Crew("run.epoch=E612", NOWAIT, "kvfree.bnode_records=2")
    crew.retire(0, 4)
    pass_gp(crew)
    crew.retire(0, 3)
    crew.monitor_now(0)
    assert (crew.counter("kfree_rcu_polled"), crew.counter("kvfree_freed_bulk")) == (4, 4)
    assert slot_word(crew, 0, "objects") == 3
    assert crew.counter("rcu_gp_start") == 1  # no grace period for them
    crew.drain()
    assert crew.broken() == []


def test_polling_stops_at_the_first_bnode_that_is_not_ready():
    crew = Crew("run.epoch=E612", NOWAIT, "kvfree.bnode_records=2")
    crew.retire(0, 6)
    pass_gp(crew)
    oldest = krc_word(crew, "bulk_tail")
    crew.seg[crew.seg[oldest + BNODE.newer] + BNODE.gp_snap] = gp_seq(crew.seg) + 4
    crew.monitor_now(0)
    assert crew.counter("kfree_rcu_polled") == 2  # the oldest alone, though the newest is ready too
    assert slot_word(crew, 0, "objects") == 4


def test_a_polled_bnode_that_was_used_again_waits_anew():
    crew = Crew("run.epoch=E612", NOWAIT, "kvfree.bnode_records=5")
    crew.retire(0, 2)
    pass_gp(crew)
    crew.retire(0, 1)
    crew.monitor_now(0)
    assert crew.counter("kfree_rcu_polled") == 0
    assert slot_word(crew, 0, "objects") == 3


def test_polling_frees_a_list_whole_once_its_last_object_has_waited():
    crew = Crew("run.epoch=E612", "policy.preset=S19")
    crew.retire(0, 3)
    pass_gp(crew)
    crew.retire(0, 1)
    crew.monitor_now(0)
    assert crew.counter("kvfree_freed_list") == 0
    crew.retire(1, 3)
    pass_gp(crew)
    crew.monitor_now(1)
    assert crew.counter("kfree_rcu_polled") == 3
    assert crew.counter("kvfree_freed_list") == 4 + 3  # the first CPU's came back as a batch


@pytest.mark.parametrize("epoch", ["E511", "E61"])
def test_earlier_epochs_do_not_poll(epoch):
    crew = Crew(f"run.epoch={epoch}", NOWAIT)
    crew.retire(0, 2)
    pass_gp(crew)
    crew.monitor_now(0)
    assert (crew.counter("kfree_rcu_polled"), slot_word(crew, 0, "objects")) == (0, 2)


# --- the daemon's step -------------------------------------------------------------------------------------


def test_an_idle_daemon_sleeps_until_it_is_rung_and_an_armed_one_until_the_due_time():
    crew = Crew("run.epoch=E612", NOWAIT)
    assert crew.run_reclaim(0) == NO_DEADLINE
    crew.retire(1)
    due = krc_word(crew, "monitor_due", 1)
    assert crew.run_reclaim(0) == due
    crew.set_clock(due - 50)
    assert crew.run_reclaim(0) == due
    assert crew.counter("kfree_rcu_monitor") == 0
    crew.set_clock(due)
    assert crew.run_reclaim(0) == 0  # did something: look again at once
    assert crew.counter("kfree_rcu_monitor") == 1
    assert crew.run_reclaim(0) == NO_DEADLINE


def test_a_bound_daemon_leaves_other_cpus_alone():
    crew = Crew("run.epoch=E511", NOWAIT)
    crew.retire(0)
    crew.retire(1)
    crew.seg[crew.krc(0) + KRC.monitor_due] = crew.seg[crew.krc(1) + KRC.monitor_due] = 1
    crew.run_reclaim(1)
    assert [states(crew, cpu)[0] for cpu in (0, 1)] == [KRW_FREE, KRW_WAITING]


def test_a_step_works_off_a_bounded_number_of_batches():
    crew = Crew("run.epoch=E612", NOWAIT, "cpus.count=6")
    for cpu in range(6):
        crew.retire(cpu)
        crew.monitor_now(cpu)
    crew.grace_period()
    assert crew.run_reclaim(0) == 0
    assert crew.counter("kfree_rcu_work") == BATCHES_PER_STEP
    crew.run_reclaim(0)
    assert crew.counter("kfree_rcu_work") == 6


@pytest.mark.parametrize("epoch", ["E59", "E511", "E61", "E612"])
def test_the_barrier_leaves_nothing_queued(epoch):
    crew = Crew(f"run.epoch={epoch}", "policy.sources=['static', 'cache']", "policy.pool.pages_per_cpu=3",
                "kvfree.bnode_records=3")
    for _ in range(4):
        for cpu in (0, 1):
            crew.retire(cpu, 7)
            crew.retire(cpu, 2, "vmalloc")
            crew.monitor_now(cpu)
    assert all_reclaimed(crew.seg, 0, 2) == 0
    assert krc_word(crew, "in_flight") == 2
    crew.drain()
    assert all_reclaimed(crew.seg, 0, 2) == 1
    assert [queued_objects(crew.seg, cpu) for cpu in (0, 1)] == [0, 0]
    assert crew.counter("kvfree_calls") == 72
    assert crew.broken() == []


def test_the_barrier_does_not_wait_for_the_monitor_s_delay():
    crew = Crew("run.epoch=E612", NOWAIT)
    crew.retire(0)
    crew.seg[HEADER.run_state] = DRAIN
    crew.run_reclaim(0)
    assert states(crew)[0] == KRW_WAITING
    assert all_reclaimed(crew.seg, 0, 1) == 0
    while crew.coordinate() != STEP_ENDED:
        crew.advance(crew.jiffy)
    crew.run_reclaim(0)
    assert all_reclaimed(crew.seg, 0, 1) == 1


def test_batches_keep_their_bnodes_pages_until_they_are_freed():
    crew = Crew("run.epoch=E612", "policy.sources=['cache', 'nowait']", "kvfree.bnode_records=2")
    crew.retire(0, 6)
    crew.monitor_now(0)
    pages = crew.pages()
    assert (pages[PG_BNODE], pages[PG_CACHE]) == (3, 0)
    crew.grace_period()
    crew.run_reclaim(0)
    pages = crew.pages()
    assert (pages[PG_BNODE], pages[PG_CACHE]) == (0, 3)


# --- the checker sees what it is for -----------------------------------------------------------------------


def test_the_checker_sees_a_third_batch_in_flight():
    crew = Crew("run.epoch=E612", NOWAIT)
    for _ in range(2):
        crew.retire(0)
        crew.monitor_now(0)
    krw = krw_of(crew.krc(0), 0)
    crew.seg[krw + KRW.state], crew.seg[krw + KRW.bulk] = KRW_FREE, 0
    assert crew.fault == 0
    crew.retire(0)
    crew.monitor_now(0)
    assert (crew.fault, crew.seg[HEADER.fault_b]) == (F_BATCHES, 3)
