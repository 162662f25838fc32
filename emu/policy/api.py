"""What a page source of your own may use. Import it as `from emu.policy.api import ...` in your file.

Holds   pages: from_cache(), from_pcp(), from_allocator(), from_trylock(), shelf_take(), shelf_put(), shelf_count();
        looks: cached(), pcp_pages(), free_pages_left(), low_mark(), min_mark(); memory: words_of(); time: in `now`.
Rule    your take(seg, me, cpu, stock, now) runs under krc->lock of `cpu`, in the context of the call, compiled, and
        returns a page that one of the functions below gave it in this very call, or NO_PAGE. It may not sleep. Your
        put(seg, me, cpu, stock, pfn), if there is one, is offered each page that came back after its grace period:
        shelve it and return 1, or return 0 and the cache or the allocator gets it.
        seg[words_of(seg, cpu) + i], i from 0 to 63, is yours: zero at the start, one set per CPU.
Limits  integers only. What is taken and neither returned nor shelved is lost, and found missing when the run is over.
"""

from emu.arch import jit, jit_apart, load_relaxed
from emu.mm import (
    GFP_ATOMIC,
    GFP_NOWAIT,
    NO_PAGE,
    PAGE,
    PG_BNODE,
    ZONE,
    page_of,
    pcp_count,
    pcp_of,
    zone_of,
)
from emu.policy.pool import HOME_HANDED, POOL, SHELF, cpu_pool, pool_get, pool_put, set_home
from emu.policy.sources.allocator import take_direct
from emu.policy.sources.cache import take_cache
from emu.policy.sources.lists import take_trylock
from emu.policy.sources.pcp_lockless import take_pcp_lockless
from emu.policy.stock import STOCK, held_add, stock_now
from emu.policy.user import is_handed, words_of
from emu.shm import MAP, region

__all__ = [
    "GFP_ATOMIC", "GFP_NOWAIT", "NO_PAGE", "cached", "free_pages_left", "from_allocator", "from_cache", "from_pcp",
    "from_trylock", "low_mark", "min_mark", "pcp_pages", "shelf_count", "shelf_put", "shelf_take", "words_of",
]


@jit
def _handed(seg, pfn):
    if pfn != NO_PAGE:
        set_home(seg, pfn, HOME_HANDED)
    return pfn


@jit_apart
def from_cache(seg, me, cpu, stock, now):
    """A page of the krc's cache, or NO_PAGE. Legal everywhere."""
    return _handed(seg, take_cache(seg, me, cpu, stock, now))


@jit_apart
def from_pcp(seg, me, cpu, stock, now):
    """A page of this CPU's page lists: no lock, no mark, any migratetype. Legal everywhere."""
    return _handed(seg, take_pcp_lockless(seg, me, cpu, stock, now))


@jit_apart
def from_trylock(seg, me, cpu, stock, now):
    """A page by alloc_pages_nolock(): locks are tried, MIN is obeyed. Legal everywhere."""
    return _handed(seg, take_trylock(seg, me, cpu, stock, now))


@jit_apart
def from_allocator(seg, me, cpu, stock, gfp):
    """A page by the ordinary path with GFP_NOWAIT or GFP_ATOMIC. Takes zone->lock: not legal under raw locks."""
    pfn = take_direct(seg, me, cpu, gfp)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return _handed(seg, pfn)


@jit_apart
def shelf_take(seg, me, cpu, stock, now):
    """The page last put on this CPU's shelf, or NO_PAGE."""
    pfn = pool_get(seg, me, cpu_pool(seg, cpu, SHELF), PG_BNODE, cpu, now)
    if pfn != NO_PAGE:
        held_add(seg, stock, 1)
    return _handed(seg, pfn)


@jit_apart
def shelf_put(seg, me, cpu, stock, pfn):
    """Put a page that was handed to you on this CPU's shelf, for shelf_take(). 1, or 0 if it is not yours."""
    if is_handed(seg, cpu, pfn) == 0:
        return 0
    seg[page_of(seg, pfn) + PAGE.home] = 0
    now = stock_now(seg, stock)
    held_add(seg, stock, -1)
    return pool_put(seg, me, cpu_pool(seg, cpu, SHELF), pfn, PG_BNODE, cpu, now)


@jit
def shelf_count(seg, cpu):
    """Pages on this CPU's shelf."""
    return seg[cpu_pool(seg, cpu, SHELF) + POOL.nr]


@jit
def cached(seg, stock):
    """Pages in the krc's cache."""
    return seg[stock + STOCK.nr_cached]


@jit
def pcp_pages(seg, cpu):
    """Pages on this CPU's lists, over all zones."""
    total = 0
    for index in range(region(seg, MAP.nr_zones)):
        total += pcp_count(seg, pcp_of(seg, index, cpu))
    return total


@jit
def free_pages_left(seg):
    """NR_FREE_PAGES of the first zone in the zonelist."""
    return load_relaxed(seg, zone_of(seg, 0) + ZONE.nr_free)


@jit
def low_mark(seg):
    """Its LOW mark, in pages."""
    return seg[zone_of(seg, 0) + ZONE.wmark_low]


@jit
def min_mark(seg):
    """Its MIN mark, in pages."""
    return seg[zone_of(seg, 0) + ZONE.wmark_min]
