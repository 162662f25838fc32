"""Pin processes and set how they are scheduled, then read back what the kernel made of it.

Holds   pin(), set_scheduling(), and read_back(), which is what a report says about a process.
Rule    nothing counts as set until the kernel repeats it: every write is followed by a read, and a
        difference is a HostError. A privilege that is missing is named, with the way to get it or to do
        without it.
Limits  pin() covers every thread the process has now; scheduling classes are set on its main thread only.
        read_back() is a handful of reads, not one snapshot. A pid of 0 is the caller.
After   sched(7), credentials(7), proc(5), Linux Documentation/scheduler/sched-stats.rst.
"""

import os
import re
import resource
from collections.abc import Iterable
from pathlib import Path

import psutil

from emu.errors import ConfigError, HostError
from emu.host.topology import format_core_list, read_text

CLASSES = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
REALTIME = ("fifo", "rr")

_NAMES = {number: name for name, number in CLASSES.items()} | {6: "deadline", 7: "ext"}
_CAP_SYS_NICE = 23
_STAT_LAST_CPU = 39  # fields of /proc/PID/stat, counted from 1 as proc(5) does
_STAT_STATE = 3


def pin(pid: int, cores: Iterable[int]) -> None:
    """Bind every thread of the process to `cores`. HostError when the kernel refuses or gives another mask."""
    wanted = sorted(set(cores))
    assert wanted, "pin() needs a core"
    listed = format_core_list(wanted)
    pid = pid or os.getpid()
    try:
        process = psutil.Process(pid)
        process.cpu_affinity(wanted)
        for thread in _other_threads(pid):
            _pin_thread(thread, wanted)
        got = sorted(process.cpu_affinity())
    except psutil.NoSuchProcess as error:
        raise _gone(pid) from error
    except psutil.AccessDenied as error:
        raise HostError(f"process {pid}: not permitted to pin it to cores {listed}; it must belong to the user that "
                        "runs emu, or emu needs CAP_SYS_NICE") from error
    except (ValueError, OSError) as error:  # no core of the list is online and in the cpuset
        raise HostError(f"process {pid}: the kernel refuses cores {listed} ({error}); name cores that "
                        "`emu topology` shows as allowed") from error
    if got != wanted:
        raise HostError(f"process {pid}: asked for cores {listed}, the kernel gave {format_core_list(got)}; a cpuset "
                        "or an offline core takes the others away: name cores that `emu topology` shows as allowed")


def _other_threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
    except OSError:
        return []


def _pin_thread(thread: int, wanted: list[int]) -> None:
    try:
        os.sched_setaffinity(thread, wanted)
    except ProcessLookupError:
        pass  # it ended between the listing and now


def set_scheduling(pid: int, cls: str, priority: int = 0, nice: int = 0) -> None:
    """Give the process's main thread a class (see CLASSES), a priority (1..99, fifo and rr only) and a nice value.

    ConfigError for values outside the rules, HostError when the kernel refuses or the read-back differs.
    """
    _check_scheduling(cls, priority, nice)
    pid = pid or os.getpid()
    try:
        _set_class(pid, cls, priority)
        _set_nice(pid, nice)
        got = _scheduling(pid)
    except ProcessLookupError as error:
        raise _gone(pid) from error
    wanted = (cls, priority, nice)
    if got != wanted:
        raise HostError(f"process {pid}: asked for class, priority, nice {wanted}, the kernel gave {got}; a sandbox or "
                        "an autogroup daemon changes it: run outside of it, or use class other with nice 0")


def _check_scheduling(cls: str, priority: int, nice: int) -> None:
    if cls not in CLASSES:
        raise ConfigError(f'scheduling class = "{cls}": must be one of {", ".join(CLASSES)}; use "other" for the '
                          "kernel's default")
    low, high = os.sched_get_priority_min(CLASSES[cls]), os.sched_get_priority_max(CLASSES[cls])
    if not low <= priority <= high:
        rule = f"must be {low}..{high}" if cls in REALTIME else "must be 0"
        raise ConfigError(f"priority = {priority}: {rule} for class {cls}; classes {' and '.join(REALTIME)} have "
                          "priorities, the others have nice")
    if not -20 <= nice <= 19:
        raise ConfigError(f"nice = {nice}: must be -20..19; -20 gets the most of a shared core")


def _set_class(pid: int, cls: str, priority: int) -> None:
    keep = os.sched_getscheduler(pid) & os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(pid, CLASSES[cls] | keep, os.sched_param(priority))
    except PermissionError as error:
        raise HostError(f"process {pid}: not permitted to run in class {cls} with priority {priority}: "
                        f"{_missing_for(pid, cls, priority)}; or run with --degrade, which keeps class other and marks "
                        "the result as degraded") from error


def _set_nice(pid: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except PermissionError as error:
        raise HostError(f"process {pid}: not permitted to set nice {nice}: needs CAP_SYS_NICE, or RLIMIT_NICE of at "
                        f"least {20 - nice} (it is {_limit(pid, resource.RLIMIT_NICE)} now: `ulimit -e`); or run with "
                        "--degrade, which keeps nice as it is and marks the result as degraded") from error


def _missing_for(pid: int, cls: str, priority: int) -> str:
    if cls not in REALTIME:
        return "needs CAP_SYS_NICE, or a process of the same user"
    if _has_cap_sys_nice():
        return ("CAP_SYS_NICE is there, but the cgroup has no realtime bandwidth: raise its cpu.rt_runtime_us, or "
                "start emu in another cgroup")
    limit = _limit(pid, resource.RLIMIT_RTPRIO)
    return f"needs CAP_SYS_NICE, or RLIMIT_RTPRIO of at least {priority} (it is {limit} now: `ulimit -r`)"


def _limit(pid: int, which: int) -> int | str:
    """The soft limit that the kernel checks: that of the process to be changed, not the caller's."""
    try:
        return resource.prlimit(pid, which)[0]
    except OSError:
        return "unknown"


def _has_cap_sys_nice() -> bool:
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", read_text(Path("/proc/self/status")), re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> _CAP_SYS_NICE & 1)


def can_use_fifo(priority: int = 1) -> bool:
    """True where this thread may enter SCHED_FIFO at `priority`. Tries it for an instant and goes back."""
    policy = os.sched_getscheduler(0)
    keep = policy & os.SCHED_RESET_ON_FORK
    before = os.sched_getparam(0)
    if _NAMES.get(policy & ~keep) in REALTIME and before.sched_priority >= priority:
        return True  # trying could lose a priority that may not be had again
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | keep, os.sched_param(priority))
    except OSError:
        return False
    os.sched_setscheduler(0, policy, before)
    return True


def _scheduling(pid: int) -> tuple[str, int, int]:
    policy = os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK
    name = _NAMES.get(policy, str(policy))
    return name, os.sched_getparam(pid).sched_priority, os.getpriority(os.PRIO_PROCESS, pid)


def read_back(pid: int) -> dict:
    """What the kernel says of the process now: msgpack-able, times in ns, memory in bytes.

    cores, class, priority, nice, last_cpu (the core it ran on last); run_ns, run_delay_ns (runnable but
    waiting for a core) and timeslices of the main thread; voluntary_switches and involuntary_switches;
    rss_bytes and private_dirty_bytes. What this kernel does not tell is None. HostError when it is gone.
    """
    pid = pid or os.getpid()
    proc = Path(f"/proc/{pid}")
    try:
        cores = sorted(os.sched_getaffinity(pid))
        cls, priority, nice = _scheduling(pid)
    except ProcessLookupError as error:
        raise _gone(pid) from error
    run_ns, run_delay_ns, timeslices = _schedstat(proc)
    status = read_text(proc / "status")
    rollup = read_text(proc / "smaps_rollup")
    return {
        "cores": cores,
        "class": cls,
        "priority": priority,
        "nice": nice,
        "last_cpu": _last_cpu(proc),
        "run_ns": run_ns,
        "run_delay_ns": run_delay_ns,
        "timeslices": timeslices,
        "voluntary_switches": _number(status, "voluntary_ctxt_switches"),
        "involuntary_switches": _number(status, "nonvoluntary_ctxt_switches"),
        "rss_bytes": _kib(rollup, "Rss"),
        "private_dirty_bytes": _kib(rollup, "Private_Dirty"),
    }


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from its third field on (the name before it may hold spaces and brackets); [] when gone."""
    return read_text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def stat_state(pid: int) -> str:
    """The state letter of /proc/PID/stat; "" when the process is gone."""
    fields = stat_fields(pid)
    return fields[0] if fields else ""


def _last_cpu(proc: Path) -> int | None:
    fields = stat_fields(int(proc.name))
    at = _STAT_LAST_CPU - _STAT_STATE
    return int(fields[at]) if len(fields) > at else None


def _schedstat(proc: Path) -> tuple[int | None, int | None, int | None]:
    fields = read_text(proc / "schedstat").split()
    if len(fields) < 3:  # a kernel without CONFIG_SCHED_INFO
        return None, None, None
    return int(fields[0]), int(fields[1]), int(fields[2])


def _number(text: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def _kib(text: str, name: str) -> int | None:
    value = _number(text, name)
    return None if value is None else value * 1024


def _gone(pid: int) -> HostError:
    return HostError(f"process {pid} is gone; it ended before it could be placed: its own output says why")
