"""One slab cache of 512-byte objects on a small machine, with its page list looked at from outside."""

from emu.mm import (
    CACHE,
    GFP_KERNEL,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PAGE,
    SLAB_CPU,
    address_of,
    alloc_page,
    cache_of,
    kfree,
    kfree_bulk,
    kmalloc,
    page_of,
    slab_cpu_of,
    slab_flush_cpu,
)
from emu.mm.slab import FROZEN, TAG_SHIFT
from emu.stats import counter
from emu.sync import LOCK
from tests.small_machine import small_machine

CPU0, CPU1, RECLAIM = 0, 1, 4  # processes
WORDS, PER_PAGE = 64, 8  # objects of 512 bytes
SETUP = ("slab.object_bytes=[512]", 'memory.pcp_rule="v5.9"', "memory.pcp_batch=8", "memory.pcp_high=48")


class Slab:
    """One cache of a small machine, with the arguments that every step takes."""

    def __init__(self, min_partial=0):
        self.seg = small_machine(*SETUP, f"slab.min_partial={min_partial}").seg
        self.cache = cache_of(self.seg, 0)
        self.records = page_of_records(self.seg)

    def alloc(self, n=None, cpu=0):
        """One object, or a list of n."""
        if n is None:
            return kmalloc(self.seg, cpu, cpu, 0, GFP_KERNEL)
        return [kmalloc(self.seg, cpu, cpu, 0, GFP_KERNEL) for _ in range(n)]

    def free(self, *objects, me=RECLAIM):
        for obj in objects:
            kfree(self.seg, me, 2, obj)

    def free_bulk(self, objects, me=RECLAIM):
        for i, obj in enumerate(objects):
            self.seg[self.records + i] = obj
        kfree_bulk(self.seg, me, 2, self.records, len(objects))

    def flush(self, cpu=0):
        slab_flush_cpu(self.seg, cpu, cpu, 0, cpu)

    @property
    def partial(self):
        """Pages of the partial list, held against its count and its links."""
        pages, before, pfn = [], NO_PAGE, self.seg[self.cache + CACHE.partial]
        while pfn != NO_PAGE:
            assert self.seg[page_of(self.seg, pfn) + PAGE.prev] == before
            pages.append(pfn)
            before, pfn = pfn, self.seg[page_of(self.seg, pfn) + PAGE.next]
        assert len(pages) == self.seg[self.cache + CACHE.nr_partial]
        return pages

    @property
    def list_locks(self):
        return self.seg[self.cache + CACHE.lock + LOCK.acquired]

    def active(self, cpu=0):
        return self.seg[slab_cpu_of(self.seg, 0, cpu) + SLAB_CPU.page]

    def frozen(self, pfn):
        return bool(self.seg[page_of(self.seg, pfn) + PAGE.counters] & FROZEN)

    def updates(self, pfn):
        """How often the page's counters word has changed hands."""
        return self.seg[page_of(self.seg, pfn) + PAGE.counters] >> TAG_SHIFT

    def count(self, me, item):
        return counter(self.seg, me, item)


def page_of_records(seg):
    """A page, taken by CPU 0, as a place for records: its address."""
    return address_of(alloc_page(seg, CPU0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE))
