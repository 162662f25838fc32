"""The hand-over of batches: never before their grace period, in order, to the daemon they came from."""

from emu.kvfree import CB, KRC, KRW, MAX_BATCHES, advance_callbacks, cb_of, krw_of
from emu.kvfree.callbacks import next_ready_batch, queue_rcu_work
from emu.rcu import gp_seq, seq_snap
from emu.shm import F_RING_OVERFLOW, PROC, proc_of
from tests.crew import Crew


def hand_over(crew: Crew, index: int, cpu: int, slot: int) -> None:
    """A batch with the present cookie."""
    cookie = seq_snap(gp_seq(crew.seg))
    crew.seg[krw_of(crew.krc(cpu), slot) + KRW.cookie] = cookie
    queue_rcu_work(crew.seg, crew.reclaim(cpu), index, cpu, slot, cookie)


def ready(crew: Crew, index: int) -> list[int]:
    batches = []
    while (batch := next_ready_batch(crew.seg, index)) >= 0:
        batches.append(batch)
    return batches


def test_a_batch_is_passed_on_only_after_its_grace_period():
    crew = Crew("run.epoch=E612")
    hand_over(crew, 0, 1, 0)
    assert advance_callbacks(crew.seg, crew.coordinator) == 0
    assert ready(crew, 0) == []
    bell = proc_of(crew.seg, crew.reclaim(1)) + PROC.bell
    before = crew.seg[bell]
    crew.grace_period()
    assert ready(crew, 0) == [MAX_BATCHES]
    assert crew.seg[bell] == before + 1


def test_batches_of_one_daemon_keep_their_order_and_a_late_one_holds_back_those_behind_it():
    crew = Crew("run.epoch=E612")
    hand_over(crew, 0, 0, 0)
    crew.coordinate()  # a grace period begins
    hand_over(crew, 0, 0, 1)
    hand_over(crew, 0, 1, 0)
    crew.grace_period()
    assert ready(crew, 0) == [0]
    crew.grace_period()
    assert ready(crew, 0) == [1, MAX_BATCHES]


def test_daemons_are_served_apart():
    crew = Crew("run.epoch=E511")
    hand_over(crew, 1, 1, 0)
    crew.coordinate()
    hand_over(crew, 0, 0, 0)
    crew.grace_period()
    assert (ready(crew, 0), ready(crew, 1)) == ([], [MAX_BATCHES])
    crew.grace_period()
    assert ready(crew, 0) == [0]


def test_handing_over_asks_for_the_grace_period():
    crew = Crew("run.epoch=E612")
    hand_over(crew, 0, 0, 0)
    assert crew.gp_word("gp_needed") == seq_snap(gp_seq(crew.seg))
    assert crew.seg[crew.krc(0) + KRC.in_flight] == 0  # that is the monitor's


def test_the_rings_have_room_for_every_batch_there_can_be_and_more_is_a_fault():
    crew = Crew("run.epoch=E612")
    capacity = crew.seg[cb_of(crew.seg, 0) + CB.capacity]
    assert capacity >= 2 * MAX_BATCHES
    for _ in range(capacity):
        hand_over(crew, 0, 0, 0)
    assert crew.fault == 0
    hand_over(crew, 0, 0, 0)
    assert crew.fault == F_RING_OVERFLOW
