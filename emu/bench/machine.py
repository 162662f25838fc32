"""A booted machine to measure on: one emulated CPU, verify off, its clock running, no process behind its roles.

Holds   bench_machine(): private to the bench, or shared with a forked partner; and who is who on it.
Rule    the machine is resolved and booted as `emu run` does it. Nothing runs by itself: a loop plays the roles, by
        the process indices below, which bench_machine() holds against the plan.
"""

import mmap
import time
from dataclasses import dataclass

from emu.arch import Words, invariant_counter, private_words, sample_pair
from emu.boot import Plan, boot, make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.errors import FaultError
from emu.shm import FAULTS, HEADER, PROC, RUN

MUTATOR_0, REFILL_0, RECLAIM_0, COORDINATOR_0 = 0, 1, 2, 3  # process indices
CALIBRATE_S = 0.02

_SETTINGS = ("cpus.count=1", "memory.managed_pages=8192", "run.verify=false", "kvfree.boot_fill=true", "run.epoch=E612")


@dataclass
class BenchMachine:
    """seg: the booted words; plan: where each region lies; extra: first word of the bench's own words behind them."""

    seg: Words
    plan: Plan
    extra: int

    def place(self, mutator_core: int, refill_core: int) -> None:
        """Say where the two processes run, so that a waiter for a lock knows whether its holder shares the core."""
        self.seg[self.plan.proc(MUTATOR_0) + PROC.core] = mutator_core
        self.seg[self.plan.proc(REFILL_0) + PROC.core] = refill_core

    def check(self) -> None:
        """Raise FaultError if a step found an invariant broken: then the figures are of no use."""
        if code := self.seg[HEADER.fault]:
            name = FAULTS.get(code, ("unknown", ""))[0]
            raise FaultError(f"bench: the machine faulted with {name} (arguments {self.seg[HEADER.fault_a]}, "
                             f"{self.seg[HEADER.fault_b]}); its figures are void")


def bench_machine(*overrides: str, shared: bool = False, extra_words: int = 0) -> BenchMachine:
    """Boot a machine of one CPU, changed by `overrides` ("key=value"); shared: forked processes see the same words."""
    chosen = dict(parse_override(text) for text in (*_SETTINGS, *overrides))
    plan = make_plan(resolve(parse_scenario("", overrides=chosen)))
    names = {role.name: role.index for role in plan.roles}
    expected = {"mutator/0": MUTATOR_0, "page_refill/0": REFILL_0, "reclaim/0": RECLAIM_0,
                "coordinator": COORDINATOR_0}
    assert names == expected, f"the bench knows other processes: {names}"
    size = plan.size_words + extra_words
    seg = Words(mmap.mmap(-1, 8 * size)) if shared else private_words(size)
    boot(seg, plan)
    use_cycles(seg)
    seg[HEADER.t_zero] = time.monotonic_ns()
    seg[HEADER.run_state] = RUN
    return BenchMachine(seg, plan, plan.size_words)


def use_cycles(seg: Words) -> bool:
    """Give the machine the cycle counter for a clock where the host's is invariant, as a run would; True if so."""
    if not invariant_counter():
        return False
    ns_from, cycles_from = sample_pair(50)
    time.sleep(CALIBRATE_S)
    ns_to, cycles_to = sample_pair(50)
    seg[HEADER.clock_cycles] = cycles_to
    seg[HEADER.clock_ns] = ns_to
    seg[HEADER.clock_mult] = ((ns_to - ns_from) << 32) // (cycles_to - cycles_from)
    return True
