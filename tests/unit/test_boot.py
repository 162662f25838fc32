"""From scenario to machine: who takes part, where everything lies, and what stands in memory before time zero."""

import dataclasses
from array import array

import pytest
from msgspec.structs import replace

from emu.arch import private_words
from emu.boot import ALIGN_PFN, GP_SEQ_START, UNBOUND, Role, boot, live_slots, make_plan, pack_schedules, plan_roles
from emu.config import parse_override, parse_scenario, resolve
from emu.errors import ConfigError
from emu.kvfree import CB, KRC, KVFREE, MAX_BATCHES, cb_of, kvfree_of
from emu.mm import (
    CACHE,
    PAGE_SHIFT,
    PAGE_WORDS,
    PG_BUDDY,
    PG_CACHE,
    PG_STATIC,
    SLAB_OBJECTS,
    ZONE,
    cache_of,
    count_free_blocks,
    count_states,
    scratch_of,
    zone_of,
)
from emu.policy import POLICY, SOURCE_IDS, STOCK, policy_of, stock_of
from emu.rcu import RCU, RDP, rcu_state, rdp_of, seq_in_progress
from emu.shm import COORDINATOR, HEADER, LINE_WORDS, MAP, MAP_BASE, MUTATOR, PAGE_REFILL, PROC, RECLAIM, proc_of
from emu.sync import CPU, NOBODY, cpu_of
from emu.workload import CONTEXT_BITS, KINDS, LOAD, ONE, load_of
from emu.workload.ftrace import HARDIRQ, SOFTIRQ, TASK_ATOMIC, TASK_PREEMPTIBLE, CpuDemand, RecordedDemand
from tests.small_machine import SMALL, small_machine


def resolved_of(*overrides: str, folder=None):
    chosen = dict(parse_override(text) for text in (*SMALL, *overrides))
    return resolve(parse_scenario("", overrides=chosen, **({"folder": folder} if folder else {})))


def kinds(roles: list[Role]) -> dict[int, list[int]]:
    """CPUs of the processes of each role."""
    return {kind: [role.cpu for role in roles if role.kind == kind]
            for kind in (MUTATOR, PAGE_REFILL, RECLAIM, COORDINATOR)}


# --- who takes part ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("overrides", "refills", "reclaims"), [
    (["run.epoch=E612"], [0, 1, 2], [UNBOUND]),
    (["run.epoch=E61"], [0, 1, 2], [0, 1, 2]),
    (["run.epoch=E612", "policy.refill.bound=false"], [UNBOUND], [UNBOUND]),
    (["run.epoch=E59"], [], [0, 1, 2]),
    (["policy.preset=S4"], [], [UNBOUND]),
])
def test_workers_are_per_cpu_where_bound_and_absent_where_nobody_asks_for_them(overrides, refills, reclaims):
    roles = plan_roles(resolved_of("cpus.count=3", *overrides))
    assert kinds(roles) == {MUTATOR: [0, 1, 2], PAGE_REFILL: refills, RECLAIM: reclaims, COORDINATOR: [UNBOUND]}
    assert [role.index for role in roles] == list(range(len(roles)))
    assert len({role.name for role in roles}) == len(roles)


def test_every_process_finds_its_cpu_and_every_cpu_its_processes():
    machine = small_machine("run.epoch=E61", "cpus.count=3")
    seg = machine.seg
    for role in machine.plan.roles:
        proc = proc_of(seg, role.index)
        assert (seg[proc + PROC.role], seg[proc + PROC.cpu]) == (role.kind, role.cpu)
        assert seg[proc + PROC.index] == role.number
        assert seg[proc + PROC.pcp_cpu] == (3 if role.cpu == UNBOUND else role.cpu)
    for cpu in range(3):
        words = cpu_of(seg, cpu)
        mine = [seg[words + which] for which in (CPU.mutator, CPU.refill, CPU.reclaim)]
        assert mine == [machine.index(f"{name}/{cpu}") for name in ("mutator", "page_refill", "reclaim")]
        assert seg[words + CPU.online] == 1
    assert seg[rcu_state(seg) + RCU.coordinator] == machine.index("coordinator")


def test_unbound_workers_belong_to_no_cpu():
    machine = small_machine("run.epoch=E612", "policy.refill.bound=false")
    seg = machine.seg
    for cpu in range(2):
        assert [seg[cpu_of(seg, cpu) + which] for which in (CPU.refill, CPU.reclaim)] == [NOBODY, NOBODY]
        assert seg[stock_of(seg, cpu) + STOCK.worker] == machine.index("page_refill/0")
        assert seg[machine.plan.krc(cpu) + KRC.reclaim] == machine.index("reclaim/0")


# --- where everything lies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [[], ["cpus.count=17"], ["policy.preset=S4", "policy.pool.pages_per_cpu=7"],
                                       ["trace.events_per_process=0"], ["slab.object_bytes=[32, 96, 2048]",
                                                                        "slab.weights=[1, 1, 1]"]])
def test_regions_follow_each_other_by_lines_and_end_before_the_pages(overrides):
    plan = make_plan(resolved_of(*overrides))
    places = sorted(plan.offsets.values())
    assert all(place % LINE_WORDS == 0 for place in places)
    assert places[0] >= MAP_BASE + MAP.SIZE
    assert plan.first_pfn % ALIGN_PFN == 0
    assert places[-1] < plan.first_pfn << PAGE_SHIFT
    assert plan.size_words == (plan.first_pfn + plan.resolved.memory.managed_pages) * PAGE_WORDS
    figures = {"SIZE", "first_pfn", "nr_pages", "nr_zones", "nr_caches", "nr_pcp_cpus", "page_base", "block_base"}
    assert set(plan.offsets) == set(MAP._fields) - figures


def test_the_map_in_the_segment_is_the_plan():
    machine = small_machine()
    for name, offset in machine.plan.offsets.items():
        assert machine.seg[MAP_BASE + getattr(MAP, name)] == offset
    assert machine.seg[MAP_BASE + MAP.nr_pcp_cpus] == 3
    assert (machine.seg[HEADER.nr_cpus], machine.seg[HEADER.nr_procs]) == (2, len(machine.plan.roles))


def test_the_plan_s_own_addresses_are_those_of_the_rooms():
    machine = small_machine("cpus.count=3", "slab.object_bytes=[32, 64]", "slab.weights=[1, 1]")
    seg, plan = machine.seg, machine.plan
    for cpu in range(3):
        assert plan.cpu(cpu) == cpu_of(seg, cpu)
        assert plan.stock(cpu) == stock_of(seg, cpu)
        assert plan.load(cpu) == load_of(seg, cpu)
    assert plan.cache(1) == cache_of(seg, 1)
    assert plan.proc(4) == proc_of(seg, 4)


# --- what stands in memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("overrides", "static", "cached"), [
    (["run.epoch=E612"], 0, 0), (["run.epoch=E59"], 0, 2 * 2), (["policy.preset=S4"], 2 * 32, 0),
    (["policy.preset=S4", "policy.pool.pages_per_cpu=5"], 2 * 5, 0),
])
def test_every_page_is_on_a_free_list_or_was_given_to_a_cpu(overrides, static, cached):
    machine = small_machine(*overrides)
    seg = machine.seg
    out = scratch_of(seg, 0)
    assert count_states(seg, out) == 0
    pages = [seg[out + state] for state in range(SLAB_OBJECTS)]
    assert (pages[PG_STATIC], pages[PG_CACHE]) == (static, cached)
    assert pages[PG_BUDDY] == 2048 - static - cached == sum(pages) - static - cached
    assert seg[zone_of(seg, 0) + ZONE.nr_free] == count_free_blocks(seg) == pages[PG_BUDDY]


def test_marks_and_list_sizes_are_those_of_the_scenario():
    machine = small_machine("memory.pcp_rule='v5.9'")
    memory, zone = machine.plan.resolved.memory, zone_of(machine.seg, 0)
    for name in ("wmark_min", "wmark_low", "wmark_high"):
        assert machine.seg[zone + getattr(ZONE, name)] == getattr(memory, name) > 0
    assert machine.seg[zone + ZONE.auto_high] == 0
    assert machine.seg[zone_of(small_machine("memory.pcp_rule='v6.7'").seg, 0) + ZONE.batch] >= 1


def test_memory_too_small_for_what_cpus_hold_from_the_start_is_refused_by_name():
    plan = make_plan(with_reserve(resolved_of("policy.preset=S4"), pages=1100))
    with pytest.raises(ConfigError, match="memory.managed_pages = 2048: too few .* lower.*pages_per_cpu"):
        boot(private_words(plan.size_words), plan)


def with_reserve(resolved, pages: int):
    """The scenario with a reserve that the rules between keys would have refused."""
    pool = replace(resolved.policy.pool, pages_per_cpu=pages)
    return replace(resolved, policy=replace(resolved.policy, pool=pool))


def test_objects_fill_their_pages():
    machine = small_machine("slab.object_bytes=[32, 96, 2048]", "slab.weights=[1, 1, 1]")
    caches = [cache_of(machine.seg, index) for index in range(3)]
    assert [machine.seg[cache + CACHE.objects] for cache in caches] == [128, 42, 2]
    assert [machine.seg[cache + CACHE.object_words] for cache in caches] == [4, 12, 256]


def test_the_sequence_starts_shortly_before_its_wrap_with_every_cpu_idle():
    machine = small_machine()
    seg, rcu = machine.seg, rcu_state(machine.seg)
    assert seg[rcu + RCU.gp_seq] == seg[rcu + RCU.gp_needed] == GP_SEQ_START == -1200
    assert seq_in_progress(GP_SEQ_START) == 0
    assert [seg[rdp_of(seg, cpu) + RDP.eqs] & 1 for cpu in range(2)] == [0, 0]


@pytest.mark.parametrize(("epoch", "polled", "whole", "to_worker"),
                         [("E59", 0, 0, 1), ("E511", 0, 0, 0), ("E61", 0, 0, 0), ("E612", 1, 1, 0)])
def test_an_epoch_s_rules_reach_the_machine(epoch, polled, whole, to_worker):
    machine = small_machine(f"run.epoch={epoch}")
    seg, config = machine.seg, kvfree_of(machine.seg)
    assert [seg[config + word] for word in (KVFREE.polled, KVFREE.whole_slot, KVFREE.freed_to_worker)] == [
        polled, whole, to_worker]
    assert seg[config + KVFREE.drain_jiffies] == machine.plan.resolved.kvfree.drain_jiffies
    krc = machine.plan.krc(1)
    assert (seg[krc + KRC.cap], seg[krc + KRC.header]) == ((507, 5) if polled else (510, 2))


def test_a_composition_is_written_in_its_order():
    machine = small_machine("policy.sources=['static', 'cache', 'nowait']", "policy.pool.pages_per_cpu=1")
    seg, policy = machine.seg, policy_of(machine.seg)
    names = ["static", "cache", "nowait"]
    assert [seg[policy + POLICY.sources + i] for i in range(seg[policy + POLICY.nr_sources])] == [
        SOURCE_IDS[name] for name in names]
    assert [seg[policy + POLICY.one_arg + i] for i in range(seg[policy + POLICY.nr_one_arg])] == [
        SOURCE_IDS[name] for name in (*names, "direct")]


def test_hand_over_rings_hold_every_batch_there_can_be():
    machine = small_machine("run.epoch=E61", "cpus.count=5")
    seg = machine.seg
    rings = set()
    for index in range(5):
        cb = cb_of(seg, index)
        assert seg[cb + CB.proc] == machine.index(f"reclaim/{index}")
        assert seg[cb + CB.capacity] > 5 * MAX_BATCHES
        rings |= {seg[cb + CB.to_coordinator], seg[cb + CB.to_reclaim]}
    assert len(rings) == 10


# --- what the mutators are to do ---------------------------------------------------------------------------


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
    """resolved_of() for a replay; the trace is only looked for."""
    (tmp_path / "trace").write_text("")

    def make(*overrides):
        return resolved_of("workload.kind='replay'", "workload.replay.trace='trace'", *overrides, folder=tmp_path)

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


def test_plans_are_equal_for_equal_scenarios():
    first, second = (make_plan(resolved_of()) for _ in range(2))
    assert dataclasses.asdict(first)["offsets"] == dataclasses.asdict(second)["offsets"]
    assert first.size_words == second.size_words
