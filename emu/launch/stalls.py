"""Stalls: processes that were stopped, grace periods that a CPU holds up, a launcher that was not scheduled.

Rule    a stall is named, timed and survived. Stops come from the kernel's own word (waitid WSTOPPED, WCONTINUED);
        a grace-period stall from the coordinator's counter, with the culprit's state as /proc tells it now.
"""

import os
import time

from emu.arch import Words
from emu.boot import Plan
from emu.host import process_state
from emu.launch.children import Child
from emu.rcu import RCU
from emu.shm import COORDINATOR
from emu.stats import VM, VM_WORDS

LAUNCHER_GAP_NS = 150_000_000  # the launcher looks every 50 ms; a gap of thrice that is a stall of its own
RUNNABLE_SAMPLE_S = 0.02


class StallWatch:
    """Collects stall rows for the record. One instance, the launcher's; times are ns of CLOCK_MONOTONIC."""

    def __init__(self, seg: Words, plan: Plan):
        self.rows: list[dict] = []
        self._seg = seg
        self._plan = plan
        self._zero = 0
        self._last_look = 0
        self._rcu_stalls = 0

    def start(self, zero_ns: int) -> None:
        """Time zero of the run."""
        self._zero = zero_ns
        self._last_look = time.monotonic_ns()

    def add(self, process: str, kind: str, start_ns: int, end_ns: int, detail: str) -> None:
        """Note a stall that is over, or that lasts until now."""
        self.rows.append({"process": process, "kind": kind, "start_ns": start_ns - self._zero,
                          "length_ns": end_ns - start_ns, "detail": detail})

    def look(self, children: list[Child]) -> None:
        """One look at everything; call it every 50 ms."""
        now = time.monotonic_ns()
        if now - self._last_look > LAUNCHER_GAP_NS:
            self.add("launcher", "not scheduled", self._last_look, now, "the launcher itself was stopped or starved")
        self._last_look = now
        for child in children:
            self._look_at(child, now)
        self._look_at_rcu(children)
        self._last_look = time.monotonic_ns()

    def _look_at(self, child: Child, now: int) -> None:
        if not child.alive:
            return
        try:
            event = os.waitid(os.P_PIDFD, child.pidfd, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:
            return
        if event is None:
            return
        if event.si_code == os.CLD_STOPPED and not child.stopped_at:
            child.stopped_at = now
        elif event.si_code == os.CLD_CONTINUED and child.stopped_at:
            self.add(child.name, "stopped", child.stopped_at, now, "SIGSTOP until SIGCONT")
            child.stopped_at = 0

    def close(self, children: list[Child]) -> None:
        """End of the run: stalls that last until now are noted as such."""
        now = time.monotonic_ns()
        for child in children:
            if child.stopped_at:
                self.add(child.name, "stopped", child.stopped_at, now, "still stopped at the end")
                child.stopped_at = 0

    def _look_at_rcu(self, children: list[Child]) -> None:
        coordinator = self._plan.of_kind(COORDINATOR)[0].index
        counter = self._plan.offsets["counters"] + coordinator * VM_WORDS + VM.rcu_stall
        stalls = self._seg[counter]
        if stalls == self._rcu_stalls:
            return
        self._rcu_stalls = stalls
        rcu = self._plan.offsets["rcu"]
        cpu = self._seg[rcu + RCU.stall_cpu]
        started = self._seg[rcu + RCU.gp_start_ns]
        culprit = next((c for c in children if c.name == f"mutator/{cpu}"), None)
        name = culprit.name if culprit else "unknown"
        now, timeout = time.monotonic_ns(), self._plan.resolved.rcu.stall_timeout_ns
        if now - started < timeout:  # that grace period is the next one: the culprit of the last has moved on
            self.add(name, "rcu", now - timeout, now, f"cpu {cpu} held the grace period, which has ended since")
            return
        state = culprit_state(culprit) if culprit else "unknown"
        self.add(name, "rcu", started, time.monotonic_ns(),
                 f"cpu {cpu} holds the grace period; its process was {state}")


def culprit_state(child: Child) -> str:
    """running, runnable, stopped, sleeping or dead: a process in state R that gets no time is runnable."""
    if not child.alive:
        return "dead"
    state = process_state(child.pid)
    if state != "running":
        return {"zombie": "dead"}.get(state, state)
    before = _run_ns(child.pid)
    time.sleep(RUNNABLE_SAMPLE_S)
    return "running" if _run_ns(child.pid) > before else "runnable"


def _run_ns(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
