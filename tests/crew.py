"""One process that plays every role of a booted machine, on a clock that stands still until the test moves it.

Holds   Crew: the clock, the roles' indices, one method per thing a role may do, and the books at the end.
Rule    the run's clock is the cycle-counter one with a rate of almost zero, so `advance()` alone moves it: every due
        time is met exactly, and nothing here waits. Interleaves, never reorders.
Limits  what waits on the clock or sleeps must not be called: make_calls() with a cost, wait_until(), a bound worker
        while its CPU is in a section. can_enter() says when a bound worker may run.
"""

import time
from pathlib import Path

from emu.arch import JIT, Words, private_words, sample_pair
from emu.boot import boot, make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.kvfree import (
    KRC,
    advance_callbacks,
    all_reclaimed,
    krc_of,
    kvfree_call_rcu,
    reclaim_step,
)
from emu.launch.collect import collect_run
from emu.mm import (
    GFP_KERNEL,
    PAGE_STATES,
    ZONE,
    count_states,
    kmalloc,
    scratch_of,
    slab_flush_cpu,
    vmalloc,
    zone_of,
)
from emu.policy import STOCK, refill_step, stock_of
from emu.rcu import RCU, STEP_ENDED, gp_is_clean, gp_kthread_step, rcu_state
from emu.shm import DRAIN, HEADER, PROC, RUN, now_ns, proc_of
from emu.stats import HIST, read_histogram, sum_counters
from emu.sync import CPU, cpu_of
from tests.small_machine import SMALL, SmallMachine

MS = 1_000_000
CYCLES_APART = 1 << 24  # more than the counters of two cores may differ


def booted(make_words, *overrides: str, folder: Path = Path()) -> SmallMachine:
    """small_machine() in words of another kind: make_words(count)."""
    chosen = dict(parse_override(text) for text in (*SMALL, *overrides))
    plan = make_plan(resolve(parse_scenario("", folder=folder, overrides=chosen)))
    seg: Words = make_words(plan.size_words)
    boot(seg, plan)
    seg[HEADER.t_zero] = time.monotonic_ns()
    seg[HEADER.run_state] = RUN
    return SmallMachine(seg, plan)


def compile_before_fork(*functions) -> None:
    """Compile functions that are compiled apart, and what they call: a child that sleeps is not to be compiling."""
    for function in functions:
        if JIT:
            function.compile()


def starve(seg: Words) -> None:
    """Raise every mark of the first zone to what is free: the allocator has nothing for anybody."""
    zone = zone_of(seg, 0)
    for name in ("wmark_min", "wmark_low", "wmark_high"):
        seg[zone + getattr(ZONE, name)] = seg[zone + ZONE.nr_free]
    seg[zone + ZONE.auto_high] = 0


class Crew:
    """seg, plan: the machine; coordinator: its process index; workers of a CPU by method."""

    def __init__(self, *overrides: str, make_words=private_words, folder: Path = Path()):
        machine = booted(make_words, "readers.length_us=0", *overrides, folder=folder)
        self.machine, self.seg, self.plan = machine, machine.seg, machine.plan
        self.coordinator = machine.index("coordinator")
        self.bound_refill = self.plan.resolved.policy.refill.bound
        self.bound_reclaim = self.plan.resolved.kvfree.work_bound
        self.jiffy = self.plan.resolved.run.jiffy_ns
        self.seg[HEADER.clock_mult] = 1  # a cycle is 2**-32 ns
        zero = 1000 * self.jiffy  # some tick
        self.set_clock(zero)
        self.seg[HEADER.t_zero] = zero
        for cpu in range(self.plan.cpus):
            self.seg[stock_of(self.seg, cpu) + STOCK.stamp] = zero

    # --- time ---

    @property
    def now(self) -> int:
        """The run's clock."""
        return now_ns(self.seg)

    def set_clock(self, ns: int) -> None:
        """Set the run's clock. It stays exact for a second, then gains a nanosecond each time."""
        self.seg[HEADER.clock_cycles] = sample_pair(1)[1] - CYCLES_APART
        self.seg[HEADER.clock_ns] = ns

    def advance(self, ns: int) -> int:
        """Move the clock on; returns the new time."""
        self.set_clock(self.now + ns)
        return self.now

    # --- who and where ---

    def refill(self, cpu: int) -> int:
        """Process index of the refill worker of a CPU."""
        return self.machine.index(f"page_refill/{cpu if self.bound_refill else 0}")

    def reclaim(self, cpu: int) -> int:
        """Process index of the reclaim daemon of a CPU."""
        return self.machine.index(f"reclaim/{cpu if self.bound_reclaim else 0}")

    def pcp_cpu(self, process: int) -> int:
        """The CPU of the machine that a process allocates and frees as."""
        return self.seg[proc_of(self.seg, process) + PROC.pcp_cpu]

    def krc(self, cpu: int) -> int:
        """Word offset of a CPU's batch head."""
        return krc_of(self.seg, cpu)

    def can_enter(self, cpu: int) -> bool:
        """Whether a bound worker of this CPU may run now: its mutator is in no section."""
        return self.seg[cpu_of(self.seg, cpu) + CPU.preempt_count] == 0

    # --- what the roles do ---

    def make(self, cpu: int, kind: str = "slab") -> int:
        """A live object."""
        obj = (vmalloc(self.seg, cpu, cpu, GFP_KERNEL) if kind == "vmalloc"
               else kmalloc(self.seg, cpu, cpu, 0, GFP_KERNEL))
        assert obj != 0
        return obj

    def retire(self, cpu: int, calls: int = 1, kind: str = "slab") -> list[int]:
        """Two-argument calls on new objects; what each returned."""
        return [kvfree_call_rcu(self.seg, cpu, cpu, self.make(cpu, kind)) for _ in range(calls)]

    def run_refill(self, cpu: int) -> int:
        """One step of the worker that serves this CPU."""
        me = self.refill(cpu)
        first, last = (cpu, cpu + 1) if self.bound_refill else (0, self.plan.cpus)
        return refill_step(self.seg, me, self.pcp_cpu(me), first, last, self.now)

    def run_reclaim(self, cpu: int) -> int:
        """One step of the reclaim daemon that serves this CPU."""
        me = self.reclaim(cpu)
        first, last = (cpu, cpu + 1) if self.bound_reclaim else (0, self.plan.cpus)
        index = self.seg[proc_of(self.seg, me) + PROC.index]
        return reclaim_step(self.seg, me, index, self.pcp_cpu(me), first, last)

    def monitor_now(self, cpu: int) -> int:
        """Make the CPU's monitor due, if it is armed, and let the daemon run it."""
        if self.seg[self.krc(cpu) + KRC.monitor_due] != 0:
            self.seg[self.krc(cpu) + KRC.monitor_due] = 1
        return self.run_reclaim(cpu)

    def coordinate(self) -> int:
        """One step of the coordinator."""
        did = gp_kthread_step(self.seg, self.coordinator, self.now)
        advance_callbacks(self.seg, self.coordinator)
        return did

    def grace_period(self) -> None:
        """Let the coordinator work until one grace period has ended. Somebody has asked; no CPU is busy."""
        for _ in range(100):
            if self.coordinate() == STEP_ENDED:
                return
            self.advance(self.jiffy)
        raise AssertionError("no grace period ended within 100 jiffies")

    def drain(self) -> None:
        """The end of a run: every daemon works until nothing is queued and no grace period runs."""
        if self.seg[HEADER.run_state] == RUN:
            self.seg[HEADER.run_state] = DRAIN
        for _ in range(10_000):
            for cpu in range(self.plan.cpus if self.bound_reclaim else 1):
                self.run_reclaim(cpu)
            self.coordinate()
            if all_reclaimed(self.seg, 0, self.plan.cpus) and gp_is_clean(self.seg):
                return self.flush_slabs()
            self.advance(self.jiffy)
        raise AssertionError("something stays queued")

    def flush_slabs(self) -> None:
        """Give every CPU's private slabs back, as a mutator does at its end."""
        for cpu in range(self.plan.cpus):
            for index in range(len(self.plan.resolved.slab.cache_bytes)):
                slab_flush_cpu(self.seg, cpu, cpu, index, cpu)

    # --- memory, by hand ---

    def leave_free(self, pages: int) -> None:
        """Set every mark so that allocations may take just so many pages more from the free lists, one at a time."""
        zone = zone_of(self.seg, 0)
        mark = self.seg[zone + ZONE.nr_free] - pages
        self.seg[zone + ZONE.wmark_min] = self.seg[zone + ZONE.wmark_low] = mark
        self.seg[zone + ZONE.batch] = 1
        self.seg[zone + ZONE.auto_high] = 0

    # --- the books ---

    def counter(self, name: str) -> int:
        """A counter over all processes."""
        return sum_counters(self.seg)[name]

    def histogram(self, name: str):
        """A histogram over all processes."""
        return read_histogram(self.seg, getattr(HIST, name))

    @property
    def fault(self) -> int:
        """The fault word."""
        return self.seg[HEADER.fault]

    def gp_word(self, name: str) -> int:
        """A word of the global RCU record."""
        return self.seg[rcu_state(self.seg) + getattr(RCU, name)]

    def pages(self) -> list[int]:
        """Pages by state."""
        out = scratch_of(self.seg, 0)
        assert count_states(self.seg, out) == 0
        return [self.seg[out + state] for state in range(len(PAGE_STATES))]

    def broken(self) -> list[str]:
        """The invariants of the end of a run that do not hold, with their figures."""
        record: dict = {}
        collect_run(self.seg, self.plan, record, complete=True)
        return [f"{row['name']}: {row['detail']}" for row in record["invariants"] if not row["ok"]]

    def broken_pages(self) -> list[str]:
        """Of broken() what is about pages and reserves: for tests that take pages without making bnodes of them."""
        return [row for row in self.broken() if not row.startswith("histogram counts")]
