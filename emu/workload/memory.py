"""What a load can see of memory: pages available, as rcuscale reads MemAvailable."""

from emu.arch import jit, load_relaxed
from emu.mm import ZONE, pcp_count, pcp_of, zone_of
from emu.shm import MAP, region


@jit
def memory_available(seg):
    """Free pages of all zones, on the free lists and on per-CPU lists; a reading without locks."""
    pages = 0
    for index in range(region(seg, MAP.nr_zones)):
        pages += load_relaxed(seg, zone_of(seg, index) + ZONE.nr_free)
        for cpu in range(region(seg, MAP.nr_pcp_cpus)):
            pages += pcp_count(seg, pcp_of(seg, index, cpu))
    return pages
