"""What memory looked like at the end, zone by zone, and the invariants of zones.

Rule    as collect.py: when nobody writes any more.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.mm import (
    MIGRATE_HIGHATOMIC,
    MIGRATE_TYPES,
    NR_ORDERS,
    PAGE_STATES,
    PCP,
    PG_BUDDY,
    PG_PCP,
    SLAB_OBJECTS,
    ZONE,
    ZONE_NAMES,
    ZONE_NORMAL,
    count_zone_free,
    count_zone_states,
    pcp_count,
    pcp_of,
)


def collect_zones(seg: Words, plan: Plan) -> list[dict]:
    """A row per zone, in order of their index: marks, what is free, on lists and kept back. Figures in pages."""
    rows = []
    for index in range(len(plan.resolved.memory.zones)):
        zone = plan.zone(index)
        rows.append({
            "node": seg[zone + ZONE.node], "name": ZONE_NAMES[seg[zone + ZONE.kind]],
            "managed": seg[zone + ZONE.managed], "min": seg[zone + ZONE.wmark_min], "low": seg[zone + ZONE.wmark_low],
            "high": seg[zone + ZONE.wmark_high], "lowmem_reserve": seg[zone + ZONE.lowmem_reserve + ZONE_NORMAL],
            "nr_free_min": seg[zone + ZONE.nr_free_min], "nr_free_end": seg[zone + ZONE.nr_free],
            "pcp": sum(pcp_count(seg, pcp_of(seg, index, cpu)) for cpu in range(plan.cpus + 1)),
            "boost": seg[zone + ZONE.boost], "reserved_highatomic": seg[zone + ZONE.nr_reserved_highatomic],
            "free_highatomic": seg[zone + ZONE.nr_free_highatomic],
        })
    return rows


def pcp_locks(seg: Words, plan: Plan) -> list[int]:
    """Word offset of every pcp->lock."""
    zones, cpus = len(plan.resolved.memory.zones), plan.cpus + 1
    return [plan.pcp(cpu, zone) + PCP.lock for zone in range(zones) for cpu in range(cpus)]


def zone_pages(seg: Words, plan: Plan, index: int) -> list[int]:
    """Pages of a zone by state, counted page by page."""
    shared = plan.offsets["scratch"]  # nobody runs: process 0's scratch words are free for the compiled count
    for i in range(SLAB_OBJECTS + 1):
        seg[shared + i] = 0
    count_zone_states(seg, plan.zone(index), shared)
    return [seg[shared + state] for state in range(len(PAGE_STATES))]


def highatomic_listed(seg: Words, zone: int) -> int:
    """Pages on a zone's lists of blocks kept for high-order atomic requests."""
    counts = zone + ZONE.free_count + MIGRATE_HIGHATOMIC
    return sum(seg[counts + order * MIGRATE_TYPES] << order for order in range(NR_ORDERS))


def memory_invariants(seg: Words, plan: Plan, record: dict) -> list[dict]:
    """What must hold of every zone by itself. Only for a run in which no process was killed."""
    wrong: dict[str, list[str]] = {
        "NR_FREE_PAGES = pages on the free lists": [],
        "per-CPU lists hold the pages that say so": [],
        "NR_FREE_HIGHATOMIC = pages on its free lists": [],
    }
    free, lists, kept = wrong.values()
    for index, row in enumerate(record["zones"]):
        zone, name = plan.zone(index), f"node {row['node']} {row['name']}"
        pages = zone_pages(seg, plan, index)
        if not row["nr_free_end"] == count_zone_free(seg, zone) == pages[PG_BUDDY]:
            free.append(f"{name}: nr_free {row['nr_free_end']}, found {pages[PG_BUDDY]}")
        if row["pcp"] != pages[PG_PCP]:
            lists.append(f"{name}: {row['pcp']} listed, {pages[PG_PCP]} found")
        if row["free_highatomic"] != highatomic_listed(seg, zone):
            kept.append(f"{name}: {row['free_highatomic']}, listed {highatomic_listed(seg, zone)}")
    zones = f"{len(record['zones'])} zones"
    return [{"name": name, "ok": not found, "detail": "; ".join(found) or zones} for name, found in wrong.items()]
