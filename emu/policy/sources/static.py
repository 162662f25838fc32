"""Source "static": a fixed number of pages per CPU, taken at boot, recycled by the free side, never returned (S4).

Rule    the pages live on a strictly lock-free ring of page numbers; a page of the reserve is known by its `home` word,
        so the free side finds its way back. The ring holds at most the pages that were put there at boot.
"""

from emu.arch import jit
from emu.mm import NO_PAGE, PAGE, PG_BNODE, PG_STATIC, page_move, page_of
from emu.policy.stock import STOCK, held_add
from emu.ring import EMPTY, mpmc_get, mpmc_put, mpmc_words_needed
from emu.shm import MAP, region
from emu.stats import VM, count

STATIC_HEADER = 16  # words before the first ring; the first of them is the distance between two rings


@jit
def static_ring(seg, cpu):
    """Word offset of a CPU's reserve. The stride stands in the first word of the region."""
    base = region(seg, MAP.static)
    return base + STATIC_HEADER + cpu * seg[base]


def static_region_words(cpus, pages):
    """Words of the region for so many CPUs and pages per CPU, and the stride to store in its first word."""
    stride = mpmc_words_needed(max(1, pages))
    return STATIC_HEADER + cpus * stride, stride


@jit
def take_static(seg, me, cpu, stock, now):
    """A page of the reserve. Legal in every context."""
    pfn = mpmc_get(seg, static_ring(seg, cpu))
    if pfn == EMPTY:
        count(seg, me, VM.static_miss)
        return NO_PAGE
    count(seg, me, VM.static_hit)
    page_move(seg, me, pfn, PG_STATIC, PG_BNODE, cpu)
    seg[stock + STOCK.static_out] += 1
    held_add(seg, stock, 1)
    return pfn


@jit
def is_static(seg, pfn):
    """1 if the page belongs to a CPU's reserve."""
    return seg[page_of(seg, pfn) + PAGE.home]


@jit
def put_static(seg, me, cpu, stock, pfn):
    """Return a reserve page that carried a bnode. Under krc->lock (for the accounts; the ring needs none)."""
    if page_move(seg, me, pfn, PG_BNODE, PG_STATIC, cpu) == 0:
        return
    seg[stock + STOCK.static_out] -= 1
    held_add(seg, stock, -1)
    mpmc_put(seg, static_ring(seg, cpu), pfn)
