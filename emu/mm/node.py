"""Nodes: which zones are near, in which order they are asked, and which CPU belongs where.

Holds   NODE: a node's zonelist, the local node's zones first (NORMAL, DMA32, DMA), then the other nodes' likewise.
Rule    written by boot() alone. Zones stand in the zones region node by node, the highest first; a zone's index is its
        place there. Zone 0 is the NORMAL zone of node 0.
Limits  all CPUs of the machine in contiguous blocks, one per node; the housekeeping CPU belongs to node 0.
After   Linux build_zonelists() in mm/page_alloc.c, cpu_to_node().
"""

from emu.arch import jit
from emu.mm.zone import ZONE, zone_of
from emu.shm import MAP, line, region, struct

MAX_ZONES = 32

NODE = struct(
    "node",
    # zonelist: zone indices, nearest first; the first own_zones of them are the node's own
    line("boot()", "index", "managed", "nr_cpus", "own_zones", "nr_zones", ("zonelist", MAX_ZONES)),
)


@jit
def node_of(seg, node):
    """Word offset of a node's record."""
    return region(seg, MAP.nodes) + node * NODE.SIZE


@jit
def node_of_cpu(seg, pcp_cpu):
    """Node of a CPU of the machine (the last one: housekeeping). Constant after boot."""
    return seg[region(seg, MAP.cpu_nodes) + pcp_cpu]


@jit
def zonelist_index(seg, node, at):
    """Index of the at-th zone that a request on this node tries; at < NODE.nr_zones."""
    return seg[node_of(seg, node) + NODE.zonelist + at]


@jit
def node_free_pages(seg, node):
    """Free pages of a node's own zones; a reading without locks."""
    words = node_of(seg, node)
    pages = 0
    for at in range(seg[words + NODE.own_zones]):
        pages += seg[zone_of(seg, seg[words + NODE.zonelist + at]) + ZONE.nr_free]
    return pages
