"""The mutator's step: bounded, by the mix it was told, in sections that workers respect, and over when it should be."""

import pytest

from emu.arch import JIT
from emu.rcu import RDP, rdp_of
from emu.shm import DRAINED, HEADER, PROC, STOP, proc_of
from emu.sync import CPU, cpu_of
from emu.workload import (
    CONTEXT_NAMES,
    FINISHED,
    LOAD,
    WAITED,
    WORKED,
    load_of,
    mutator_begin,
    mutator_finish,
    mutator_prepare,
    mutator_step,
)
from emu.workload.mutator import STEP_CALLS
from tests.crew import MS, Crew

CALLS = 6400 if JIT else 1280


def started(*overrides: str) -> Crew:
    """A crew whose mutator 0 has begun."""
    crew = Crew("memory.managed_pages=4096", "policy.preset=S19", *overrides)
    mutator_prepare(crew.seg, 0, 0)
    mutator_begin(crew.seg, 0, 0)
    return crew


def load_word(crew: Crew, name: str) -> int:
    return crew.seg[load_of(crew.seg, 0) + getattr(LOAD, name)]


def set_load(crew: Crew, name: str, value: int) -> None:
    crew.seg[load_of(crew.seg, 0) + getattr(LOAD, name)] = value


def run(crew: Crew) -> int:
    """Steps until the mutator is finished; reclaim and grace periods in between. Returns the steps."""
    steps = 0
    while mutator_step(crew.seg, 0, 0) != FINISHED:
        steps += 1
        crew.advance(crew.jiffy)  # a tick per step: the busy CPU passes quiescent states
        crew.coordinate()
        if crew.can_enter(0):
            crew.run_reclaim(0)
    return steps


def test_a_step_is_bounded_and_max_calls_is_exact():
    crew = started("workload.max_calls=200")
    done = []
    while mutator_step(crew.seg, 0, 0) == WORKED:
        done.append(crew.counter("kvfree_calls"))
    assert done == [STEP_CALLS, 2 * STEP_CALLS, 3 * STEP_CALLS, 200]
    assert load_word(crew, "calls") == 200


@pytest.mark.parametrize(("word", "value"), [("done", 1), ("takes_part", 0)])
def test_it_is_finished_when_its_part_is_over(word, value):
    crew = started()
    set_load(crew, word, value)
    assert mutator_step(crew.seg, 0, 0) == FINISHED
    assert crew.counter("kvfree_calls") == 0


def test_it_is_finished_at_the_end_of_the_run_or_when_that_is_called_off():
    crew = started()
    crew.seg[HEADER.t_end] = crew.now + MS
    assert mutator_step(crew.seg, 0, 0) == WORKED
    crew.advance(MS + 100)
    assert mutator_step(crew.seg, 0, 0) == FINISHED
    crew = started()
    crew.seg[HEADER.run_state] = STOP
    assert mutator_step(crew.seg, 0, 0) == FINISHED


def test_a_burst_is_finished_whole():
    crew = started("workload.kind='burst'", "workload.burst.calls=150")
    assert mutator_step(crew.seg, 0, 0) == WORKED
    crew.seg[HEADER.t_end] = crew.now
    while mutator_step(crew.seg, 0, 0) != FINISHED:
        pass
    assert crew.counter("kvfree_calls") == 150


def test_every_nth_call_is_timed_and_every_mth_followed_by_a_reader():
    crew = started("workload.max_calls=640", "workload.sample_every=10", "readers.every_calls=16")
    run(crew)
    assert crew.histogram("kvfree_call_ns").count == 64
    assert crew.counter("reader_sections") == 40
    assert crew.fault == 0


def test_contexts_come_by_their_shares():
    shares = {"task": 0.5, "task_atomic": 0.2, "softirq": 0.15, "hardirq": 0.1, "raw_lock": 0.05}
    mix = [f"workload.contexts.{name}={share}" for name, share in shares.items()]
    crew = started(f"workload.max_calls={CALLS}", *mix)
    run(crew)
    made = [crew.seg[load_of(crew.seg, 0) + LOAD.by_context + i] for i in range(len(CONTEXT_NAMES))]
    assert sum(made) == CALLS
    for name, calls in zip(CONTEXT_NAMES, made, strict=True):
        assert calls / CALLS == pytest.approx(shares.get(name, 0.0), abs=0.07)
    assert crew.seg[cpu_of(crew.seg, 0) + CPU.preempt_count] == 0


@pytest.mark.parametrize("task", [1.0, 0.5])
def test_the_share_of_one_argument_calls_is_one_of_all_calls(task):
    crew = Crew("memory.managed_pages=4096", "run.epoch=E612", f"workload.max_calls={CALLS}",
                "workload.one_arg_share=0.3", f"workload.contexts.task={task}", f"workload.contexts.softirq={1 - task}")
    mutator_prepare(crew.seg, 0, 0)
    mutator_begin(crew.seg, 0, 0)
    run(crew)
    assert crew.counter("kvfree_one_arg") / CALLS == pytest.approx(0.3, abs=0.07)
    assert crew.counter("sleep_in_atomic") == 0


@pytest.mark.parametrize(("preemption", "sections"), [("none", 1), ("voluntary", 1), ("full", 0), ("rt", 0)])
def test_without_preemption_a_burst_is_one_section(preemption, sections):
    crew = started("workload.kind='burst'", "workload.burst.calls=500", f"run.preemption={preemption}")
    mutator_step(crew.seg, 0, 0)
    assert crew.seg[cpu_of(crew.seg, 0) + CPU.preempt_count] == sections
    mutator_finish(crew.seg, 0, 0)
    assert crew.seg[cpu_of(crew.seg, 0) + CPU.preempt_count] == 0


def test_a_scheduling_point_lets_the_worker_in_and_the_section_goes_on():
    crew = Crew("run.epoch=E61", "run.preemption='voluntary'", "workload.resched_every_calls=10")
    mutator_prepare(crew.seg, 0, 0)
    mutator_begin(crew.seg, 0, 0)
    mutator_step(crew.seg, 0, 0)
    assert crew.counter("krc_refill_req") == 1
    assert crew.counter("preempt_resched") == 1
    assert crew.seg[proc_of(crew.seg, crew.refill(0)) + PROC.bell] >= 1
    assert crew.seg[cpu_of(crew.seg, 0) + CPU.preempt_count] == 1


def test_waiting_for_the_next_burst_is_idle_for_rcu_and_ends_by_itself():
    crew = Crew("policy.preset=S19", "workload.kind='burst'", "workload.burst.calls=3", "workload.burst.gap_ms=50")
    crew.seg[HEADER.clock_mult] = 0  # it really sleeps
    mutator_prepare(crew.seg, 0, 0)
    mutator_begin(crew.seg, 0, 0)
    eqs = rdp_of(crew.seg, 0) + RDP.eqs
    busy = crew.seg[eqs]
    assert busy & 1 == 1
    did = [mutator_step(crew.seg, 0, 0) for _ in range(4)]
    assert did == [WORKED, WAITED, WORKED, WAITED]
    assert crew.seg[eqs] == busy + 4  # in and out, twice
    assert crew.counter("kvfree_calls") == 6
    assert crew.counter("rcu_eqs_enter") == 2
    assert 1 <= crew.counter("proc_sleeps") <= 2  # a host that takes 50 ms for the rest leaves nothing to sleep


def test_its_last_step_leaves_nothing_private_and_the_cpu_idle():
    crew = started("run.preemption='none'", "workload.max_calls=100")
    run(crew)
    mutator_finish(crew.seg, 0, 0)
    assert crew.seg[rdp_of(crew.seg, 0) + RDP.eqs] & 1 == 0
    assert crew.seg[proc_of(crew.seg, 0) + PROC.state] == DRAINED
    assert load_word(crew, "t_finish") >= load_word(crew, "t_start")
    crew.drain()
    assert crew.broken() == []


def test_a_machine_that_ran_out_of_memory_goes_on_with_what_it_has():
    crew = started("workload.max_calls=600", "memory.managed_pages=1024", "slab.object_bytes=[2048]")
    crew.leave_free(20)
    run(crew)
    assert crew.counter("oom_object") > 0
    mutator_finish(crew.seg, 0, 0)
    crew.drain()
    assert crew.broken() == []
