"""kvfree_rcu(): batch heads, bnodes, the monitor, and reclaim after the grace period.

Door of the room.
"""

from emu.kvfree.barn import BARN, S_OBJECTS, S_SIZE, SHEAVES, barn_of
from emu.kvfree.bnode import BNODE, MAX_RECORDS_LONG, MAX_RECORDS_SHORT, header_words
from emu.kvfree.callbacks import CB, advance_callbacks, cb_of
from emu.kvfree.krc import (
    KRC,
    KRW,
    KVFREE,
    MAX_BATCHES,
    N_CHANNELS,
    TO_ARRAY,
    TO_LIST,
    TO_SYNC,
    krc_of,
    krw_of,
    kvfree_call_rcu,
    kvfree_of,
    kvfree_rcu_mightsleep,
)
from emu.kvfree.monitor import all_reclaimed, kfree_rcu_monitor, queued_objects, reclaim_step
from emu.kvfree.reclaim import kfree_rcu_work
from emu.kvfree.sheaf import (
    PCS,
    SHEAF_Q,
    flush_rcu_sheaves,
    kfree_rcu_sheaf,
    objects_in_sheaves,
    pcs_of,
    sheaf_alloc,
    sheaves_busy,
)
from emu.kvfree.shrinker import drain_page_cache, kfree_rcu_shrink_count, kfree_rcu_shrink_scan

__all__ = [
    "drain_page_cache",
    "BARN", "PCS", "SHEAF_Q", "SHEAVES", "S_OBJECTS", "S_SIZE", "barn_of", "flush_rcu_sheaves", "kfree_rcu_sheaf",
    "objects_in_sheaves", "pcs_of", "sheaf_alloc", "sheaves_busy",
    "BNODE", "CB", "KRC", "KRW", "KVFREE", "MAX_RECORDS_LONG", "MAX_RECORDS_SHORT", "MAX_BATCHES", "N_CHANNELS",
    "TO_ARRAY", "TO_LIST", "TO_SYNC", "advance_callbacks", "all_reclaimed", "cb_of", "header_words",
    "kfree_rcu_monitor", "kfree_rcu_shrink_count", "kfree_rcu_shrink_scan", "kfree_rcu_work",
    "krc_of", "krw_of", "kvfree_call_rcu", "kvfree_of",
    "kvfree_rcu_mightsleep", "queued_objects", "reclaim_step",
]
