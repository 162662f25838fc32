"""Child processes: forked ready-made, placed and verified by the launcher, watched through pidfds.

Holds   Child, fork_child(), place(), the reading of how a child ended.
Rule    a child runs one compiled main over the inherited mapping and leaves by _exit(). It dies with its parent
        (PR_SET_PDEATHSIG), except the guard, which is there to outlive it. Terminal signals go to the launcher
        alone: a child ignores SIGINT and SIGHUP.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from emu.errors import HostError
from emu.host import pin, read_back, set_parent_death_signal, set_scheduling, set_timer_slack

MADV_POPULATE_WRITE = 23  # Linux 5.14; older kernels refuse it and pages are faulted in on first touch
CHILD_FAILED = 70

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Child:
    """One forked process. index: its process index in the segment, -1 for the guard."""

    name: str
    pid: int
    pidfd: int
    index: int
    wanted: dict = field(default_factory=dict)  # cores, class, priority, nice
    status: int | None = None  # wait status once reaped
    stopped_at: int = 0  # ns of the run's clock; 0: not stopped
    seen: dict = field(default_factory=dict)  # last read_back()

    @property
    def alive(self) -> bool:
        """Not reaped yet."""
        return self.status is None

    def describe_end(self) -> str:
        """ "0", "3" or "signal 9 (SIGKILL)"; "running" while it lives."""
        if self.status is None:
            return "running"
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            try:
                return f"signal {number} ({signal.Signals(number).name})"
            except ValueError:
                return f"signal {number}"
        return str(os.WEXITSTATUS(self.status))


def fork_child(name: str, index: int, work: Callable[[], None], outlives: bool = False) -> Child:
    """Fork a process that runs `work` and exits: nothing else of the parent is run in it. Not for threads."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        raise HostError(f"process {name}: cannot be started: {error.strerror}; lower cpus.count, or raise the limit "
                        f"of processes (ulimit -u)") from error
    if pid == 0:
        status = CHILD_FAILED
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN if outlives else signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if not outlives:
                set_parent_death_signal(signal.SIGKILL, parent)
            set_timer_slack(1)
            work()
            status = 0
        except BaseException as error:  # a child must never return into the launcher's code
            os.write(2, f"emu: {name}: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    return Child(name, pid, os.pidfd_open(pid), index)


def populate(address: int, length: int) -> bool:
    """Fault a range of the shared mapping in for this process; False where the kernel cannot."""
    page = os.sysconf("SC_PAGESIZE")
    start = address & ~(page - 1)
    done = _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(address + length - start),
                         ctypes.c_int(MADV_POPULATE_WRITE))
    return done == 0


def place(child: Child, cores: list[int], sched: dict, degrade: bool) -> list[str]:
    """Pin a child and set its class, verified; returns what had to be degraded. HostError where that is not allowed."""
    child.wanted = {"cores": cores, **sched}
    pin(child.pid, cores)
    try:
        set_scheduling(child.pid, sched["class"], sched["priority"], sched["nice"])
    except HostError as error:
        if not degrade:
            raise HostError(f"{child.name}: {error}") from error
        return [f"{child.name}: class {sched['class']} priority {sched['priority']} nice {sched['nice']} "
                "not permitted, runs as other"]
    return []


def has_ended(child: Child) -> bool:
    """True if the process is gone, reaped or not."""
    if not child.alive:
        return True
    try:
        return os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def wait_any(children: list[Child], block_s: float) -> list[Child]:
    """Reap children that end within `block_s`; returns those that did."""
    ended = []
    deadline = time.monotonic() + block_s
    while True:
        for child in children:
            if child.alive:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    child.status = status
                    ended.append(child)
        if all(not child.alive for child in children) or time.monotonic() >= deadline:
            return ended
        time.sleep(0.005)


def remember(child: Child) -> None:
    """Note where a living child runs and what it has used: /proc forgets it with the process."""
    try:
        child.seen = read_back(child.pid)
    except HostError:
        pass  # it has just ended: the last note stands
