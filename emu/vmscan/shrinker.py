"""Shrinkers: caches that give objects back under pressure. kvfree_rcu()'s is the one there is.

Holds   the hooks shrink_count and shrink_scan, and do_shrink_slab(), which asks them in proportion.
Rule    count says how much there is to free; scan frees about so much of it and says how much. What a pass was to scan
        and did not goes to the next one. A room further right binds the hooks.
Limits  one shrinker, not per node; seeks 2, batch 128.
After   Linux mm/shrinker.c: do_shrink_slab (KF 2.10).
"""

from emu.arch import Hook, cmpxchg_relaxed, fetch_add_relaxed, jit_apart, load_relaxed
from emu.shm import MAP, line, region, struct
from emu.stats import VM, count_n

SHRINKER = struct("shrinker", line("anyone, by read-modify-write", "nr_deferred"))
SHRINK_BATCH = 128
DEFAULT_SEEKS = 2

shrink_count = Hook("shrink_count", 1)  # (seg, me) -> objects that could be freed
shrink_scan = Hook("shrink_scan", 3)  # (seg, me, pcp_cpu, nr) -> objects freed, about nr of them


@jit_apart
def do_shrink_slab(seg, me, pcp_cpu, priority):
    """Ask the shrinker for its share at this priority. Returns the objects freed."""
    freeable = shrink_count(seg, me)
    if freeable <= 0:
        return 0
    deferred = region(seg, MAP.shrinker) + SHRINKER.nr_deferred
    left = load_relaxed(seg, deferred)
    if cmpxchg_relaxed(seg, deferred, left, 0) != left:
        left = 0  # another pass has taken it
    delta = (freeable >> priority) * 4 // DEFAULT_SEEKS
    scan = min((left >> priority) + delta, 2 * freeable)
    freed = 0
    scanned = 0
    while scan > 0 and (scan >= SHRINK_BATCH or scan >= freeable):
        now = min(SHRINK_BATCH, scan)
        got = shrink_scan(seg, me, pcp_cpu, now)
        if got == 0:
            break  # SHRINK_STOP
        freed += got
        scanned += now
        scan -= now
    count_n(seg, me, VM.slabs_scanned, scanned)
    later = min(max(0, left + delta - scanned), 2 * freeable)
    if later > 0:
        fetch_add_relaxed(seg, deferred, later)
    return freed
