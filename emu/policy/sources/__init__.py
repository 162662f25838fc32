"""Page sources, one file each. A source is one function `take(seg, me, cpu, stock, now) -> pfn or NO_PAGE`.

Adding one: a file here, a line in SOURCE_IDS, a line in take_from(). One that needs krc->lock dropped is named in
needs_unlock() and asked by take_unlocked() instead.
"""

from emu.arch import jit, jit_apart
from emu.mm import NO_PAGE
from emu.policy.sources.allocator import take_atomic, take_nowait, take_sleeping
from emu.policy.sources.cache import take_cache
from emu.policy.sources.gate import gate_is_open
from emu.policy.sources.grown import put_grown, take_grown, take_rescue
from emu.policy.sources.lists import (
    take_freelist_copy,
    take_gfp_zero,
    take_no_locks,
    take_no_locks_late,
    take_trylock,
)
from emu.policy.sources.mempool import mempool_alloc_sleeping, mempool_free, take_mempool, take_mempool_raw
from emu.policy.sources.pcp_lockless import take_pcp_lockless
from emu.policy.sources.shared import put_shared, shared_reserve_put, shared_reserve_take, take_shared_reserve
from emu.policy.sources.static import (
    STATIC_HEADER,
    is_static,
    put_static,
    static_region_words,
    static_ring,
    take_static,
)
from emu.policy.sources.throttle import take_throttled
from emu.policy.stock import stock_of
from emu.policy.user import take_user

SOURCE_IDS = {
    "cache": 1, "pcp-lockless": 2, "static": 3, "nowait": 4, "atomic": 5, "direct": 6, "mempool": 7, "mempool-raw": 8,
    "grown": 9, "rescue": 10, "gate": 11, "no-locks": 12, "no-locks-late": 13, "gfp-zero": 14, "freelist-copy": 15,
    "shared-reserve": 16, "throttle": 17, "trylock": 18,
}
(SRC_CACHE, SRC_PCP_LOCKLESS, SRC_STATIC, SRC_NOWAIT, SRC_ATOMIC, SRC_DIRECT, SRC_MEMPOOL, SRC_MEMPOOL_RAW, SRC_GROWN,
 SRC_RESCUE, SRC_GATE, SRC_NO_LOCKS, SRC_NO_LOCKS_LATE, SRC_GFP_ZERO, SRC_FREELIST_COPY, SRC_SHARED_RESERVE,
 SRC_THROTTLE, SRC_TRYLOCK) = SOURCE_IDS.values()
SRC_USER = 32  # and on: the user's own, by their number


@jit
def take_from(seg, me, cpu, stock, source, now):
    """Ask one source for a page, under krc->lock. Those of needs_unlock() are not asked here."""
    if source == SRC_CACHE:
        return take_cache(seg, me, cpu, stock, now)
    if source == SRC_PCP_LOCKLESS:
        return take_pcp_lockless(seg, me, cpu, stock, now)
    if source == SRC_STATIC:
        return take_static(seg, me, cpu, stock, now)
    if source >= SRC_USER:
        return take_user(seg, me, cpu, stock, source - SRC_USER, now)
    return take_from_others(seg, me, cpu, stock, source, now)


@jit_apart
def take_from_others(seg, me, cpu, stock, source, now):
    """take_from() for the sources that no kernel release has."""
    if source == SRC_NOWAIT:
        return take_nowait(seg, me, cpu, stock, now)
    if source == SRC_ATOMIC:
        return take_atomic(seg, me, cpu, stock, now)
    if source == SRC_MEMPOOL:
        return take_mempool(seg, me, cpu, stock, now)
    if source == SRC_MEMPOOL_RAW:
        return take_mempool_raw(seg, me, cpu, stock, now)
    if source == SRC_GROWN:
        return take_grown(seg, me, cpu, stock, now)
    if source == SRC_RESCUE:
        return take_rescue(seg, me, cpu, stock, now)
    if source == SRC_NO_LOCKS:
        return take_no_locks(seg, me, cpu, stock, now)
    if source == SRC_NO_LOCKS_LATE:
        return take_no_locks_late(seg, me, cpu, stock, now)
    if source == SRC_GFP_ZERO:
        return take_gfp_zero(seg, me, cpu, stock, now)
    if source == SRC_FREELIST_COPY:
        return take_freelist_copy(seg, me, cpu, stock, now)
    if source == SRC_SHARED_RESERVE:
        return take_shared_reserve(seg, me, cpu, stock, now)
    if source == SRC_TRYLOCK:
        return take_trylock(seg, me, cpu, stock, now)
    return NO_PAGE


@jit
def needs_unlock(seg, me, cpu, source, one_arg):
    """1 if this source wants krc->lock dropped for this call: it may sleep, and the caller may."""
    if source == SRC_DIRECT or source == SRC_THROTTLE:
        return one_arg
    if source == SRC_MEMPOOL:
        return one_arg
    if source == SRC_GATE:
        return gate_is_open(seg, me, cpu)
    return 0


@jit_apart
def take_unlocked(seg, me, cpu, source):
    """Ask a source of needs_unlock(), with krc->lock dropped. The caller accounts for the page (page_fetched())."""
    if source == SRC_MEMPOOL:
        return mempool_alloc_sleeping(seg, me, cpu)
    if source == SRC_THROTTLE:
        return take_throttled(seg, me, cpu, stock_of(seg, cpu))
    return take_sleeping(seg, me, cpu)


__all__ = [
    "SOURCE_IDS", "SRC_DIRECT", "SRC_USER", "STATIC_HEADER", "is_static", "mempool_free", "needs_unlock", "put_grown",
    "put_shared", "put_static", "shared_reserve_put", "shared_reserve_take", "static_region_words", "static_ring",
    "take_from", "take_sleeping", "take_unlocked",
]
