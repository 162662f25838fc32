"""A machine of two nodes and four zones, and steps on it that a test repeats."""

from emu.mm import GFP_KERNEL, MIGRATE_UNMOVABLE, NO_PAGE, ZONE, alloc_pages, zone_index_of, zone_of
from tests.small_machine import small_machine

NORMAL0, DMA32, DMA, NORMAL1 = range(4)  # zone indices
SIZES = (2048, 1024, 512, 1536)
ZONES = ('memory.zones=[{node=0, name="DMA", pages=512}, {node=0, name="DMA32", pages=1024}, '
         '{node=0, name="NORMAL", pages=2048}, {node=1, name="NORMAL", pages=1536}]')
ONE_BY_ONE = ('memory.pcp_rule="v5.9"', "memory.pcp_batch=1", "memory.pcp_high=1")
HOUSEKEEPING = 2  # behind CPU 0 of node 0 and CPU 1 of node 1


def machine(*overrides):
    """The booted machine; with no overrides each miss brings one page and no page stays on a list."""
    return small_machine(ZONES, f"memory.managed_pages={sum(SIZES)}", *(overrides or ONE_BY_ONE))


def word(seg, index, name):
    """A word of a zone."""
    return seg[zone_of(seg, index) + getattr(ZONE, name)]


def set_word(seg, index, **values):
    """Write words of a zone."""
    for name, value in values.items():
        seg[zone_of(seg, index) + getattr(ZONE, name)] = value


def take_all(seg, pcp_cpu=0, gfp=GFP_KERNEL, order=0, migratetype=MIGRATE_UNMOVABLE, me=0):
    """Zone index of each block that a caller gets until it gets none; and the blocks."""
    zones, blocks = [], []
    while (pfn := alloc_pages(seg, me, pcp_cpu, gfp, order, migratetype)) != NO_PAGE:
        zones.append(zone_index_of(seg, pfn))
        blocks.append(pfn)
    return zones, blocks
