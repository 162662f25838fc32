"""Who the processes of a machine are, and where each of its regions lies.

Holds   Role, Plan, plan_roles().
Rule    all sizes are known before the segment is created. A plan holds figures only; whoever has one may read the
        machine's words by its offsets.
"""

from dataclasses import dataclass, field

from emu.config import Resolved, hog_seats
from emu.kvfree import KRC
from emu.mm import CACHE, PCP, ZONE
from emu.policy import POOL, POOL_FIRST_CPU, POOLS_PER_CPU, STOCK
from emu.shm import (
    APP,
    COORDINATOR,
    HOG,
    KSWAPD,
    MONITOR,
    MUTATOR,
    PAGE_REFILL,
    PROC,
    RECLAIM,
    ROLE_NAMES,
    SAMPLER,
    USER,
)
from emu.sync import CPU
from emu.users import HOG_SLOT, USR
from emu.workload import LOAD

UNBOUND = -1


@dataclass(frozen=True)
class Role:
    """One process of the run. cpu: the emulated CPU it belongs to, or UNBOUND."""

    index: int
    kind: int
    cpu: int
    number: int

    @property
    def name(self) -> str:
        """Name in reports: role and number."""
        alone = self.kind in (COORDINATOR, SAMPLER)
        return ROLE_NAMES[self.kind] if alone else f"{ROLE_NAMES[self.kind]}/{self.number}"


@dataclass
class Plan:
    """What a machine needs: processes in order of their index, region offsets, total size in words."""

    resolved: Resolved
    roles: list[Role]
    offsets: dict[str, int]
    size_words: int
    first_pfn: int
    schedules: list[list[int]] = field(default_factory=list)
    schedule_span_ns: int = 0

    def of_kind(self, kind: int) -> list[Role]:
        """The processes of one role."""
        return [role for role in self.roles if role.kind == kind]

    @property
    def cpus(self) -> int:
        """Number of emulated CPUs."""
        return self.resolved.cpus.count

    def proc(self, me: int) -> int:
        """Word offset of process `me`'s record; the methods below likewise, for Python code that reads or boots."""
        return self.offsets["procs"] + me * PROC.SIZE

    def cpu(self, cpu: int) -> int:
        """Word offset of an emulated CPU's record."""
        return self.offsets["cpus"] + cpu * CPU.SIZE

    def krc(self, cpu: int) -> int:
        """Word offset of a CPU's batch head."""
        return self.offsets["krc"] + cpu * KRC.SIZE

    def stock(self, cpu: int) -> int:
        """Word offset of a CPU's stock of pages."""
        return self.offsets["stock"] + cpu * STOCK.SIZE

    def cpu_pool(self, cpu: int, which: int) -> int:
        """Word offset of a CPU's pool: GROWN, RESCUE or SHELF."""
        return self.offsets["pools"] + (POOL_FIRST_CPU + cpu * POOLS_PER_CPU + which) * POOL.SIZE

    def load(self, cpu: int) -> int:
        """Word offset of a mutator's load."""
        return self.offsets["workload"] + cpu * LOAD.SIZE

    def cache(self, index: int) -> int:
        """Word offset of a slab cache."""
        return self.offsets["caches"] + index * CACHE.SIZE

    def zone(self, index: int) -> int:
        """Word offset of a zone."""
        return self.offsets["zones"] + index * ZONE.SIZE

    def user(self, index: int) -> int:
        """Word offset of a [[users]] table's record."""
        return self.offsets["users"] + index * USR.SIZE

    def hog(self, index: int) -> int:
        """Word offset of a hog process's settings."""
        return self.offsets["hogs"] + index * HOG_SLOT.SIZE

    def pcp(self, cpu: int, zone: int = 0) -> int:
        """Word offset of the page lists in a zone of a CPU of the machine (the last one: housekeeping)."""
        return self.offsets["pcp"] + (zone * (self.cpus + 1) + cpu) * PCP.SIZE


def plan_roles(resolved: Resolved) -> list[Role]:
    """Who takes part: a mutator per CPU, refill and reclaim per CPU where bound, one coordinator; what is asked for.

    Applications stand next to each other.
    """
    cpus = resolved.cpus.count
    kinds: list[tuple[int, int, int]] = [(MUTATOR, cpu, cpu) for cpu in range(cpus)]
    if resolved.policy.refill.trigger != "none":
        kinds += per_cpu_or_one(PAGE_REFILL, cpus, resolved.policy.refill.bound)
    kinds += per_cpu_or_one(RECLAIM, cpus, resolved.kvfree.work_bound)
    kinds.append((COORDINATOR, UNBOUND, 0))
    kinds += [(USER, user.cpu, i) for i, user in enumerate(resolved.users)]
    kinds += [(HOG, seat.cpu, i) for i, seat in enumerate(hog_seats(resolved.hogs))]
    if resolved.series.on:
        kinds.append((SAMPLER, UNBOUND, 0))
    if resolved.vmscan.kswapd:
        kinds += [(KSWAPD, UNBOUND, node) for node in range(resolved.memory.nodes)]
    kinds += [(APP, UNBOUND, app) for app in range(resolved.apps.count)]
    if resolved.monitor.kind != "none":
        kinds.append((MONITOR, UNBOUND, 0))
    return [Role(index, kind, cpu, number) for index, (kind, cpu, number) in enumerate(kinds)]


def per_cpu_or_one(kind: int, cpus: int, bound: bool) -> list[tuple[int, int, int]]:
    """(kind, cpu, number) of a worker that is bound to each CPU, or of the one unbound worker."""
    return [(kind, cpu, cpu) for cpu in range(cpus)] if bound else [(kind, UNBOUND, 0)]


def scheduling_of(role: Role, resolved: Resolved):
    """Whatever has the sched_class, priority and nice of a process: its table, or the section of its role; or None."""
    if role.kind == USER:
        return resolved.users[role.number]
    if role.kind == HOG:
        return resolved.hogs[hog_seats(resolved.hogs)[role.number].hog]
    return getattr(resolved.processes, ROLE_NAMES[role.kind], None)
