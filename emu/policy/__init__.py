"""Policies: where a page may come from when it may not be waited for, and how the stock is refilled.

Door of the room. A policy is a composition of sources, refill and pool; a new source is a new file in sources/.
"""

from emu.policy.boot import fill_cache, fill_static
from emu.policy.compose import GOT_NOTHING, TRY_DIRECT, direct_found, direct_missed, drop_page, put_page, take_page
from emu.policy.refill import refill_pending, refill_request, refill_ring, refill_run, refill_step
from emu.policy.sources import SOURCE_IDS, STATIC_HEADER, static_region_words, take_sleeping
from emu.policy.stock import (
    MAX_SOURCES,
    PATHS,
    POLICY,
    STOCK,
    TRIGGERS,
    cache_put,
    held_add,
    policy_of,
    stock_now,
    stock_of,
)

__all__ = [
    "GOT_NOTHING", "MAX_SOURCES", "PATHS", "POLICY", "SOURCE_IDS", "STOCK", "TRIGGERS", "TRY_DIRECT", "STATIC_HEADER",
    "cache_put", "direct_found", "direct_missed", "drop_page", "fill_cache", "fill_static", "held_add", "policy_of",
    "put_page", "refill_pending", "refill_request", "refill_ring", "refill_run", "refill_step",
    "static_region_words", "stock_now", "stock_of", "take_page", "take_sleeping",
]
