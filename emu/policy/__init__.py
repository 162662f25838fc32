"""Policies: where a page may come from when it may not be waited for, and how the stock is refilled.

Door of the room. A policy is a composition of sources, refill and pool; a new source is a new file in sources/.
"""

from emu.policy.boot import fill_cache, fill_pool, fill_static
from emu.policy.compose import GOT_NOTHING, drop_page, page_fetched, put_page, source_at, take_page
from emu.policy.kick import refill_if_low, refill_kick
from emu.policy.pool import (
    GROWN,
    POOL,
    POOL_FIRST_CPU,
    POOL_MEMPOOL,
    POOL_SHARED,
    POOLS_PER_CPU,
    RESCUE,
    SHELF,
    cpu_pool,
    pool_of,
    pools_in_all,
)
from emu.policy.refill import refill_pending, refill_request, refill_ring, refill_run, refill_step
from emu.policy.sources import (
    SOURCE_IDS,
    SRC_USER,
    STATIC_HEADER,
    shared_reserve_put,
    shared_reserve_take,
    static_region_words,
    take_sleeping,
    take_unlocked,
)
from emu.policy.stock import (
    MAX_SOURCES,
    PATHS,
    POLICY,
    STOCK,
    TRIGGERS,
    cache_get,
    cache_put,
    held_add,
    policy_of,
    stock_now,
    stock_of,
)
from emu.policy.user import USER_SOURCES, USER_WORDS
from emu.policy.user_load import load_user_sources

__all__ = [
    "GOT_NOTHING", "GROWN", "MAX_SOURCES", "PATHS", "POLICY", "POOL", "POOLS_PER_CPU", "POOL_FIRST_CPU", "POOL_MEMPOOL",
    "POOL_SHARED", "RESCUE", "SHELF", "SOURCE_IDS", "SRC_USER", "STATIC_HEADER", "STOCK", "TRIGGERS", "USER_SOURCES",
    "USER_WORDS", "cache_get", "cache_put", "cpu_pool", "drop_page", "fill_cache", "fill_pool", "fill_static",
    "held_add", "load_user_sources", "page_fetched", "policy_of", "pool_of", "pools_in_all", "put_page",
    "refill_if_low", "refill_kick", "refill_pending", "refill_request", "refill_ring", "refill_run", "refill_step",
    "shared_reserve_put", "shared_reserve_take", "source_at", "static_region_words", "stock_now", "stock_of",
    "take_page", "take_sleeping", "take_unlocked",
]
