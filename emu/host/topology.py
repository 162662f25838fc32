"""What the host offers: its cores, who shares what, and what this process may use of it.

Holds   one frozen Topology, read once from sysfs, procfs and the inherited affinity mask.
Rule    a file that is missing or unreadable takes one fact away (-1, 0, "" or None says so); it never
        raises. Core ids are what the kernel printed: they may have holes and need not start at 0.
Limits  a snapshot: hotplug, a moved cpuset or a new governor after read_topology() is not seen. L3 groups
        are named by their lowest core, physical cores too.
After   Linux Documentation/admin-guide/cputopology.rst, cgroup-v2.rst and the `isolated` list of drivers/base/cpu.c.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

UNKNOWN = -1
CORE_ID_MAX = 65_535

_SYS = Path("/sys")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Core:
    """One logical CPU. UNKNOWN (-1), 0 or "" stand where the host does not say."""

    id: int
    online: bool = True
    allowed: bool = True  # in the inherited affinity mask
    package: int = UNKNOWN
    die: int = UNKNOWN
    core_id: int = UNKNOWN  # unique within its package only
    siblings: tuple[int, ...] = ()  # SMT threads of the same physical core, itself among them
    node: int = UNKNOWN
    l3: int = UNKNOWN  # lowest core that shares the level 3 cache
    isolated: bool = False
    nohz_full: bool = False
    governor: str = ""
    max_mhz: int = 0

    @property
    def usable(self) -> bool:
        return self.online and self.allowed

    @property
    def physical(self) -> int:
        """The physical core, named by its lowest logical one."""
        return self.siblings[0] if self.siblings else self.id


@dataclass(frozen=True, slots=True)
class Topology:
    """The host as this process may use it. `mask` is the inherited affinity, as the kernel gave it."""

    cores: tuple[Core, ...]
    mask: tuple[int, ...]
    hypervisor: str = ""  # "" on bare metal, "unnamed" where only its presence shows
    quota_cpus: float | None = None  # the cgroup's bandwidth in cores; None without a limit
    cpuset: tuple[int, ...] | None = None  # the cgroup's cores; None where no cpuset shows
    _by_id: dict[int, Core] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_by_id", {core.id: core for core in self.cores})

    def core(self, core_id: int) -> Core | None:
        """The core with this id, or None where the host has none."""
        return self._by_id.get(core_id)

    @property
    def usable(self) -> tuple[Core, ...]:
        """Online cores within the inherited mask: all that a run may be placed on."""
        return tuple(core for core in self.cores if core.usable)

    @property
    def usable_ids(self) -> tuple[int, ...]:
        return tuple(core.id for core in self.usable)

    @property
    def online_ids(self) -> tuple[int, ...]:
        return tuple(core.id for core in self.cores if core.online)


def parse_cpulist(text: str) -> tuple[int, ...]:
    """Ids in a list as the kernel prints it ("0-3,8"), ascending. What is no such list ("(null)", "") is empty."""
    ids: set[int] = set()
    for token in text.strip().split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", token.strip())
        if match is None:
            return ()
        low = int(match[1])
        ids.update(range(low, int(match[2] or low) + 1))
    return tuple(sorted(ids))


def format_core_list(ids) -> str:
    """Ids as the kernel prints them: ascending, runs folded ("0-3,8"); "none" when empty."""
    runs: list[list[int]] = []
    for i in sorted(set(ids)):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"


def read_text(path: Path) -> str:
    """The file's text without surrounding space; "" where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read_int(path: Path, missing: int = UNKNOWN) -> int:
    """The file's integer; `missing` where there is none."""
    try:
        return int(read_text(path))
    except ValueError:
        return missing


def read_topology(sysroot: Path = _SYS, procroot: Path = _PROC, allowed=None) -> Topology:
    """Read the host. `allowed` replaces the inherited affinity mask (tests describe other machines with it)."""
    mask = tuple(sorted(os.sched_getaffinity(0) if allowed is None else allowed))
    cpu_root = sysroot / "devices/system/cpu"
    present = _present(cpu_root) or mask
    online = _online(cpu_root, present)
    isolated = set(parse_cpulist(read_text(cpu_root / "isolated")))
    isolated.update(parse_cpulist(read_text(sysroot / "fs/cgroup/cpuset.cpus.isolated")))
    nohz_full = set(parse_cpulist(read_text(cpu_root / "nohz_full")))
    nodes = _nodes(sysroot / "devices/system/node")
    cores = tuple(
        replace(
            _read_core(cpu_root / f"cpu{i}", i),
            online=i in online,
            allowed=i in mask,
            node=nodes.get(i, UNKNOWN),
            isolated=i in isolated,
            nohz_full=i in nohz_full,
        )
        for i in present
    )
    quota, cpuset = read_cgroup(sysroot / "fs/cgroup", procroot)
    return Topology(cores, mask, read_hypervisor(sysroot, procroot), quota, cpuset)


def _present(cpu_root: Path) -> tuple[int, ...]:
    listed = parse_cpulist(read_text(cpu_root / "present"))
    if listed:
        return listed
    try:
        names = [entry.name for entry in cpu_root.iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(name[3:]) for name in names if re.fullmatch(r"cpu\d+", name)))


def _online(cpu_root: Path, present: tuple[int, ...]) -> set[int]:
    listed = parse_cpulist(read_text(cpu_root / "online"))
    if listed:
        return set(listed)
    return {i for i in present if read_int(cpu_root / f"cpu{i}" / "online", 1) != 0}


def _nodes(node_root: Path) -> dict[int, int]:
    """Core id -> NUMA node."""
    nodes: dict[int, int] = {}
    try:
        entries = sorted(entry for entry in node_root.iterdir() if re.fullmatch(r"node\d+", entry.name))
    except OSError:
        return nodes
    for entry in entries:
        for i in parse_cpulist(read_text(entry / "cpulist")):
            nodes[i] = int(entry.name[4:])
    return nodes


def _read_core(at: Path, i: int) -> Core:
    """What the core's own folder says of it."""
    topology = at / "topology"
    siblings = parse_cpulist(read_text(topology / "core_cpus_list"))  # the older name follows
    siblings = siblings or parse_cpulist(read_text(topology / "thread_siblings_list"))
    if i not in siblings:  # an offline core has no list
        siblings = (i,)
    return Core(
        id=i,
        package=read_int(topology / "physical_package_id"),
        die=read_int(topology / "die_id"),
        core_id=read_int(topology / "core_id"),
        siblings=siblings,
        l3=_l3_group(at / "cache"),
        governor=read_text(at / "cpufreq/scaling_governor"),
        max_mhz=max(0, read_int(at / "cpufreq/cpuinfo_max_freq", 0) // 1000),
    )


def _l3_group(cache: Path) -> int:
    for index in range(8):  # real machines have four to six entries
        if read_int(cache / f"index{index}" / "level", 0) == 3:
            shared = parse_cpulist(read_text(cache / f"index{index}" / "shared_cpu_list"))
            if shared:
                return shared[0]
    return UNKNOWN


# --- the hypervisor ------------------------------------------------------------------------------------

_VENDORS = (
    ("qemu", "qemu"), ("kvm", "kvm"), ("amazon ec2", "ec2"), ("google", "gce"), ("vmware", "vmware"),
    ("microsoft", "hyper-v"), ("xen", "xen"), ("innotek", "virtualbox"), ("virtualbox", "virtualbox"),
    ("parallels", "parallels"), ("bochs", "bochs"), ("openstack", "openstack"),
)
_CLOCKS = (("kvm-clock", "kvm"), ("hyperv_clocksource", "hyper-v"), ("xen", "xen"))


def read_hypervisor(sysroot: Path = _SYS, procroot: Path = _PROC) -> str:
    """The hypervisor's name, "unnamed" where only its presence shows, "" where nothing shows one."""
    xen = read_text(sysroot / "hypervisor/type")
    if xen:
        return xen
    tree = read_text(sysroot / "firmware/devicetree/base/hypervisor/compatible").strip("\0")
    if tree:
        return tree.split("\0")[0].split(",")[-1]
    vendor = _dmi_name(sysroot)
    flags = re.search(r"^flags\s*:(.*)$", read_text(procroot / "cpuinfo"), re.MULTILINE)
    if flags is None:  # no x86: only firmware tells, and a cloud's name alone may be its bare metal
        return vendor if vendor in ("qemu", "kvm", "vmware", "virtualbox", "parallels", "xen") else ""
    if "hypervisor" not in flags[1].split():
        return ""
    return vendor or _clock_name(sysroot) or "unnamed"


def _dmi_name(sysroot: Path) -> str:
    dmi = sysroot / "class/dmi/id"
    text = " ".join(read_text(dmi / name) for name in ("sys_vendor", "product_name", "bios_vendor")).lower()
    return next((name for key, name in _VENDORS if key in text), "")


def _clock_name(sysroot: Path) -> str:
    sources = read_text(sysroot / "devices/system/clocksource/clocksource0/available_clocksource").split()
    return next((name for key, name in _CLOCKS if key in sources), "")


# --- the control group ---------------------------------------------------------------------------------


def read_cgroup(cgroot: Path = _SYS / "fs/cgroup", procroot: Path = _PROC) -> tuple[float | None, tuple | None]:
    """(bandwidth in cores or None, cpuset or None): the tightest limit from this process's group to the root."""
    quotas = []
    cpuset = None
    for controllers, path in _memberships(procroot):
        for folder in _folders(cgroot, controllers):
            for at in _ancestry(folder, path):
                quotas.append(_quota(at))
                if cpuset is None:
                    cpuset = _cpuset(at)
    limits = [quota for quota in quotas if quota is not None]
    return (min(limits) if limits else None), cpuset


def _memberships(procroot: Path) -> list[tuple[list[str], str]]:
    """(controllers, path) of each hierarchy; no controllers means version 2."""
    rows = []
    for line in read_text(procroot / "self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            rows.append((parts[1].split(",") if parts[1] else [], parts[2]))
    return rows


def _folders(cgroot: Path, controllers: list[str]) -> list[Path]:
    if not controllers:
        return [cgroot, cgroot / "unified"]
    if "cpu" in controllers or "cpuset" in controllers:
        return list(dict.fromkeys([cgroot / ",".join(controllers), *(cgroot / name for name in controllers)]))
    return []


def _ancestry(folder: Path, path: str) -> list[Path]:
    """The group and all above it. Seen from inside a namespace only the mount's own root may exist."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        parts = []
    return [folder.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota(at: Path) -> float | None:
    fields = read_text(at / "cpu.max").split() or [
        read_text(at / "cpu.cfs_quota_us"), read_text(at / "cpu.cfs_period_us"),
    ]
    try:
        quota, period = int(fields[0]), int(fields[1])
    except (ValueError, IndexError):  # "max 100000", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None  # version 1 says -1 for no limit


def _cpuset(at: Path) -> tuple[int, ...] | None:
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
        ids = parse_cpulist(read_text(at / name))
        if ids:
            return ids
    return None
