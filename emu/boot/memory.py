"""Memory: the zone and its pages, per-CPU lists, slab caches."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved
from emu.mm import CACHE, PAGE, PAGE_WORDS, PAGEBLOCK_ORDER, PCP, SLAB_CPU, ZONE, boot_zone_pages
from emu.shm import MAP, MAP_BASE, round_to_line


def memory_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the regions of memory, without the pages themselves."""
    cpus, caches = resolved.cpus.count, len(resolved.slab.object_bytes)
    pages = resolved.memory.managed_pages
    return {
        "zones": ZONE.SIZE,
        "pcp": (cpus + 1) * PCP.SIZE,
        "caches": caches * CACHE.SIZE,
        "slab_cpus": cpus * caches * SLAB_CPU.SIZE,
        "pageblocks": round_to_line((pages >> PAGEBLOCK_ORDER) + 2),
        "mem_map": pages * PAGE.SIZE,
    }


def boot_memory_map(seg: Words, plan: Plan) -> None:
    """The figures of memory that stand beside the offsets of the regions."""
    seg[MAP_BASE + MAP.first_pfn] = plan.first_pfn
    # Where the record of page 0 and the word of pageblock 0 would stand: an index needs no subtraction then.
    seg[MAP_BASE + MAP.page_base] = plan.offsets["mem_map"] - plan.first_pfn * PAGE.SIZE
    seg[MAP_BASE + MAP.block_base] = plan.offsets["pageblocks"] - (plan.first_pfn >> PAGEBLOCK_ORDER)
    seg[MAP_BASE + MAP.nr_pages] = plan.resolved.memory.managed_pages
    seg[MAP_BASE + MAP.nr_zones] = 1
    seg[MAP_BASE + MAP.nr_caches] = len(plan.resolved.slab.object_bytes)
    seg[MAP_BASE + MAP.nr_pcp_cpus] = plan.cpus + 1


def boot_memory(seg: Words, plan: Plan) -> None:
    """Zone, per-CPU lists, slab caches. boot_memory_map() comes before."""
    memory, slab, zone = plan.resolved.memory, plan.resolved.slab, plan.offsets["zones"]
    values = {
        "start_pfn": plan.first_pfn,
        "end_pfn": plan.first_pfn + memory.managed_pages,
        "managed": memory.managed_pages,
        "wmark_min": memory.wmark_min,
        "wmark_low": memory.wmark_low,
        "wmark_high": memory.wmark_high,
        "batch": max(1, memory.pcp_batch),
        "high_min": memory.pcp_high_min,
        "high_max": memory.pcp_high_max,
        "auto_high": int(memory.pcp_high_min != memory.pcp_high_max),
    }
    for name, value in values.items():
        seg[zone + getattr(ZONE, name)] = value
    boot_zone_pages(seg, zone, memory.unmovable_pageblocks)
    for cpu in range(plan.cpus + 1):
        seg[plan.pcp(cpu) + PCP.high] = memory.pcp_high
    for index, size in enumerate(slab.object_bytes):
        cache = plan.cache(index)
        seg[cache + CACHE.index] = index
        seg[cache + CACHE.object_words] = size // 8
        seg[cache + CACHE.objects] = PAGE_WORDS // (size // 8)
        seg[cache + CACHE.min_partial] = slab.min_partial
