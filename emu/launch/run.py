"""A run under way: how it was asked for, what it has, what came of it. Data only; supervisor.py moves it on.

Holds   Options, Run, Outcome, the Progress protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from emu.boot import Plan
from emu.config import Resolved, Scenario
from emu.host import DaemonPlacement, Placement
from emu.launch.machine import Machine
from emu.launch.stalls import StallWatch
from emu.workload.ftrace import RecordedDemand


class Progress(Protocol):
    """Whoever shows how a run is getting on."""

    def update(self, elapsed_s: float, calls: int, fallbacks: int, gps: int) -> None:
        """Totals since time zero."""

    def close(self) -> None:
        """The run is over."""


class Silent:
    """Shows nothing."""

    def update(self, elapsed_s: float, calls: int, fallbacks: int, gps: int) -> None:
        """As Progress."""

    def close(self) -> None:
        """As Progress."""


@dataclass(frozen=True)
class Options:
    """How to run, beside what: where the result goes, what to say meanwhile, how to repeat it.

    progress: makes what shows the progress of a run of so many seconds.
    """

    output: Path
    command: list[str]
    say: Callable[[str], None]
    progress: Callable[[float], Progress] = lambda _seconds: Silent()


@dataclass
class Outcome:
    """What came of it. The record is there even where its file could not be written."""

    record: dict
    path: Path | None  # None: it could not be written, and `problem` says why
    exit_code: int
    problem: str = ""


@dataclass
class Run:
    """State of the run under way."""

    resolved: Resolved
    scenario: Scenario
    options: Options
    plan: Plan
    machine: Machine
    stalls: StallWatch
    demand: RecordedDemand | None
    placement: Placement
    daemons: DaemonPlacement
    record: dict
    reasons: list[str] = field(default_factory=list)
    zero_ns: int = 0
    end_ns: int = 0
    compiled_late: int = 0  # late_compilations() before the forks

    @property
    def seconds(self) -> float:
        """Seconds from time zero to the end of the load; 0 if there was no time zero."""
        return max(0, self.end_ns - self.zero_ns) / 1e9 if self.zero_ns else 0.0
