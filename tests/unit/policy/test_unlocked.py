"""Sources that want krc->lock dropped: the gate, and the caller that is held back."""

import time

import pytest

from emu.kvfree import kvfree_rcu_mightsleep
from emu.mm import GFP_KERNEL, NO_PAGE, ZONE, kmalloc, zone_of
from emu.policy import GOT_NOTHING, STOCK, stock_of, take_page, take_unlocked
from emu.policy.sources import SRC_GATE, SRC_THROTTLE
from emu.policy.sources.throttle import hold_back, take_throttled
from emu.rcu import gp_kthread_step
from emu.shm import now_ns
from emu.stats import sum_counters
from emu.sync import preempt_disable, preempt_enable
from tests.crew import Crew, booted, compile_before_fork, starve


def take(crew: Crew, one_arg: int = 0, first: int = 0) -> int:
    return take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), one_arg, first)


# --- the gate ----------------------------------------------------------------------------------------------


def test_a_preemptible_caller_allocates_for_itself_and_any_other_goes_on():
    crew = Crew("policy.preset=S10")
    assert take(crew) == -1
    assert take_unlocked(crew.seg, 0, 0, SRC_GATE) != NO_PAGE
    preempt_disable(crew.seg, 0)
    assert take(crew) == GOT_NOTHING  # the cache, which is empty
    preempt_enable(crew.seg, 0, 0)
    assert [crew.counter(name) for name in ("gate_open", "gate_closed", "krc_cache_miss")] == [1, 1, 1]


def test_without_preempt_counting_the_gate_never_opens():
    crew = Crew("policy.preset=S10", "run.preemption=none", "run.force=true")
    assert take(crew) == GOT_NOTHING
    assert (crew.counter("gate_open"), crew.counter("gate_closed")) == (0, 1)


def test_a_two_argument_call_gets_its_bnode_through_the_gate():
    crew = Crew("policy.preset=S10")
    crew.retire(0, 3)
    assert [crew.counter(name) for name in ("kvfree_bulk", "direct_alloc_hit", "kvfree_page_miss")] == [3, 1, 0]
    crew.drain()
    assert crew.broken() == []


def test_a_gate_whose_allocation_fails_leaves_the_rest_to_the_next_source():
    crew = Crew("policy.sources=['gate', 'static']", "policy.pool.pages_per_cpu=2")
    objects = [crew.make(0) for _ in range(3)]
    crew.leave_free(0)
    assert take(crew) == -1 and take_unlocked(crew.seg, 0, 0, SRC_GATE) == NO_PAGE
    assert take(crew, first=1) != GOT_NOTHING
    assert (crew.counter("direct_alloc_miss"), crew.counter("static_hit"), len(objects)) == (1, 1, 3)


# --- throttling --------------------------------------------------------------------------------------------

S18 = ("policy.preset=S18", "workload.one_arg_share=0.5")


def test_who_finds_a_page_is_not_held_back():
    crew = Crew(*S18)
    assert take(crew, one_arg=1) == -2
    assert take_unlocked(crew.seg, 0, 0, SRC_THROTTLE) != NO_PAGE
    assert (crew.counter("throttle_hit"), crew.histogram("throttle_ns").count) == (1, 0)


def shared_machine(shared_words):
    machine = booted(shared_words, *S18)
    seg, zone = machine.seg, zone_of(machine.seg, 0)
    return machine, seg, zone


@pytest.mark.jit_only
def test_a_caller_is_held_no_longer_than_a_grace_period_and_frees_at_once_then(fork, shared_words):
    machine, seg, _ = shared_machine(shared_words)
    obj = kmalloc(seg, 0, 0, 0, GFP_KERNEL)
    compile_before_fork(kvfree_rcu_mightsleep, take_unlocked, take_throttled, hold_back)
    starve(seg)
    child = fork(lambda: kvfree_rcu_mightsleep(seg, 0, 0, obj))
    coordinator = machine.index("coordinator")
    for _ in range(2000):
        gp_kthread_step(seg, coordinator, now_ns(seg))
        time.sleep(0.0005)
        if counter_of(seg, "kvfree_freed_sync"):
            break
    assert child.wait() == 0
    counters = ("throttle_gp", "throttle_hit", "synchronize_rcu", "kvfree_fallback_sync", "kvfree_freed_sync")
    assert [counter_of(seg, name) for name in counters] == [1, 0, 0, 1, 1]
    assert seg[stock_of(seg, 0) + STOCK.misses] == 1


@pytest.mark.jit_only
def test_a_page_that_appears_ends_the_wait(fork, shared_words):
    _, seg, zone = shared_machine(shared_words)
    compile_before_fork(take_unlocked, take_throttled, hold_back)
    starve(seg)

    def held():
        assert take_unlocked(seg, 0, 0, SRC_THROTTLE) != NO_PAGE

    child = fork(held)
    child.wait_until_asleep()
    seg[zone + ZONE.wmark_min] = seg[zone + ZONE.wmark_low] = 10
    assert child.wait() == 0
    assert [counter_of(seg, name) for name in ("throttle_hit", "throttle_gp")] == [1, 0]


def counter_of(seg, name: str) -> int:
    return sum_counters(seg)[name]
