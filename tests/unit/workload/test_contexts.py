"""Calls by context: locks of the context are really held, the emulated lockdep sees what happens under them."""

import pytest

from emu.mm import PCP, ZONE, pcp_of, zone_of
from emu.sync import CONTEXT_NAMES, CPU, HELD, LOCK, cpu_of, held_of, read_splats
from emu.workload import load_of
from emu.workload.contexts import call_in_context
from tests.crew import Crew

NOWAIT = ("policy.preset=S8", "kvfree.min_cached_objs=0", "policy.sources=['nowait']", "kvfree.bnode_records=3")
COUNTERS = ("wait_ctx_violation", "sleep_in_atomic", "self_deadlock", "kvfree_in_nmi")


def call(crew: Crew, context: str) -> None:
    """One call of CPU 0 in this context."""
    call_in_context(crew.seg, 0, 0, load_of(crew.seg, 0), crew.make(0), CONTEXT_NAMES.index(context))


def counts(crew: Crew) -> tuple[int, ...]:
    return tuple(crew.counter(name) for name in COUNTERS)


def empty_pcps(crew: Crew) -> None:
    """No page on a list of any CPU: the next request has to take zone->lock."""
    for at in range(3):
        crew.seg[pcp_of(crew.seg, 0, 0) + PCP.lists + at] = 0


@pytest.mark.parametrize("context", CONTEXT_NAMES[1:])
def test_after_the_call_nothing_is_held_and_the_section_is_over(context):
    crew = Crew(*NOWAIT)
    call(crew, context)
    held = held_of(crew.seg, 0)
    assert (crew.seg[held + HELD.depth], crew.seg[held + HELD.context]) == (0, 0)
    assert crew.seg[cpu_of(crew.seg, 0) + CPU.preempt_count] == 0
    assert crew.seg[zone_of(crew.seg, 0) + ZONE.lock] == crew.seg[pcp_of(crew.seg, 0, 0) + PCP.lock] == 0
    assert crew.counter("kvfree_calls") == 1
    assert crew.fault == 0


@pytest.mark.parametrize("context", ["task_atomic", "softirq", "hardirq", "raw_lock", "in_allocator"])
def test_an_allocation_under_krc_lock_is_an_invalid_wait_context_that_a_kernel_without_rt_gets_away_with(context):
    crew = Crew(*NOWAIT, "run.preemption=full")
    empty_pcps(crew)
    call(crew, context)
    assert crew.counter("wait_ctx_violation") >= 1
    assert counts(crew)[1:] == (0, 0, 0)
    assert crew.counter("kvfree_bulk") == 1
    [splat] = read_splats(crew.seg)
    assert splat["wanted"] == "zone->lock"
    assert splat["held"][-1]["name"] == "krc->lock"


def test_on_rt_it_would_sleep_and_the_call_has_to_do_without():
    crew = Crew(*NOWAIT, "run.preemption=rt")
    empty_pcps(crew)
    call(crew, "raw_lock")
    assert crew.counter("wait_ctx_violation") >= 1 and crew.counter("sleep_in_atomic") >= 1
    assert (crew.counter("kvfree_bulk"), crew.counter("kvfree_fallback_list")) == (0, 1)
    assert crew.fault == 0


def test_a_caller_that_holds_zone_lock_would_deadlock_and_is_told_before():
    crew = Crew(*NOWAIT)
    empty_pcps(crew)
    call(crew, "zone_lock")
    assert crew.counter("self_deadlock") >= 1
    assert (crew.counter("kvfree_bulk"), crew.counter("kvfree_fallback_list")) == (0, 1)
    assert crew.fault == 0
    splat = next(each for each in read_splats(crew.seg) if each["kind"] == "self-deadlock")
    assert [each["name"] for each in splat["held"]] == ["zone->lock", "krc->lock"]


def test_without_the_judge_the_deadlock_is_real_and_the_run_faults():
    crew = Crew(*NOWAIT, "lockdep.enabled=false")
    empty_pcps(crew)
    call(crew, "zone_lock")
    assert crew.fault != 0


def test_with_only_counting_it_happens_too():
    crew = Crew(*NOWAIT, "lockdep.on_violation=count")
    empty_pcps(crew)
    call(crew, "zone_lock")
    assert crew.counter("self_deadlock") >= 1
    assert crew.fault != 0


def test_a_call_from_within_the_allocator_finds_its_list_locked_and_goes_past_it():
    crew = Crew(*NOWAIT, "run.epoch=E612")
    before = crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired]
    obj = crew.make(0)
    contended = crew.counter("pcp_lock_contended")
    call_in_context(crew.seg, 0, 0, load_of(crew.seg, 0), obj, CONTEXT_NAMES.index("in_allocator"))
    assert crew.counter("pcp_lock_contended") > contended
    assert crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired] > before
    assert crew.fault == 0


def test_an_nmi_is_refused_and_its_page_comes_without_a_lock():
    crew = Crew("policy.preset=S19")
    call(crew, "nmi")
    assert crew.counter("kvfree_in_nmi") == crew.counter("kvfree_calls") == 1
    assert crew.counter("nmi_alloc_hit") == 1
    assert crew.counter("pgfree") >= 1


def test_an_nmi_of_an_rt_kernel_gets_no_page():
    crew = Crew("policy.preset=S19", "run.preemption=rt")
    call(crew, "nmi")
    assert (crew.counter("nmi_alloc_hit"), crew.counter("nmi_alloc_miss")) == (0, 1)
