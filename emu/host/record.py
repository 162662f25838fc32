"""The host as a result file remembers it: enough to judge a figure years later, nothing that names anyone.

Holds   host_record(), one msgpack-able dict.
Rule    no user names, no host names, no paths of the machine: results are passed around. What the host does
        not tell is "", 0 or None, as in topology.py.
Limits  taken once, before a run; load and steal are those of that moment (steal counts since boot, so the
        difference of two records is what a run lost).
"""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from emu.host.quiet import DmaLatencyGuard, load_average, meminfo_kib, steal_jiffies
from emu.host.topology import Core, Topology, read_text

_SYS = Path("/sys")
_PROC = Path("/proc")
_ROOT = Path("/")
_SHM = Path("/dev/shm")
_DMA_LATENCY = Path("/dev/cpu_dma_latency")

HOST_RECORD_VERSION = 1


def host_record(
    topology: Topology,
    guard: DmaLatencyGuard | None = None,
    sysroot: Path = _SYS,
    procroot: Path = _PROC,
    root: Path = _ROOT,
) -> dict:
    """The host in plain values. `guard` is the run's DmaLatencyGuard, if it has one."""
    shm_bytes, shm_free_bytes = _room(_SHM)
    steal, ticks = steal_jiffies(procroot)
    return {
        "version": HOST_RECORD_VERSION,
        "kernel": platform.release(),
        "kernel_build": platform.version(),  # build number, SMP, preemption model
        "preemption": _preemption(platform.version()),
        "machine": platform.machine(),
        "cpu_model": _cpu_model(procroot),
        "cpu_mhz": _cpu_mhz(topology, procroot),
        "clocksource": read_text(sysroot / "devices/system/clocksource/clocksource0/current_clocksource"),
        "python": platform.python_version(),
        "packages": {name: _package(name) for name in ("numba", "llvmlite", "psutil")},
        "cores": [_core_row(core) for core in topology.cores],
        "mask": list(topology.mask),
        "cpuset": None if topology.cpuset is None else list(topology.cpuset),
        "quota_cpus": topology.quota_cpus,
        "hypervisor": topology.hypervisor,
        "container": container_hints(procroot, root),
        "memory_bytes": meminfo_kib(procroot, "MemTotal") * 1024,
        "memory_available_bytes": meminfo_kib(procroot, "MemAvailable") * 1024,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "huge_pages": _selected(read_text(sysroot / "kernel/mm/transparent_hugepage/enabled")),
        "shm_bytes": shm_bytes,
        "shm_free_bytes": shm_free_bytes,
        "load": list(load_average(procroot)),
        "steal_ticks": steal,
        "ticks": ticks,
        "ticks_per_second": os.sysconf("SC_CLK_TCK"),
        "cpu_dma_latency": dma_latency_note(guard),
    }


def _core_row(core: Core) -> dict:
    return {
        "id": core.id,
        "online": core.online,
        "allowed": core.allowed,
        "package": core.package,
        "die": core.die,
        "core_id": core.core_id,
        "siblings": list(core.siblings),
        "node": core.node,
        "l3": core.l3,
        "isolated": core.isolated,
        "nohz_full": core.nohz_full,
        "governor": core.governor,
        "max_mhz": core.max_mhz,
    }


def dma_latency_note(guard: DmaLatencyGuard | None, path: Path = _DMA_LATENCY) -> str:
    """In words: was the latency of idle states held down, and if not, why."""
    if guard is not None:
        return "held" if guard.held else f"not held: {guard.reason}"
    return "not asked for; permitted" if os.access(path, os.W_OK) else "not asked for; not permitted"


def container_hints(procroot: Path = _PROC, root: Path = _ROOT) -> list[str]:
    """Words for what suggests a container; empty on a plain host."""
    hints = []
    if (root / ".dockerenv").exists():
        hints.append("docker")
    if (root / "run/.containerenv").exists():
        hints.append("podman")
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        hints.append("kubernetes")
    groups = read_text(procroot / "self/cgroup")
    hints += [word for word in ("docker", "kubepods", "libpod", "lxc") if word in groups and word not in hints]
    return hints


def _cpu_model(procroot: Path) -> str:
    text = read_text(procroot / "cpuinfo")
    for key in ("model name", "cpu model", "cpu"):
        match = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if match:
            return match[1].strip()
    arm = [re.search(rf"^CPU {key}\s*:\s*(\S+)$", text, re.MULTILINE) for key in ("implementer", "part")]
    return "arm implementer {} part {}".format(*(match[1] for match in arm if match)) if all(arm) else ""


def _cpu_mhz(topology: Topology, procroot: Path) -> int:
    """The highest clock the kernel admits to; in a guest that is often the clock of now."""
    highest = max((core.max_mhz for core in topology.cores), default=0)
    if highest:
        return highest
    clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", read_text(procroot / "cpuinfo"), re.MULTILINE)
    return round(max((float(clock) for clock in clocks), default=0.0))


def _preemption(build: str) -> str:
    return next((word for word in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT") if word in build.split()), "")


def _selected(text: str) -> str:
    """The bracketed word of a sysfs choice ("always [madvise] never")."""
    match = re.search(r"\[(\S+)\]", text)
    return match[1] if match else ""


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _room(path: Path) -> tuple[int, int]:
    """(size, free) of the file system in bytes; zeros where there is none."""
    try:
        stat = os.statvfs(path)
    except OSError:
        return 0, 0
    return stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
