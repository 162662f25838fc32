"""Page sources, one file each. A source is one function `take(seg, me, cpu, stock, now) -> pfn or NO_PAGE`.

Adding one: a file here, a line in SOURCE_IDS, a line in take_from().
"""

from emu.arch import jit
from emu.mm import NO_PAGE
from emu.policy.sources.allocator import take_atomic, take_nowait, take_sleeping
from emu.policy.sources.cache import take_cache
from emu.policy.sources.pcp_lockless import take_pcp_lockless
from emu.policy.sources.static import (
    STATIC_HEADER,
    is_static,
    put_static,
    static_region_words,
    static_ring,
    take_static,
)

SOURCE_IDS = {"cache": 1, "pcp-lockless": 2, "static": 3, "nowait": 4, "atomic": 5, "direct": 6}
SRC_CACHE, SRC_PCP_LOCKLESS, SRC_STATIC, SRC_NOWAIT, SRC_ATOMIC, SRC_DIRECT = 1, 2, 3, 4, 5, 6


@jit
def take_from(seg, me, cpu, stock, source, now):
    """Ask one source for a page, under krc->lock. "direct" is not asked here: it needs the lock dropped."""
    if source == SRC_CACHE:
        return take_cache(seg, me, cpu, stock, now)
    if source == SRC_PCP_LOCKLESS:
        return take_pcp_lockless(seg, me, cpu, stock, now)
    if source == SRC_STATIC:
        return take_static(seg, me, cpu, stock, now)
    if source == SRC_NOWAIT:
        return take_nowait(seg, me, cpu, stock, now)
    if source == SRC_ATOMIC:
        return take_atomic(seg, me, cpu, stock, now)
    return NO_PAGE


__all__ = [
    "SOURCE_IDS", "SRC_ATOMIC", "SRC_CACHE", "SRC_DIRECT", "SRC_NOWAIT", "SRC_PCP_LOCKLESS", "SRC_STATIC",
    "STATIC_HEADER", "is_static", "put_static", "static_region_words", "static_ring", "take_from", "take_sleeping",
]
