"""The guard: a process that does nothing unless the launcher dies, and then ends the run in its place.

Rule    it holds the reading end of a pipe whose writing end the launcher alone keeps. A word on the pipe: all is
        well, leave. End of file without one: the launcher is dead. Its children die with it; the guard
        writes the result from the segment, marked INCOMPLETE, and removes the segment.
"""

import os
import signal
import time
from collections.abc import Callable

from emu.boot import Plan
from emu.launch.children import Child, fork_child, wait_any
from emu.shm import ABORT, HEADER, PROC, Segment, process_start_time

CHILDREN_GONE_S = 1.0
LEAVE_S = 1.0


class Guard:
    """The launcher's handle on its guard."""

    def __init__(self, segment: Segment, plan: Plan, finish: Callable[[], None]):
        """Fork the guard. finish: writes the result of a run whose launcher died; runs in the guard."""
        reading, self._writing = os.pipe()

        def work() -> None:
            os.close(self._writing)
            if not os.read(reading, 1):
                take_over(segment, plan, finish)

        self.child: Child = fork_child("guard", -1, work, outlives=True)
        os.close(reading)

    def forget_in_child(self) -> None:
        """Close the launcher's end in a forked child, else the guard would never see the launcher die."""
        os.close(self._writing)

    def dismiss(self) -> None:
        """All is well: the guard leaves, and is killed where it does not (it may be stopped)."""
        try:
            os.write(self._writing, b".")
        except BrokenPipeError:
            pass
        os.close(self._writing)
        if self.child.alive and not wait_any([self.child], LEAVE_S):
            signal.pidfd_send_signal(self.child.pidfd, signal.SIGKILL)
            wait_any([self.child], LEAVE_S)
        os.close(self.child.pidfd)


def take_over(segment: Segment, plan: Plan, finish: Callable[[], None]) -> None:
    """End the run of a dead launcher. In the guard."""
    segment.words[HEADER.run_state] = ABORT
    deadline = time.monotonic() + CHILDREN_GONE_S
    while (left := children_left(segment, plan)) and time.monotonic() < deadline:
        time.sleep(0.005)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        finish()
    finally:
        segment.unlink()


def children_left(segment: Segment, plan: Plan) -> list[int]:
    """Pids of the run's processes that still live, by recorded pid and start time."""
    left = []
    for role in plan.roles:
        proc = plan.proc(role.index)
        pid, start = segment.words[proc + PROC.pid], segment.words[proc + PROC.start_time]
        if pid and process_start_time(pid) == start:
            left.append(pid)
    return left
