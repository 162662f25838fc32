"""Memory: zones and their pages, nodes, per-CPU lists, slab caches.

Rule    zones lie one behind the other in the pool, each from a multiple of the largest block on, so that no block and
        no pageblock belongs to two of them. The pages between are nobody's.
"""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved, node_cpus
from emu.mm import (
    CACHE,
    CFG_MEMORY,
    DRAIN,
    DRAIN_RULES,
    DRAINS,
    MAX_NR_ZONES,
    MAX_ORDER,
    NODE,
    PAGE,
    PAGE_WORDS,
    PAGEBLOCK_ORDER,
    PCP,
    PCP_RULES,
    RESERVE_RULES,
    SLAB_CPU,
    ZONE,
    ZONE_NAMES,
    boot_zone_pages,
    pcp_of,
    set_zone_of_blocks,
)
from emu.shm import MAP, MAP_BASE, round_to_line

LARGEST_BLOCK = 1 << MAX_ORDER


def zone_span(managed: int) -> int:
    """Pages from a zone's start to the next one's."""
    return -(-managed // LARGEST_BLOCK) * LARGEST_BLOCK


def pool_pages(resolved: Resolved) -> int:
    """Pages of the pool: all zones, and what lies between them. The last zone ends it."""
    zones = resolved.memory.zones
    return sum(zone_span(zone.managed_pages) for zone in zones[:-1]) + zones[-1].managed_pages


def memory_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the regions of memory, without the pages themselves."""
    cpus, caches, memory = resolved.cpus.count, len(resolved.slab.cache_bytes), resolved.memory
    pages = pool_pages(resolved)
    return {
        "zones": len(memory.zones) * ZONE.SIZE,
        "nodes": memory.nodes * NODE.SIZE,
        "cpu_nodes": round_to_line(cpus + 1),
        "cfg_memory": CFG_MEMORY.SIZE,
        "drains": DRAINS.SIZE + (cpus + 1) * DRAIN.SIZE,
        "pcp": len(memory.zones) * (cpus + 1) * PCP.SIZE,
        "caches": caches * CACHE.SIZE,
        "slab_cpus": cpus * caches * SLAB_CPU.SIZE,
        "pageblocks": round_to_line((pages >> PAGEBLOCK_ORDER) + 2),
        "mem_map": pages * PAGE.SIZE,
    }


def boot_memory_map(seg: Words, plan: Plan) -> None:
    """The figures of memory that stand beside the offsets of the regions."""
    memory = plan.resolved.memory
    seg[MAP_BASE + MAP.first_pfn] = plan.first_pfn
    # Where the record of page 0 and the word of pageblock 0 would stand: an index needs no subtraction then.
    seg[MAP_BASE + MAP.page_base] = plan.offsets["mem_map"] - plan.first_pfn * PAGE.SIZE
    seg[MAP_BASE + MAP.block_base] = plan.offsets["pageblocks"] - (plan.first_pfn >> PAGEBLOCK_ORDER)
    seg[MAP_BASE + MAP.nr_pages] = pool_pages(plan.resolved)
    seg[MAP_BASE + MAP.nr_zones] = len(memory.zones)
    seg[MAP_BASE + MAP.nr_nodes] = memory.nodes
    seg[MAP_BASE + MAP.nr_caches] = len(plan.resolved.slab.cache_bytes)
    seg[MAP_BASE + MAP.nr_pcp_cpus] = plan.cpus + 1


def boot_memory(seg: Words, plan: Plan) -> None:
    """Zones, nodes, per-CPU lists, slab caches. boot_memory_map() comes before."""
    memory = plan.resolved.memory
    words = plan.offsets["cfg_memory"]
    seg[words + CFG_MEMORY.reserve_rule] = RESERVE_RULES[memory.reserve_rule]
    seg[words + CFG_MEMORY.drain_rule] = DRAIN_RULES[memory.drain_rule]
    start = plan.first_pfn
    for index, record in enumerate(memory.zones):
        boot_zone(seg, plan, index, start)
        start += zone_span(record.managed_pages)
    boot_nodes(seg, plan)
    boot_caches(seg, plan)


def boot_zone(seg: Words, plan: Plan, index: int, start_pfn: int) -> None:
    """One zone, its pages free, and every CPU's lists in it."""
    memory, record = plan.resolved.memory, plan.resolved.memory.zones[index]
    zone = plan.zone(index)
    values = {
        "index": index,
        "node": record.node,
        "kind": ZONE_NAMES.index(record.name),
        "start_pfn": start_pfn,
        "end_pfn": start_pfn + record.managed_pages,
        "managed": record.managed_pages,
        "wmark_min": record.wmark_min,
        "wmark_low": record.wmark_low,
        "wmark_high": record.wmark_high,
        "batch": record.batch,
        "high_min": record.high_min,
        "high_max": record.high_max,
        "auto_high": int(memory.pcp_rule == "v6.7"),
        "pcp_rule": PCP_RULES[memory.pcp_rule],
        "boost_max": record.boost_max,
        "highatomic_max": record.highatomic_max,
    }
    for name, value in values.items():
        seg[zone + getattr(ZONE, name)] = value
    for kind in range(MAX_NR_ZONES):
        seg[zone + ZONE.lowmem_reserve + kind] = record.lowmem_reserve[kind]
    set_zone_of_blocks(seg, zone)
    boot_zone_pages(seg, zone, record.unmovable_pageblocks)
    for cpu in range(plan.cpus + 1):
        seg[pcp_of(seg, index, cpu) + PCP.high] = record.pcp_high


def boot_nodes(seg: Words, plan: Plan) -> None:
    """Each node's zonelist, and which node each CPU belongs to; the housekeeping CPU belongs to the first."""
    memory = plan.resolved.memory
    cpu_nodes = plan.offsets["cpu_nodes"]
    for node in range(memory.nodes):
        words = plan.offsets["nodes"] + node * NODE.SIZE
        cpus = node_cpus(node, memory.nodes, plan.cpus)
        for cpu in cpus:
            seg[cpu_nodes + cpu] = node
        nearest = [index for distance in range(memory.nodes) for index, zone in enumerate(memory.zones)
                   if zone.node == (node + distance) % memory.nodes]
        own = [zone for zone in memory.zones if zone.node == node]
        seg[words + NODE.index] = node
        seg[words + NODE.managed] = sum(zone.managed_pages for zone in own)
        seg[words + NODE.nr_cpus] = len(cpus)
        seg[words + NODE.own_zones] = len(own)
        seg[words + NODE.nr_zones] = len(nearest)
        for at, index in enumerate(nearest):
            seg[words + NODE.zonelist + at] = index


def boot_caches(seg: Words, plan: Plan) -> None:
    """One slab cache per size of object."""
    slab = plan.resolved.slab
    for index, size in enumerate(slab.cache_bytes):
        cache = plan.cache(index)
        seg[cache + CACHE.index] = index
        seg[cache + CACHE.object_words] = size // 8
        seg[cache + CACHE.objects] = PAGE_WORDS // (size // 8)
        seg[cache + CACHE.min_partial] = slab.min_partial
