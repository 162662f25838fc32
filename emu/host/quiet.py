"""Keep the host still while a run measures, and say what will disturb it all the same.

Holds   the idle-latency guard, timer slack, the parent-death signal, process states, and disturbances().
Rule    each disturbance comes with its way out. Nothing here changes the host beyond this process and the
        one file it holds open: a governor or a boot option is the operator's to change.
Limits  thresholds are rough: they decide what is worth a line, not what a result means; the noise floor of a
        run measures that.
After   Linux Documentation/power/pm_qos_interface.rst, prctl(2), Documentation/admin-guide/kernel-per-CPU-kthreads.rst.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from emu.errors import HostError
from emu.host.affinity import stat_state
from emu.host.topology import Core, Topology, format_core_list, read_int, read_text

_SYS = Path("/sys")
_PROC = Path("/proc")
_DMA_LATENCY = Path("/dev/cpu_dma_latency")

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
_PR_GET_TIMERSLACK = 30

STEAL_SHARE_MIN = 0.000_1  # of all time since boot; less is not worth naming a number
LOAD_PER_CORE_MIN = 0.1

_STATES = {
    "R": "running", "S": "sleeping", "D": "uninterruptible", "I": "sleeping", "T": "stopped", "t": "stopped",
    "Z": "zombie", "X": "dead", "x": "dead", "": "dead",
}


class DmaLatencyGuard:
    """While held, cores do not enter idle states that take longer than `latency_us` to leave.

    The kernel drops the request when the file is closed, so it also ends with the process. Without the
    permission nothing is raised: `held` stays False and `reason` says why, for the result.
    """

    def __init__(self, latency_us: int = 0, path: Path = _DMA_LATENCY):
        self.held = False
        self.reason = "not entered"
        self._latency_us = latency_us
        self._path = path
        self._fd = -1

    def __enter__(self) -> "DmaLatencyGuard":
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            os.write(self._fd, struct.pack("i", self._latency_us))
        except OSError as error:
            self._close()
            self.reason = _dma_reason(self._path, error)
        else:
            self.held, self.reason = True, ""
        return self

    def __exit__(self, *_) -> None:
        self._close()
        if self.held:
            self.held, self.reason = False, "released"

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _dma_reason(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist: a kernel or container without it"
    return f"{path}: {error.strerror}: cores may idle deeply; run as root, or give the user write access to it"


def set_timer_slack(ns: int) -> int:
    """Let timed sleeps of this thread (and of children it starts) be late by at most `ns`; the slack now in force.

    The kernel's default is 50 us. Realtime threads have none: for them 0 comes back. HostError when refused.
    """
    assert ns >= 1, "0 would restore the default"
    _prctl(_PR_SET_TIMERSLACK, ns, "set the timer slack")
    got = _prctl(_PR_GET_TIMERSLACK, 0, "read the timer slack")
    if got > ns:
        raise HostError(f"timer slack: asked for {ns} ns, the kernel gave {got} ns; leave the sandbox that keeps it")
    return got


def set_parent_death_signal(sig: int, parent: int | None = None) -> None:
    """Have the kernel send this process `sig` when its parent ends (exactly: the thread that started it).

    A parent that ended before the call sends nothing: give its pid, and HostError says that it is gone.
    """
    _prctl(_PR_SET_PDEATHSIG, int(sig), f"ask for {signal.Signals(sig).name} at the parent's death")
    if parent is not None and os.getppid() != parent:
        raise HostError(f"parent process {parent} is gone (the parent is {os.getppid()} now); start it again from emu")


def _prctl(option: int, argument: int, what: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_ulong
    got = libc.prctl(ctypes.c_int(option), word(argument), word(0), word(0), word(0))
    if got < 0:
        error = os.strerror(ctypes.get_errno())
        raise HostError(f"prctl: the kernel refuses to {what} ({error}); a sandbox filters it: run outside of it")
    return got


def process_state(pid: int) -> str:
    """running (on a core or waiting for one: the kernel does not tell them apart here), sleeping,
    uninterruptible, stopped, zombie, or dead (also when there is no such process)."""
    return _STATES.get(stat_state(pid), "dead")


# --- what will disturb a run ---------------------------------------------------------------------------


class Disturbance(NamedTuple):
    """One thing that will show up in the latencies of a run, and what to do about it."""

    name: str
    what: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.what}; {self.way_out}"


def disturbances(
    topology: Topology,
    cores: Iterable[int] | None = None,
    sysroot: Path = _SYS,
    procroot: Path = _PROC,
    dma_latency: Path = _DMA_LATENCY,
) -> list[Disturbance]:
    """What will disturb a run on `cores` (default: all usable ones), in plain words, worst kinds first."""
    wanted = None if cores is None else set(cores)
    used = [core for core in topology.usable if wanted is None or core.id in wanted]
    found = [
        _quota(topology),
        _hypervisor(topology, procroot),
        _load(topology, procroot),
        _governor(used),
        _siblings(topology, used),
        _isolation(topology, used),
        _idle_states(dma_latency),
        _huge_pages(sysroot),
        _numa_balancing(topology, procroot),
        _swap(procroot),
    ]
    return [disturbance for disturbance in found if disturbance is not None]


def _quota(topology: Topology) -> Disturbance | None:
    quota = topology.quota_cpus
    if quota is None or quota >= len(topology.usable):
        return None
    what = f"the cgroup has the time of {quota:g} of {len(topology.usable)} cores: once spent, all stop for a while"
    return Disturbance("cgroup quota", what, "raise cpu.max of the cgroup (docker: --cpus), or use fewer cores")


def _hypervisor(topology: Topology, procroot: Path) -> Disturbance | None:
    if not topology.hypervisor:
        return None
    steal, total = steal_jiffies(procroot)
    share = steal / total if total else 0.0
    seen = f"it took {100 * share:.2f} % of the time since boot" if share >= STEAL_SHARE_MIN else "little so far"
    what = f"a hypervisor ({topology.hypervisor}) may take a core away at any time; steal: {seen}"
    return Disturbance("hypervisor", what, "use bare metal or dedicated cores; trust no figure below the noise floor")


def steal_jiffies(procroot: Path = _PROC) -> tuple[int, int]:
    """(stolen, all) clock ticks of all cores since boot; (0, 0) where the kernel does not say."""
    fields = read_text(procroot / "stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return 0, 0
    ticks = [int(field) for field in fields[1:9]]  # the two guest fields after them are counted in user and nice
    return ticks[7], sum(ticks)


def load_average(procroot: Path = _PROC) -> tuple[float, ...]:
    """Load over 1, 5 and 15 minutes; () where the kernel does not say."""
    try:
        return tuple(float(field) for field in read_text(procroot / "loadavg").split()[:3])
    except ValueError:
        return ()


def _load(topology: Topology, procroot: Path) -> Disturbance | None:
    loads = load_average(procroot)
    online = len(topology.online_ids)
    if not loads or loads[0] < max(LOAD_PER_CORE_MIN * online, 0.5):
        return None
    what = f"other work is running: load {loads[0]:.2f} over the last minute on {online} cores"
    return Disturbance("load", what, "stop it, or keep it off the run's cores (taskset, cpusets)")


def _governor(used: list[Core]) -> Disturbance | None:
    slow = [core for core in used if core.governor not in ("", "performance")]
    if not slow:
        return None
    names = ", ".join(sorted({core.governor for core in slow}))
    what = f"cores {format_core_list(core.id for core in slow)} change their clock (governor {names})"
    return Disturbance("governor", what, "cpupower frequency-set -g performance")


def _siblings(topology: Topology, used: list[Core]) -> Disturbance | None:
    online = set(topology.online_ids)
    paired = [core for core in used if any(i != core.id and i in online for i in core.siblings)]
    if not paired:
        return None
    what = f"cores {format_core_list(core.id for core in paired)} have SMT siblings that run other work beside them"
    return Disturbance("smt", what, 'cores = "one-per-physical-core" and nothing else running, or '
                       "echo off > /sys/devices/system/cpu/smt/control")


def _isolation(topology: Topology, used: list[Core]) -> Disturbance | None:
    shared = [core.id for core in used if not core.isolated]
    if shared:
        outside = [core.id for core in topology.cores if core.isolated and core.online and not core.allowed]
        what = f"cores {format_core_list(shared)} are not isolated: the kernel puts other work and interrupts on them"
        if outside:
            wider = format_core_list((*topology.mask, *outside))
            return Disturbance("isolation", what, f"cores {format_core_list(outside)} are isolated but outside the "
                               f"inherited mask: taskset -c {wider} emu ..., then cores = \"isolated\"")
        return Disturbance("isolation", what, "boot with isolcpus= and nohz_full=, or an isolated cpuset partition")
    ticking = [core.id for core in used if not core.nohz_full]
    if not ticking:
        return None
    what = f"isolated cores {format_core_list(ticking)} still take the timer tick"
    return Disturbance("tick", what, "boot with nohz_full= for them as well")


def _idle_states(dma_latency: Path) -> Disturbance | None:
    if os.access(dma_latency, os.W_OK):
        return None  # a run holds DmaLatencyGuard
    what = f"cores may enter deep idle states and wake late: {dma_latency} cannot be written"
    return Disturbance("idle states", what, "run as root, give the user write access to it, or boot with "
                       "processor.max_cstate=1")


def _huge_pages(sysroot: Path) -> Disturbance | None:
    if "[always]" not in read_text(sysroot / "kernel/mm/transparent_hugepage/enabled"):
        return None
    what = "transparent huge pages are on for all memory: khugepaged copies and compacts while the run measures"
    return Disturbance("huge pages", what, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")


def _numa_balancing(topology: Topology, procroot: Path) -> Disturbance | None:
    nodes = {core.node for core in topology.cores if core.node >= 0}
    if len(nodes) < 2 or read_int(procroot / "sys/kernel/numa_balancing", 0) == 0:
        return None
    what = "NUMA balancing unmaps pages to see who uses them: extra page faults"
    return Disturbance("numa balancing", what, "sysctl kernel.numa_balancing=0")


def _swap(procroot: Path) -> Disturbance | None:
    total, free = (meminfo_kib(procroot, name) for name in ("SwapTotal", "SwapFree"))
    if total <= free:
        return None
    what = f"{(total - free) // 1024} MiB are swapped out: memory was short, and page faults may wait for a disk"
    return Disturbance("swap", what, "free memory, then swapoff -a for the time of the run")


def meminfo_kib(procroot: Path, name: str) -> int:
    """One line of /proc/meminfo in KiB; 0 where there is none."""
    for line in read_text(procroot / "meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return 0
