"""Without batching each object waits in one of the callback segments; delayed work waits its time; ages add up."""

from emu.kvfree import KRC, KRW, krw_of, queued_objects
from emu.rcu import RCU, gp_kthread_step, gp_wake_time, rcu_state
from tests.crew import Crew

CALL_RCU = ("kvfree.batching=false", "run.epoch=E59")
MS = 1_000_000


def krc_word(crew: Crew, name: str) -> int:
    return crew.seg[crew.krc(0) + getattr(KRC, name)]


def test_without_batching_no_page_is_asked_for_and_the_monitor_runs_at_once():
    crew = Crew(*CALL_RCU)
    crew.retire(0, 3)
    assert (krc_word(crew, "head_count"), crew.counter("kvfree_page_miss")) == (3, 0)
    assert 0 < krc_word(crew, "monitor_due") <= crew.now


def test_callbacks_beyond_two_segments_wait_for_one_and_none_is_left():
    crew = Crew(*CALL_RCU)
    for _ in range(3):
        crew.retire(0)
        crew.monitor_now(0)
    assert (krc_word(crew, "in_flight"), krc_word(crew, "count"), krc_word(crew, "monitor_due")) == (2, 1, 0)
    crew.grace_period()
    crew.drain()
    assert queued_objects(crew.seg, 0) == 0
    assert crew.histogram("object_age_ns").count == crew.counter("kvfree_freed_list") == 3
    assert crew.broken() == []


def test_delayed_work_waits_its_time_after_the_grace_period():
    crew = Crew("run.epoch=E511", "policy.preset=S8", "kvfree.work_delay_ms=50")
    crew.retire(0, 2)
    crew.monitor_now(0)
    crew.grace_period()
    crew.run_reclaim(0)
    assert crew.seg[krw_of(crew.krc(0), 0) + KRW.work_at] == crew.now + 50 * MS
    assert crew.counter("kfree_rcu_work") == 0
    crew.advance(51 * MS)
    crew.run_reclaim(0)
    assert crew.counter("kfree_rcu_work") == 1
    assert crew.histogram("object_age_ns").count == 2


def test_others_ask_for_grace_periods_at_their_rate():
    crew = Crew("rcu.other_gp_per_s=100")
    gp_kthread_step(crew.seg, 0, crew.now)
    assert crew.seg[rcu_state(crew.seg) + RCU.others_due] == crew.now + 10 * MS
    assert gp_wake_time(crew.seg) > 0
