"""The kernel's own sizing formulas, in integers as the kernel computes them.

Holds   zone watermarks and reserves, PCP batch and high by rule, the FQS delay, kmalloc's size classes.
Rule    4-KiB pages. A zone's share of min_free_kbytes is its share of all managed pages; reserves and PCPs are a
        matter of its node.
Limits  zones DMA, DMA32 and NORMAL: no highmem, no movable zone.
After   mm/page_alloc.c v5.9, v6.1 and v6.12, mm/khugepaged.c, kernel/rcu/tree.h; include/linux/slab.h.
"""

import math
from typing import NamedTuple

PAGE_BYTES = 4096
PAGEBLOCK_PAGES = 512
NSEC_PER_SEC = 1_000_000_000
NSEC_PER_MSEC = 1_000_000
_BATCH_PAGES_MAX = 256  # 1 MiB
PERCPU_HIGH_FRACTION_MIN = 8
_FRACTION_BATCH_MAX = 96  # PAGE_SHIFT * 8
_MIGRATE_PCPTYPES = 3
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


def thp_min_free_kbytes(all_managed: int, nr_zones: int) -> int:
    """set_recommended_min_free_kbytes(): what transparent huge pages raise min_free_kbytes to, at least."""
    pages = PAGEBLOCK_PAGES * nr_zones * 2 + PAGEBLOCK_PAGES * nr_zones * _MIGRATE_PCPTYPES**2
    return min(pages, all_managed * 5 // 100) * (PAGE_BYTES // 1024)


def watermarks(managed_pages: int, free_kbytes: int, scale_factor: int, all_managed: int = 0) -> Marks:
    """__setup_per_zone_wmarks() for a zone of `all_managed` pages in all; 0: for the only zone."""
    low_end = free_kbytes // (PAGE_BYTES // 1024)
    low_end = low_end * managed_pages // (all_managed or managed_pages)
    step = max(low_end // 4, managed_pages * scale_factor // 10_000)
    return Marks(low_end, low_end + step, low_end + 2 * step)


def lowmem_reserve(managed_below: tuple[int, ...], ratios: tuple[int, ...]) -> list[tuple[int, ...]]:
    """setup_per_zone_lowmem_reserve() for the zones of a node, lowest first, 0 where there is none.

    Returns a row per zone i: what zone i keeps from a request that could have used zone j; ratio 0 switches it off.
    """
    kinds = range(len(managed_below))
    return [
        tuple(sum(managed_below[i + 1 : j + 1]) // ratios[i] if j > i and ratios[i] and managed_below[i] else 0
              for j in kinds)
        for i in kinds
    ]


def boost_limit(managed_pages: int, high_mark: int, boost_factor: int) -> int:
    """boost_watermark(): the most that fallback pollution adds to a zone's marks; 0 for a zone too small to bother."""
    limit = high_mark * boost_factor // 10_000
    if not limit or 4 * PAGEBLOCK_PAGES > managed_pages:
        return 0
    return max(PAGEBLOCK_PAGES, limit)


def highatomic_limit(managed_pages: int, rule: str) -> int:
    """reserve_highatomic_pageblock(): pages from which on no further pageblock is reserved."""
    share = managed_pages // 100
    if rule == "v5.9":
        return share + PAGEBLOCK_PAGES
    return 0 if share < PAGEBLOCK_PAGES else -(-share // PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES


def zone_batch(managed_pages: int) -> int:
    """zone_batchsize(): pages moved between PCP and buddy at once. May be 0 for a tiny zone."""
    batch = max(min(managed_pages // 1024, _BATCH_PAGES_MAX) // 4, 1)
    return (1 << (batch + batch // 2).bit_length() - 1) - 1


def pcp_high_fixed(batch: int) -> int:
    """Rule v5.9: six batches. `batch` is zone_batch()'s, before it is raised to 1."""
    return 6 * batch


def pcp_fraction_fixed(managed_pages: int, fraction: int) -> tuple[int, int]:
    """Rule v5.9 with percpu_pagelist_fraction: (batch, high) of each CPU."""
    high = managed_pages // fraction
    return min(max(1, high // 4), _FRACTION_BATCH_MAX), high


def pcp_high_from(pages: int, batch: int, ncpu: int) -> int:
    """zone_highsize(): `pages` dealt to the CPUs of the node, four batches at least. Rules v6.1 and v6.7."""
    return max(pages // ncpu, 4 * batch)


def pcp_high_range(managed_pages: int, low_mark: int, batch: int, ncpu: int) -> tuple[int, int]:
    """Rule v6.7: (high_min, high_max), between which the kernel tunes each CPU's high."""
    most = pcp_high_from(managed_pages // PERCPU_HIGH_FRACTION_MIN, batch, ncpu)
    return pcp_high_from(low_mark, batch, ncpu), most


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
