"""All roles of one machine in one process, in an order drawn from a seed: the books close in every order.

Holds   Model: mutators, refill workers, reclaim daemons, coordinator, readers that stay inside their sections,
        memory pressure and the clock, each a step that a seed calls in some order; then the end of the run.
Rule    interleaves whole steps, never reorders within one: memory order is the litmus tests' job. A failure names its
        seed, and the same seed gives the same order again. Constants are tiny, so that rare paths are common.
"""

import random
from types import SimpleNamespace

import pytest

from emu.arch import JIT
from emu.kvfree import KRC, KRW
from emu.kvfree.krc import KRW_WAITING
from emu.mm import ZONE, zone_of
from emu.rcu import (
    RCU,
    STEP_ENDED,
    gp_kthread_step,
    rcu_eqs_enter,
    rcu_eqs_exit,
    rcu_read_lock,
    rcu_read_unlock,
    rcu_state,
    rcu_tick,
    seq_end,
    seq_snap,
)
from emu.shm import F_EARLY_FREE, F_GP_EARLY, F_READER_POISON, HEADER, RUN, STOP, set_run_state
from emu.sync import proc_ring
from emu.workload import FINISHED, LOAD, load_of, mutator_begin, mutator_finish, mutator_prepare, mutator_step
from emu.workload.arrivals import calls_allowed
from emu.workload.mutator import leave_section
from emu.workload.objects import check_alive
from tests.crew import MS, Crew
from workers import coordinator

SEEDS = range(12 if JIT else 2)
STEPS = 4000 if JIT else 800
TINY = (
    "run.hz=1000", "rcu.jiffies_till_first_fqs=1", "rcu.jiffies_till_next_fqs=1", "cpus.count=3",
    "memory.managed_pages=1024", "slab.object_bytes=[64, 1024]", "slab.weights=[3, 1]", "slab.min_partial=1",
    "kvfree.bnode_records=3", "kvfree.drain_ms=3", "workload.kind='burst'", "workload.burst.calls=5",
    "workload.burst.gap_ms=1", "workload.vmalloc_share=0.1", "readers.every_calls=3",
    "workload.contexts.task=0.5", "workload.contexts.task_atomic=0.2", "workload.contexts.softirq=0.1",
    "workload.contexts.hardirq=0.1", "workload.contexts.raw_lock=0.1",
)


class Model:
    """One machine and the order in which its roles take their steps."""

    def __init__(self, seed: int, *overrides: str, pressure: bool = True):
        self.rng = random.Random(seed)
        self.crew = crew = Crew(*TINY, f"run.seed={seed}", *overrides)
        self.cpus = [SimpleNamespace(idle=False, reading=0) for _ in range(crew.plan.cpus)]
        self.marks = {name: crew.seg[zone_of(crew.seg, 0) + getattr(ZONE, name)]
                      for name in ("wmark_min", "wmark_low", "wmark_high")}
        self.steps = [self.mutator] * 6 + [self.reclaim] * 2 + [self.coordinator] * 3 + [self.clock] * 3 + [self.reader]
        if crew.plan.resolved.policy.refill.trigger != "none":
            self.steps += [self.refill] * 2
        if pressure:
            self.steps.append(self.pressure)
        for cpu in range(crew.plan.cpus):
            mutator_prepare(crew.seg, cpu, cpu)
            mutator_begin(crew.seg, cpu, cpu)

    def play(self, steps: int) -> None:
        """So many steps, or until a fault."""
        for _ in range(steps):
            self.rng.choice(self.steps)()
            if self.crew.fault:
                return

    # --- the roles ---

    def pick_cpu(self) -> int:
        return self.rng.randrange(len(self.cpus))

    def mutator(self) -> None:
        """A burst of calls; or, between bursts, fall idle, as wait_until() does in one piece."""
        cpu = self.pick_cpu()
        seg, mine = self.crew.seg, self.cpus[cpu]
        if mine.reading:
            rcu_tick(seg, cpu, cpu, self.crew.now, 1)
        elif calls_allowed(seg, load_of(seg, cpu), self.crew.now):
            self.wake(cpu)
            mutator_step(seg, cpu, cpu)
        elif not mine.idle:
            leave_section(seg, cpu, cpu, load_of(seg, cpu))
            rcu_eqs_enter(seg, cpu, cpu)
            mine.idle = True

    def wake(self, cpu: int) -> None:
        if self.cpus[cpu].idle:
            self.cpus[cpu].idle = False
            rcu_eqs_exit(self.crew.seg, cpu)
            rcu_tick(self.crew.seg, cpu, cpu, self.crew.now, 1)

    def reader(self) -> None:
        """Enter a section and keep the object of some slot; or leave it, with a last look."""
        cpu = self.pick_cpu()
        seg, mine = self.crew.seg, self.cpus[cpu]
        if mine.reading:
            check_alive(seg, cpu, cpu, mine.reading)
            rcu_read_unlock(seg, cpu)
            mine.reading = 0
            return
        self.wake(cpu)
        load = load_of(seg, self.pick_cpu())
        obj = seg[seg[load + LOAD.slots] + self.rng.randrange(seg[load + LOAD.live])]
        if obj and check_alive(seg, cpu, cpu, obj):
            rcu_read_lock(seg, cpu)
            mine.reading = obj

    def refill(self) -> None:
        cpu = self.pick_cpu()
        if not self.crew.bound_refill or self.crew.can_enter(cpu):
            self.crew.run_refill(cpu)

    def reclaim(self) -> None:
        cpu = self.pick_cpu()
        if not self.crew.bound_reclaim or self.crew.can_enter(cpu):
            self.crew.run_reclaim(cpu)

    def coordinator(self) -> None:
        self.crew.coordinate()

    def clock(self) -> None:
        self.crew.advance(self.rng.choice((50_000, 300_000, MS, 4 * MS)))

    def pressure(self) -> None:
        """Memory runs out for everybody who looks at marks, or comes back."""
        zone = zone_of(self.crew.seg, 0)
        high = self.rng.random() < 0.4
        for name, mark in self.marks.items():
            self.crew.seg[zone + getattr(ZONE, name)] = self.crew.seg[zone + ZONE.nr_free] if high else mark

    # --- the end ---

    def end(self) -> None:
        """Readers leave, mutators finish, daemons drain."""
        for cpu, mine in enumerate(self.cpus):
            if mine.reading:
                check_alive(self.crew.seg, cpu, cpu, mine.reading)
                rcu_read_unlock(self.crew.seg, cpu)
            self.wake(cpu)
            mutator_finish(self.crew.seg, cpu, cpu)
        self.crew.drain()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("policy", ["epoch", "S1", "S2", "S3", "S4", "S19"])
@pytest.mark.parametrize("epoch", ["E511", "E61", "E612"])
def test_the_books_close_in_every_order(epoch, policy, seed):
    pool = ("policy.pool.pages_per_cpu=4",) if policy == "S4" else ()
    model = Model(seed, f"run.epoch={epoch}", f"policy.preset={policy}", *pool)
    model.play(STEPS)
    assert model.crew.fault == 0
    model.end()
    assert model.crew.broken() == []
    assert model.crew.counter("kvfree_calls") > 50
    assert model.crew.counter("rcu_gp_end") > 3
    if policy == "S19":
        assert model.crew.counter("kvfree_bulk") == 0
    if policy in ("S2", "S3"):
        assert model.crew.counter("krc_refill_page") > 0


@pytest.mark.parametrize("seed", SEEDS[:4])
@pytest.mark.parametrize("epoch", ["E59", "ERFC"])
def test_the_books_close_by_the_rules_of_2020(epoch, seed):
    model = Model(seed, f"run.epoch={epoch}")
    model.play(STEPS)
    model.end()
    assert model.crew.broken() == []


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_the_books_close_with_sheaves(seed):
    model = Model(seed, "run.epoch=E618", "slab.sheaf_capacity=3", "slab.sheaf_sizes=[64]",
                  "workload.contexts.task=0.3", "workload.contexts.in_allocator=0.1", "workload.contexts.nmi=0.1",
                  pressure=False)
    model.play(STEPS)
    assert model.crew.fault == 0
    model.end()
    assert model.crew.broken() == []
    assert model.crew.counter("kvfree_freed_sheaf") > 20
    assert model.crew.counter("kvfree_bulk") > 10


@pytest.mark.parametrize("seed", SEEDS[:4])
@pytest.mark.parametrize("preemption", ["none", "voluntary"])
def test_the_books_close_when_a_burst_is_one_section(preemption, seed):
    model = Model(seed, f"run.preemption={preemption}", "run.epoch=E61", "workload.resched_every_calls=7",
                  "workload.burst.calls=70")
    model.play(STEPS)
    model.end()
    assert model.crew.broken() == []
    assert model.crew.counter("krc_refill_page") > 0


@pytest.mark.parametrize("seed", SEEDS[:4])
@pytest.mark.parametrize("epoch", ["E61", "E612"])
def test_the_books_close_with_callers_that_fetch_their_own_pages(epoch, seed):
    """Without pressure: a caller whose own request failed would wait for a grace period, and nobody else runs."""
    model = Model(seed, f"run.epoch={epoch}", "workload.one_arg_share=0.25", pressure=False)
    model.play(STEPS)
    model.end()
    assert model.crew.broken() == []
    assert model.crew.counter("direct_alloc_hit") > 0 and model.crew.counter("kvfree_one_arg") > 10


@pytest.mark.parametrize("epoch", ["E511", "E612"])
def test_the_books_close_when_every_call_waits_for_a_grace_period(epoch, shared_words, fork):
    """S20. The coordinator is a process of its own, on the real clock; the caller waits for it."""
    crew = Crew(f"run.epoch={epoch}", "policy.preset=S20", "workload.one_arg_share=1.0", "run.hz=1000",
                "rcu.jiffies_till_first_fqs=1", "workload.max_calls=8", "cpus.count=1", make_words=shared_words)
    seg, me = crew.seg, crew.coordinator
    seg[HEADER.clock_mult] = 0
    seg[HEADER.run_state] = STOP
    coordinator.main(seg, me)  # compiled before the fork
    seg[HEADER.run_state] = RUN
    child = fork(lambda: coordinator.main(seg, me))
    mutator_prepare(seg, 0, 0)
    mutator_begin(seg, 0, 0)
    while mutator_step(seg, 0, 0) != FINISHED:
        pass
    mutator_finish(seg, 0, 0)
    set_run_state(seg, STOP)
    proc_ring(seg, me)
    assert child.wait() == 0
    assert crew.counter("kvfree_fallback_sync") == crew.counter("synchronize_rcu") == 8
    assert crew.counter("rcu_gp_end") >= 8
    assert crew.broken() == []


def test_a_seed_gives_the_same_run_again():
    runs = []
    for _ in range(2):
        model = Model(99, "run.epoch=E612")
        model.play(STEPS // 2)
        model.end()
        runs.append([model.crew.counter(name) for name in ("kvfree_calls", "kvfree_bulk", "rcu_gp_end", "pgfree",
                                                           "krc_refill_run", "kfree_rcu_work", "reader_sections")])
    assert runs[0] == runs[1]


# --- the checkers see what they are for --------------------------------------------------------------------


def faults_of(sabotage, *overrides: str) -> set[int]:
    """Fault codes over some seeds of a model whose coordinator is replaced."""
    found = set()
    for seed in range(8):
        model = Model(seed, "run.epoch=E511", *overrides, pressure=False)
        model.steps = [sabotage(model) if step == model.coordinator else step for step in model.steps]
        model.play(4 * STEPS)
        found.add(model.crew.fault)
    return found


def test_readers_see_a_coordinator_that_skips_grace_periods():
    def skipping(model):
        def step():
            seg, rcu = model.crew.seg, rcu_state(model.crew.seg)
            seg[rcu + RCU.gp_seq] = seq_end(seq_snap(seg[rcu + RCU.gp_seq]))  # no look at any CPU
            model.crew.coordinate()
        return step

    assert F_READER_POISON in faults_of(skipping)


def test_the_ledger_of_reports_sees_a_coordinator_that_ends_without_them():
    def hasty(model):
        def step():
            crew = model.crew
            crew.seg[crew.plan.offsets["rcu_nodes"]] &= ~0xFFFFFFFF  # clears every CPU's bit
            if gp_kthread_step(crew.seg, crew.coordinator, crew.now) == STEP_ENDED:
                crew.coordinate()
        return step

    assert F_GP_EARLY in faults_of(hasty)


def test_reclaim_sees_a_batch_that_is_freed_before_its_time():
    def eager(model):
        def step():
            crew = model.crew
            crew.coordinate()
            for cpu in range(crew.plan.cpus):
                krw = crew.krc(cpu) + KRC.krw
                if crew.seg[krw + KRW.state] == KRW_WAITING:
                    crew.seg[krw + KRW.cookie] = crew.gp_word("gp_seq")
        return step

    assert F_EARLY_FREE in faults_of(eager)
