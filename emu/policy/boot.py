"""Pages set aside before time zero: the static reserve, the pools, and v5.9's boot-time fill of the cache.

Rule    runs in the launcher alone, before any fork.
"""

from emu.arch import jit
from emu.mm import NO_PAGE, PAGE, PG_STATIC, PG_TAKEN, boot_page, page_move, page_of
from emu.policy.pool import HOME_STATIC, POOL, pool_put
from emu.policy.sources import static_ring
from emu.policy.stock import cache_put, held_add, stock_of
from emu.ring import mpmc_put


@jit
def fill_static(seg, cpu, pages):
    """Put `pages` pages into a CPU's reserve, whose ring is set up; returns how many memory had."""
    for done in range(pages):
        pfn = boot_page(seg, cpu)
        if pfn == NO_PAGE:
            return done
        page_move(seg, 0, pfn, PG_TAKEN, PG_STATIC, cpu)
        seg[page_of(seg, pfn) + PAGE.home] = HOME_STATIC
        mpmc_put(seg, static_ring(seg, cpu), pfn)
    return pages


@jit
def fill_pool(seg, cpu, pool, pages):
    """Put `pages` pages into a pool and make that its target; returns how many memory had."""
    seg[pool + POOL.target] = pages
    seg[pool + POOL.low] = pages
    for done in range(pages):
        pfn = boot_page(seg, cpu)
        if pfn == NO_PAGE:
            return done
        pool_put(seg, 0, pool, pfn, PG_TAKEN, cpu, 0)
        seg[pool + POOL.total] += 1
    return pages


@jit
def fill_cache(seg, cpu, pages):
    """Put `pages` pages into a CPU's cache; returns how many memory had."""
    stock = stock_of(seg, cpu)
    for done in range(pages):
        pfn = boot_page(seg, cpu)
        if pfn == NO_PAGE:
            return done
        cache_put(seg, 0, cpu, stock, pfn, PG_TAKEN)
        held_add(seg, stock, 1)
    return pages
