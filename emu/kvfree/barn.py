"""Barns: a node's store of full and of empty sheaves of a cache; the words of a sheaf, the settings of them all.

Holds   SHEAVES (settings), BARN, the words of a sheaf, and the steps over a barn.
Rule    lists under barn->lock, a spinlock_t. A full sheaf's place is reserved first: its objects are dead by the time
        it stands on the list. The numbers are looked at without the lock where a stale one does no harm.
After   Linux mm/slub.c v6.18: node_barn, barn_put_full_sheaf, barn_get_empty_sheaf (KF 2.11).
"""

from emu.arch import jit, load_relaxed, store_relaxed
from emu.mm import PAYLOAD, kfree
from emu.shm import MAP, line, region, struct
from emu.stats import VM, count
from emu.sync import LOCK, rt_spin_lock, rt_spin_unlock

# Words of a sheaf, behind the slab's own.
S_SIZE, S_CACHE, S_CPU, S_COOKIE, S_NEXT = PAYLOAD, PAYLOAD + 1, PAYLOAD + 2, PAYLOAD + 3, PAYLOAD + 4
S_OBJECTS = PAYLOAD + 5
MAX_FULL_SHEAVES = MAX_EMPTY_SHEAVES = 10

SHEAVES = struct(
    "sheaves",
    line("boot()", "capacity", "cache", "nr_caches", "queues", "pcs", "barns", "on", ("opted", 16)),
)
BARN = struct(
    "node_barn",
    line("barn->lock", ("lock", LOCK.SIZE)),
    line("barn->lock", "full", "nr_full", "empty", "nr_empty"),
)


@jit
def barn_of(seg, node, index):
    """Word offset of a node's barn of a cache."""
    sheaves = region(seg, MAP.sheaves)
    return seg[sheaves + SHEAVES.barns] + (node * seg[sheaves + SHEAVES.nr_caches] + index) * BARN.SIZE


@jit
def free_sheaf(seg, me, pcp_cpu, sheaf):
    """Give an empty sheaf's memory back. Anyone."""
    count(seg, me, VM.sheaf_free)
    kfree(seg, me, pcp_cpu, sheaf)


@jit
def barn_put_empty(seg, me, pcp_cpu, barn, sheaf):
    """Leave an empty sheaf to the barn, or give its memory back where the barn has enough."""
    rt_spin_lock(seg, me, barn + BARN.lock)
    kept = 1 if seg[barn + BARN.nr_empty] < MAX_EMPTY_SHEAVES else 0
    if kept != 0:
        seg[sheaf + S_NEXT] = seg[barn + BARN.empty]
        seg[barn + BARN.empty] = sheaf
        store_relaxed(seg, barn + BARN.nr_empty, seg[barn + BARN.nr_empty] + 1)
    rt_spin_unlock(seg, me, barn + BARN.lock)
    if kept == 0:
        free_sheaf(seg, me, pcp_cpu, sheaf)


@jit
def barn_take(seg, me, barn, head, number):
    """The first sheaf of one of the barn's lists, or 0: a place that is only reserved has none yet."""
    if load_relaxed(seg, barn + number) == 0:
        return 0
    rt_spin_lock(seg, me, barn + BARN.lock)
    sheaf = seg[barn + head]
    if sheaf != 0:
        seg[barn + head] = seg[sheaf + S_NEXT]
        store_relaxed(seg, barn + number, seg[barn + number] - 1)
    rt_spin_unlock(seg, me, barn + BARN.lock)
    return sheaf


@jit
def barn_reserve(seg, me, barn):
    """A place for a full sheaf: 1 if the barn has one. barn_fill() takes it."""
    if load_relaxed(seg, barn + BARN.nr_full) >= MAX_FULL_SHEAVES:
        return 0
    rt_spin_lock(seg, me, barn + BARN.lock)
    free = 1 if seg[barn + BARN.nr_full] < MAX_FULL_SHEAVES else 0
    if free != 0:
        store_relaxed(seg, barn + BARN.nr_full, seg[barn + BARN.nr_full] + 1)
    rt_spin_unlock(seg, me, barn + BARN.lock)
    return free


@jit
def barn_fill(seg, me, barn, sheaf):
    """Put a full sheaf of dead objects into its reserved place."""
    rt_spin_lock(seg, me, barn + BARN.lock)
    seg[sheaf + S_NEXT] = seg[barn + BARN.full]
    seg[barn + BARN.full] = sheaf
    rt_spin_unlock(seg, me, barn + BARN.lock)
