"""The kernel's own sizing formulas, in integers as the kernel computes them.

Holds   zone watermarks, PCP batch and high by rule, the FQS delay, kmalloc's size classes.
Rule    4-KiB pages and one zone, so nothing is split between zones and there is no lowmem reserve.
Limits  no watermark boost, no transparent huge pages (both raise marks at run time, not here).
After   mm/page_alloc.c v5.9 and v6.12, kernel/rcu/tree.h; include/linux/slab.h.
"""

import math
from typing import NamedTuple

PAGE_BYTES = 4096
PAGEBLOCK_PAGES = 512
NSEC_PER_SEC = 1_000_000_000
NSEC_PER_MSEC = 1_000_000
_BATCH_PAGES_MAX = 256  # 1 MiB
_PERCPU_HIGH_FRACTION_MIN = 8
_KMALLOC_CLASSES = (32, 64, 96, 128, 192, 256, 512, 1024, 2048)
_RCUSCALE_OBJECT_BYTES = 24  # eight bytes and an rcu_head
RCUSCALE_ONE_ARG_SHARE = {"double": 0.0, "single": 1.0, "mixed": 0.5}


class Marks(NamedTuple):
    """Pages."""

    min: int
    low: int
    high: int


def min_free_kbytes(managed_pages: int) -> int:
    """calculate_min_free_kbytes(): the square root of 16 times lowmem in kB, clamped."""
    lowmem_kbytes = managed_pages * (PAGE_BYTES // 1024)
    return min(max(math.isqrt(16 * lowmem_kbytes), 128), 262_144)


def watermarks(managed_pages: int, free_kbytes: int, scale_factor: int) -> Marks:
    """__setup_per_zone_wmarks() for the only zone."""
    low_end = free_kbytes // (PAGE_BYTES // 1024)
    step = max(low_end // 4, managed_pages * scale_factor // 10_000)
    return Marks(low_end, low_end + step, low_end + 2 * step)


def zone_batch(managed_pages: int) -> int:
    """zone_batchsize(): pages moved between PCP and buddy at once. May be 0 for a tiny zone."""
    batch = max(min(managed_pages // 1024, _BATCH_PAGES_MAX) // 4, 1)
    return (1 << (batch + batch // 2).bit_length() - 1) - 1


def pcp_high_fixed(batch: int) -> int:
    """Rule v5.9: six batches. `batch` is zone_batch()'s, before it is raised to 1."""
    return 6 * batch


def pcp_high_range(managed_pages: int, low_mark: int, batch: int, ncpu: int) -> tuple[int, int]:
    """Rule v6.7: (high_min, high_max), between which the kernel tunes each CPU's high."""
    floor = 4 * batch
    return max(low_mark // ncpu, floor), max(managed_pages // _PERCPU_HIGH_FRACTION_MIN // ncpu, floor)


def fqs_jiffies(hz: int, ncpu: int) -> int:
    """Default of jiffies_till_first_fqs and jiffies_till_next_fqs."""
    return 1 + (hz > 250) + (hz > 500) + ncpu // 256


def sched_qs_jiffies(first: int, following: int, hz: int, ncpu: int) -> int:
    """jiffies_to_sched_qs: the grace period's age at which holdouts are urged."""
    return max(first + 2 * following, hz // 10 + ncpu // 256)


def ms_to_jiffies(ms: int, hz: int) -> int:
    """Rounded up, as msecs_to_jiffies() does."""
    return -(-ms * hz // 1000)


def kmalloc_class(size_bytes: int) -> int:
    """The smallest kmalloc cache that holds an object. Up to 2048 bytes; 8 and 16 hold no rcu_head and more."""
    return next(each for each in _KMALLOC_CLASSES if each >= size_bytes)


def rcuscale_object_bytes(mult: int) -> int:
    """What an object of rcuscale's kfree test takes with kfree_mult = `mult`."""
    return kmalloc_class(_RCUSCALE_OBJECT_BYTES * mult)
