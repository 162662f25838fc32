"""Sheaves: settings, each CPU's queue and sheaves, each node's barns. The settings alone where no cache has any."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved
from emu.kvfree import BARN, PCS, S_OBJECTS, SHEAF_Q, SHEAVES
from emu.mm import PAGE_WORDS
from emu.ring import spsc_init, spsc_words_needed
from emu.shm import MAP, MAP_BASE, round_to_line
from emu.stats import HIST
from emu.sync import LOCK

SHEAVES_IN_FLIGHT = 1 << 13  # of a CPU: a flood's grace period, 100 ms at 2.6 million objects a second


def sheaf_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the region."""
    if resolved.slab.sheaf_capacity == 0:
        return {"sheaves": SHEAVES.SIZE}
    cpus, caches = resolved.cpus.count, len(resolved.slab.object_bytes)
    per_cpu = SHEAF_Q.SIZE + caches * PCS.SIZE + round_to_line(spsc_words_needed(SHEAVES_IN_FLIGHT))
    return {"sheaves": SHEAVES.SIZE + cpus * per_cpu + resolved.memory.nodes * caches * BARN.SIZE}


def boot_sheaves(seg: Words, plan: Plan) -> None:
    """Lay the region out and say which caches have sheaves. After memory."""
    slab, words = plan.resolved.slab, plan.offsets["sheaves"]
    if slab.sheaf_capacity == 0:
        return
    caches = len(slab.object_bytes)
    assert 8 * (S_OBJECTS + slab.sheaf_capacity) == slab.cache_bytes[-1] <= 8 * PAGE_WORDS
    queues = words + SHEAVES.SIZE
    pcs = queues + plan.cpus * SHEAF_Q.SIZE
    barns = pcs + plan.cpus * caches * PCS.SIZE
    rings = barns + seg[MAP_BASE + MAP.nr_nodes] * caches * BARN.SIZE
    values = {"on": 1, "capacity": slab.sheaf_capacity, "cache": caches, "nr_caches": caches, "queues": queues,
              "pcs": pcs, "barns": barns}
    for name, value in values.items():
        seg[words + getattr(SHEAVES, name)] = value
    for index, size in enumerate(slab.object_bytes):
        seg[words + SHEAVES.opted + index] = int(size in slab.sheaf_sizes)
    for cpu in range(plan.cpus):
        ring = rings + cpu * round_to_line(spsc_words_needed(SHEAVES_IN_FLIGHT))
        seg[queues + cpu * SHEAF_Q.SIZE + SHEAF_Q.ring] = ring
        spsc_init(seg, ring, SHEAVES_IN_FLIGHT)
    for barn in range(barns, rings, BARN.SIZE):
        seg[barn + BARN.lock + LOCK.wait_hist] = HIST.pool_lock_wait_ns + 1
