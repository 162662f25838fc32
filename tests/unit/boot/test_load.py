"""What the mutators are to do: shares, slots, recorded arrivals."""

from array import array

import pytest

from emu.arch import private_words
from emu.boot import boot, live_slots, make_plan
from emu.boot.load import pack_schedules
from emu.workload import CONTEXT_BITS, KINDS, LOAD, ONE, load_of
from emu.workload.ftrace import HARDIRQ, SOFTIRQ, TASK_ATOMIC, TASK_PREEMPTIBLE, CpuDemand, RecordedDemand
from tests.small_machine import small_machine, small_scenario


def test_shares_and_weights_are_cumulative_fractions():
    machine = small_machine("slab.object_bytes=[32, 64, 128]", "slab.weights=[1, 1, 2]", "workload.contexts.task=0.5",
                            "workload.contexts.softirq=0.5", "workload.one_arg_share=0.25",
                            "workload.vmalloc_share=0.125")
    seg, load = machine.seg, load_of(machine.seg, 1)
    assert [seg[load + LOAD.sizes + i] for i in range(3)] == [ONE // 4, ONE // 2, ONE]
    assert [seg[load + LOAD.contexts + i] for i in range(5)] == [ONE // 2, ONE // 2, ONE, ONE, ONE]
    assert seg[load + LOAD.mixed_contexts] == 1
    assert seg[load + LOAD.one_arg] == ONE // 2  # a quarter of all calls, half of those in task context
    assert seg[load + LOAD.vmalloc] == ONE // 8


def test_every_mutator_has_random_numbers_and_slots_of_its_own():
    machine = small_machine("cpus.count=4")
    loads = [load_of(machine.seg, cpu) for cpu in range(4)]
    assert len({machine.seg[load + LOAD.random] for load in loads}) == 4
    places = [machine.seg[load + LOAD.slots] for load in loads]
    assert all(b - a >= live_slots(machine.plan.resolved) for a, b in zip(places, places[1:], strict=False))


def test_threads_beyond_rcuscale_s_number_take_no_part():
    machine = small_machine("cpus.count=3", "workload.kind='rcuscale'", "workload.rcuscale.threads=2",
                            "workload.rcuscale.single_double='mixed'")
    loads = [load_of(machine.seg, cpu) for cpu in range(3)]
    assert [machine.seg[load + LOAD.takes_part] for load in loads] == [1, 1, 0]
    assert machine.seg[loads[0] + LOAD.one_arg] == ONE // 2


# --- recorded demand ---------------------------------------------------------------------------------------


def demand_of(*cpus: list[tuple[int, int]]) -> RecordedDemand:
    """A recording of these (microsecond, context class) calls per CPU, without the kernel's answer."""
    rows = tuple(CpuDemand(number, array("Q", [t for t, _ in calls]), bytes(c for _, c in calls))
                 for number, calls in enumerate(cpus))
    return RecordedDemand(event="kvfree_call_rcu", source="", cpus=rows, kernel=None)


DEMAND = demand_of([(0, TASK_PREEMPTIBLE), (5, HARDIRQ), (40, SOFTIRQ)], [(7, TASK_ATOMIC)])


@pytest.fixture
def replay(tmp_path):
    """small_scenario() for a replay; the trace is only looked for."""
    (tmp_path / "trace").write_text("")

    def make(*overrides):
        return small_scenario("workload.kind='replay'", "workload.replay.trace='trace'", *overrides, folder=tmp_path)

    return make


def test_recorded_cpus_are_dealt_in_turn(replay):
    schedules, span = pack_schedules(replay("cpus.count=3"), DEMAND)
    times = [[word >> CONTEXT_BITS for word in schedule] for schedule in schedules]
    contexts = [[word & 7 for word in schedule] for schedule in schedules]
    assert times == [[0, 5_000, 40_000], [7_000], [0, 5_000, 40_000]]
    assert contexts == [[0, 3, 2], [1], [0, 3, 2]]
    assert span == 40_000


def test_a_time_scale_stretches_calls_and_span_alike(replay):
    schedules, span = pack_schedules(replay("workload.replay.time_scale=2.5"), DEMAND)
    assert [word >> CONTEXT_BITS for word in schedules[0]] == [0, 12_500, 100_000]
    assert span == 100_000


def test_schedules_stand_in_the_segment_cpu_by_cpu(replay):
    plan = make_plan(replay("workload.replay.repeat=3", "workload.replay.pause_ms=2"), DEMAND)
    seg = private_words(plan.size_words)
    boot(seg, plan)
    for cpu in (0, 1):
        load = load_of(seg, cpu)
        at = seg[load + LOAD.schedule]
        assert [seg[at + i] for i in range(seg[load + LOAD.schedule_len])] == plan.schedules[cpu]
        assert [seg[load + word] for word in (LOAD.kind, LOAD.repeat, LOAD.pause_ns, LOAD.schedule_span)] == [
            KINDS["replay"], 3, 2_000_000, 40_000]
        assert seg[load + LOAD.takes_part] == 1


def test_without_calls_to_replay_a_mutator_takes_no_part(replay):
    plan = make_plan(replay())
    seg = private_words(plan.size_words)
    boot(seg, plan)
    assert [seg[load_of(seg, cpu) + LOAD.takes_part] for cpu in (0, 1)] == [0, 0]
