"""Statistics of the machine's locks: one row per zone's lock, one per kind of the others.

Rule    reads only; nobody writes any more. hold_ns is 0 for locks that are held too briefly to be timed: krc->lock is
        timed where the monitor holds it, list_lock nowhere.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.kvfree import BARN, KRC, SHEAVES, barn_of
from emu.mm import CACHE, PCP, ZONE, ZONE_NAMES, pcp_of
from emu.policy import POOL, POOL_MEMPOOL, POOL_SHARED
from emu.sync import LOCK
from emu.vmscan import LRUVEC, VMSCAN


def lock_groups(seg: Words, plan: Plan) -> dict[str, list[int]]:
    """Words of the locks, by the name that the report gives them."""
    zones = plan.resolved.memory.zones
    groups = {}
    for index in range(len(zones)):
        zone = plan.zone(index)
        name = "zone->lock"
        if len(zones) > 1:
            name += f" {ZONE_NAMES[seg[zone + ZONE.kind]]}/{seg[zone + ZONE.node]}"
        groups[name] = [zone + ZONE.lock]
    groups["pcp->lock"] = [pcp_of(seg, index, cpu) + PCP.lock for index in range(len(zones))
                           for cpu in range(plan.cpus + 1)]
    groups["krc->lock"] = [plan.krc(cpu) + KRC.lock for cpu in range(plan.cpus)]
    groups["list_lock"] = [plan.cache(i) + CACHE.lock for i in range(len(plan.resolved.slab.cache_bytes))]
    groups["mempool->lock"], groups["reserve->lock"] = (
        [plan.offsets["pools"] + number * POOL.SIZE + POOL.lock] for number in (POOL_MEMPOOL, POOL_SHARED))
    if plan.resolved.vmscan.psi:
        groups["lru_lock"] = [plan.offsets["lruvecs"] + node * LRUVEC.SIZE + LRUVEC.lock
                              for node in range(plan.resolved.memory.nodes)]
        groups["oom_lock"] = [plan.offsets["vmscan"] + VMSCAN.oom_lock]
        groups["zram lock"] = [plan.offsets["vmscan"] + VMSCAN.zram_lock]
    sheaves = plan.offsets["sheaves"]
    if seg[sheaves + SHEAVES.on]:
        groups["barn->lock"] = [barn_of(seg, node, index) + BARN.lock for node in range(plan.resolved.memory.nodes)
                                for index in range(seg[sheaves + SHEAVES.nr_caches])]
    return groups


def collect_locks(seg: Words, plan: Plan) -> list[dict]:
    """A row per group."""
    rows = []
    for name, locks in lock_groups(seg, plan).items():
        total = {field: sum(seg[lock + getattr(LOCK, field)] for lock in locks)
                 for field in ("acquired", "contended", "wait_ns", "hold_ns", "descheduled")}
        rows.append({"name": name, "acquired": total["acquired"], "contended": total["contended"],
                     "wait_ns": total["wait_ns"], "hold_ns": total["hold_ns"],
                     "hold_max_ns": max(seg[lock + LOCK.hold_max_ns] for lock in locks),
                     "holder_descheduled": total["descheduled"], "sleeps": bool(seg[locks[0] + LOCK.sleeps])})
    return rows
