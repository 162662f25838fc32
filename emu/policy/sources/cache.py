"""Source "cache": the krc page cache, filled by the worker and by bnodes that come back (S3, and every epoch)."""

from emu.arch import jit
from emu.mm import NO_PAGE
from emu.policy.refill import first_hit
from emu.policy.stock import STOCK, cache_get
from emu.stats import VM, count


@jit
def take_cache(seg, me, cpu, stock, now):
    """Pop the last page put. Under krc->lock; legal in every context."""
    pfn = cache_get(seg, me, cpu, stock)
    if pfn == NO_PAGE:
        count(seg, me, VM.krc_cache_miss)
        return NO_PAGE
    count(seg, me, VM.krc_cache_hit)
    if seg[stock + STOCK.hit_pending] != 0:
        first_hit(seg, me, cpu, stock, now)
    return pfn
