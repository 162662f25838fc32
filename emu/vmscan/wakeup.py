"""Waking kswapd, and what it is woken for: whether a node is balanced.

Rule    anyone who may wake a process. A kswapd that is awake, or is not wanted, or has failed 16 times in a row
        (hopeless), is left alone. Whoever wakes it writes `requested` and rings.
After   Linux mm/vmscan.c: wakeup_kswapd, pgdat_balanced (KF 3.6).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import NODE, ZONE, node_of, zone_of
from emu.sync import proc_ring
from emu.trace import EV, trace_event
from emu.vmscan.state import KSWAPD_AWAKE, MAX_RECLAIM_RETRIES, PGDAT, VMSCAN, pgdat_of, vmscan_of


@jit
def own_zone(seg, node, at):
    """Word offset of the at-th zone of a node."""
    return zone_of(seg, seg[node_of(seg, node) + NODE.zonelist + at])


@jit
def own_zones(seg, node):
    """How many zones a node has."""
    return seg[node_of(seg, node) + NODE.own_zones]


@jit
def pgdat_balanced(seg, node):
    """1 if some zone of the node is above its HIGH mark."""
    for at in range(own_zones(seg, node)):
        zone = own_zone(seg, node, at)
        high = seg[zone + ZONE.wmark_high] + load_relaxed(seg, zone + ZONE.boost)
        if load_relaxed(seg, zone + ZONE.nr_free) > high:
            return 1
    return 0


@jit
def node_boosted(seg, node):
    """1 if a zone's marks are boosted: kswapd is wanted although the node is balanced."""
    for at in range(own_zones(seg, node)):
        if load_relaxed(seg, own_zone(seg, node, at) + ZONE.boost) > 0:
            return 1
    return 0


@jit_apart
def wakeup_kswapd(seg, me, node):
    """Wake a node's kswapd if it sleeps and there is work for it. Anyone who may wake a process; 1 if it was rung."""
    pgdat = pgdat_of(seg, node)
    if load_relaxed(seg, pgdat + PGDAT.state) == KSWAPD_AWAKE or load_relaxed(seg, pgdat + PGDAT.requested) != 0:
        return 0
    if load_relaxed(seg, pgdat + PGDAT.failures) >= MAX_RECLAIM_RETRIES:
        return 0
    if pgdat_balanced(seg, node) != 0 and node_boosted(seg, node) == 0:
        return 0
    store_relaxed(seg, pgdat + PGDAT.requested, 1)
    trace_event(seg, me, EV.mm_vmscan_wakeup_kswapd, node, 0)
    proc_ring(seg, seg[pgdat + PGDAT.kswapd])
    return 1


@jit
def wake_all_kswapds(seg, me):
    """wakeup_kswapd() for every node, where there are kswapds."""
    vmscan = vmscan_of(seg)
    if seg[vmscan + VMSCAN.kswapd_on] != 0:
        for node in range(seg[vmscan + VMSCAN.nr_nodes]):
            wakeup_kswapd(seg, me, node)
