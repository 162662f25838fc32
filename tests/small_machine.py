"""A booted machine in private memory: every room's steps can be called on it, in one process, compiled or interpreted.

small_machine("kvfree.min_cached_objs=2", ...) resolves a scenario with these overrides, lays it out and boots it.
Nothing runs by itself: a test plays every role, by the process index of `plan.roles`.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from emu.arch import Words, private_words
from emu.boot import Plan, boot, make_plan
from emu.config import Resolved, parse_override, parse_scenario, resolve
from emu.shm import HEADER, RUN

SMALL = ("memory.managed_pages=2048", "trace.events_per_process=64", "slab.live_objects=8", "cpus.count=2")


@dataclass
class SmallMachine:
    """seg: the booted words; plan: who is who and where; index(name): process index of "reclaim/0" and the like."""

    seg: Words
    plan: Plan

    def index(self, name: str) -> int:
        return next(role.index for role in self.plan.roles if role.name == name)

    @property
    def fault(self) -> int:
        """The fault word: 0 while no invariant was broken."""
        return self.seg[HEADER.fault]


def small_scenario(*overrides: str, folder: Path | None = None) -> Resolved:
    """The scenario of a small machine, changed by `overrides`; files that it names are looked for in `folder`."""
    chosen = dict(parse_override(text) for text in (*SMALL, *overrides))
    return resolve(parse_scenario("", overrides=chosen, **({"folder": folder} if folder else {})))


def small_machine(*overrides: str) -> SmallMachine:
    """Boot a machine of 2048 pages and 2 CPUs, changed by `overrides` ("key=value"), with its clock at time zero."""
    plan = make_plan(small_scenario(*overrides))
    seg = private_words(plan.size_words)
    boot(seg, plan)
    seg[HEADER.t_zero] = time.monotonic_ns()
    seg[HEADER.run_state] = RUN
    return SmallMachine(seg, plan)
