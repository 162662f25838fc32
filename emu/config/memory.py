"""Memory resolved: zones, marks, reserves and per-CPU list sizes, by the kernel's formulas.

Holds   resolve_memory(), and memory_rules(): what zones may be.
Rule    zones stand node by node, the highest first; zone 0 is the NORMAL zone of node 0, and its figures stand in the
        record's own fields too. `memory.scale` shrinks zones before anything is computed from them.
Limits  CPUs are dealt to nodes in contiguous blocks.
After   mm/page_alloc.c: setup_per_zone_wmarks(), setup_per_zone_lowmem_reserve(), zone_batchsize(), zone_highsize().
"""

from emu.config import formulas as kernel
from emu.config.problems import Problem
from emu.config.resolved import ResolvedMemory, ResolvedZone

KINDS = ("DMA", "DMA32", "NORMAL")  # lowest first
SMALLEST_ZONE_PAGES = 64
BOOST_FACTOR = 15_000  # kernel: watermark_boost_factor


def scaled(pages: int, scale: float) -> int:
    """`pages` of a zone times `scale`, in whole pageblocks where it has one."""
    if scale == 1.0:
        return pages
    less = int(pages * scale)
    if less >= kernel.PAGEBLOCK_PAGES:
        return less // kernel.PAGEBLOCK_PAGES * kernel.PAGEBLOCK_PAGES
    return min(pages, max(less, SMALLEST_ZONE_PAGES))


def node_cpus(node: int, nodes: int, cpus: int) -> range:
    """CPUs of a node."""
    return range(node * cpus // nodes, (node + 1) * cpus // nodes)


def zone_sizes(pick) -> list[tuple[int, int, int]]:
    """(node, kind, pages) of each zone, in order of their index."""
    written, scale = pick("memory.zones"), pick("memory.scale")
    if not written:
        return [(0, KINDS.index("NORMAL"), scaled(pick("memory.managed_pages"), scale))]
    zones = [(zone.node, KINDS.index(zone.name), scaled(zone.pages, scale)) for zone in written]
    return sorted(zones, key=lambda zone: (zone[0], -zone[1]))


def resolve_memory(pick, kswapd: bool) -> ResolvedMemory:
    """The record of [memory]. `pick` gives a key's value from the first layer that has one.

    kswapd: there is one, which takes back what fallback pollution adds to the marks; without it nothing is added.
    """
    own = pick.section("memory")
    sizes, cpus = zone_sizes(pick), pick("cpus.count")
    own["zones"] = ()
    managed = sum(pages for _, _, pages in sizes)
    nodes = max(node for node, _, _ in sizes) + 1
    if own["scale"] != 1.0 or pick("memory.zones"):
        pick.computed("memory.managed_pages", managed)
    own["managed_pages"] = managed
    free_kbytes = pick("memory.min_free_kbytes", kernel.min_free_kbytes(managed))
    if own["thp"]:
        free_kbytes = max(free_kbytes, kernel.thp_min_free_kbytes(managed, len(sizes)))
    rules = {key: pick(f"memory.{key}") for key in ("pcp_rule", "reserve_rule", "drain_rule")}
    boost = pick("memory.watermark_boost_factor", BOOST_FACTOR if kswapd else 0)
    zones = tuple(
        _zone(pick, size, sizes, max(1, len(node_cpus(size[0], nodes, cpus))), own, free_kbytes, rules, boost)
        for size in sizes)
    first = zones[0]
    return ResolvedMemory(
        **own | {"zones": zones}, **rules, watermark_boost_factor=boost,
        min_free_kbytes=free_kbytes, nodes=nodes,
        pcp_batch=first.batch, pcp_high=first.pcp_high, pcp_high_min=first.high_min, pcp_high_max=first.high_max,
        wmark_min=first.wmark_min, wmark_low=first.wmark_low, wmark_high=first.wmark_high,
        pageblock_pages=kernel.PAGEBLOCK_PAGES, pageblocks=sum(zone.pageblocks for zone in zones),
        unmovable_pageblocks=sum(zone.unmovable_pageblocks for zone in zones),
    )


def _zone(pick, size, sizes, cpus, own, free_kbytes, rules, boost) -> ResolvedZone:
    node, kind, pages = size
    all_managed = sum(each[2] for each in sizes)
    marks = kernel.watermarks(pages, free_kbytes, own["watermark_scale_factor"], all_managed)
    of_node = tuple(sum(p for n, k, p in sizes if (n, k) == (node, each)) for each in range(len(KINDS)))
    batch, high, high_min, high_max = _pcp(pick, pages, marks.low, cpus, rules["pcp_rule"],
                                           own["percpu_pagelist_high_fraction"])
    pageblocks = -(-pages // kernel.PAGEBLOCK_PAGES)
    return ResolvedZone(
        node=node, name=KINDS[kind], managed_pages=pages,
        wmark_min=marks.min, wmark_low=marks.low, wmark_high=marks.high,
        lowmem_reserve=kernel.lowmem_reserve(of_node, own["lowmem_reserve_ratio"])[kind],
        boost_max=kernel.boost_limit(pages, marks.high, boost),
        highatomic_max=kernel.highatomic_limit(pages, rules["reserve_rule"]),
        batch=batch, pcp_high=high, high_min=high_min, high_max=high_max,
        pageblocks=pageblocks, unmovable_pageblocks=round(pageblocks * own["unmovable_share"]),
    )


def _pcp(pick, pages, low_mark, cpus, rule, fraction):
    """(batch, high at the start, high_min, high_max) of a CPU's lists in a zone."""
    unraised = pick("memory.pcp_batch", kernel.zone_batch(pages))
    batch = max(unraised, 1)
    if rule == "v5.9":
        high = kernel.pcp_high_fixed(unraised)
        if fraction:
            batch, high = kernel.pcp_fraction_fixed(pages, fraction)
        high = pick("memory.pcp_high", high)
        return batch, high, high, high
    if fraction:
        high = kernel.pcp_high_from(pages // fraction, batch, cpus)
        return batch, pick("memory.pcp_high", high), high, high
    low, most = kernel.pcp_high_range(pages, low_mark, batch, cpus)
    if rule == "v6.1":
        high = pick("memory.pcp_high", low)
        return batch, high, high, high
    return batch, pick("memory.pcp_high", low), low, most


def memory_rules(resolved, scenario):
    """What zones may be, and what the keys of [memory] ask of each other."""
    keys = scenario.keys.memory
    written = keys.zones
    if written:
        yield from _zone_rules(written)
        total = sum(zone.pages for zone in written)
        if keys.managed_pages not in (total, type(keys)().managed_pages):
            yield Problem("memory.managed_pages", f"must be {total}, the sum of memory.zones", "remove it",
                          keys.managed_pages)
    if resolved.memory.nodes > resolved.cpus.count and written:
        yield Problem("memory.zones", f"has {resolved.memory.nodes} nodes for {resolved.cpus.count} CPUs",
                      "raise cpus.count: each node has a CPU at least")
    fraction = keys.percpu_pagelist_high_fraction
    if 0 < fraction < kernel.PERCPU_HIGH_FRACTION_MIN:
        yield Problem("memory.percpu_pagelist_high_fraction",
                      f"must be 0 or at least {kernel.PERCPU_HIGH_FRACTION_MIN}", "0 is the kernel's default", fraction)
    if fraction and keys.pcp_high is not None:
        yield Problem("memory.pcp_high", "is given by memory.percpu_pagelist_high_fraction", "remove one of them",
                      keys.pcp_high)


def _zone_rules(written):
    places = [(zone.node, zone.name) for zone in written]
    for place in {each for each in places if places.count(each) > 1}:
        yield Problem("memory.zones", f"names zone {place[1]} of node {place[0]} twice", "give each zone once")
    nodes = {node for node, _ in places}
    if nodes != set(range(len(nodes))):
        yield Problem("memory.zones", f"has nodes {', '.join(map(str, sorted(nodes)))}", "number them from 0 on")
    elif (0, "NORMAL") not in places:
        yield Problem("memory.zones", "has no NORMAL zone on node 0", 'add { node = 0, name = "NORMAL", pages = ... }')
