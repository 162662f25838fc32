"""Memory pressure: LRU lists, reclaim by kswapd and by callers, shrinkers, OOM killer, pressure monitors, applications.

Door of the room. Loading it puts the slow path behind the allocator's hook. Knows nothing of policies or kvfree_rcu():
whoever has a cache to give back binds shrink_count and shrink_scan.
"""

from emu.vmscan.apps import app_begin, app_prepare, app_step
from emu.vmscan.direct import join_sections, leave_sections
from emu.vmscan.kswapd import kswapd_begin, kswapd_step, reaper_wake
from emu.vmscan.lru import EMPTY, EVICTED, LRUVEC, file_pages, lru_add, lru_remove, page_cache_add, slot_page, slot_swap
from emu.vmscan.monitor import MONITOR_KINDS, MONITOR_NONE, WATCH, monitor_begin, monitor_step
from emu.vmscan.oom import exit_mmap, out_of_memory
from emu.vmscan.psi import PSI, PSI_IDLE, PSI_RUNNING, PSI_STALLED, psi_task
from emu.vmscan.shrinker import SHRINKER, shrink_count, shrink_scan
from emu.vmscan.slowpath import alloc_slowpath_reclaim
from emu.vmscan.state import (
    CAUSE_NAMES,
    KILL,
    KIND_NAMES,
    KSWAPD_ASLEEP,
    LRU_ANON,
    LRU_DIRTY,
    LRU_FILE,
    LRU_KINDS,
    MAX_KILLS,
    MM,
    PANIC_TEXTS,
    PGDAT,
    TASK,
    VMSCAN,
    app_of,
    kill_of,
    mm_of,
    pgdat_of,
    task_of,
    vmscan_of,
)
from emu.vmscan.wakeup import pgdat_balanced, wakeup_kswapd

__all__ = [
    "CAUSE_NAMES", "EMPTY", "EVICTED", "KILL", "KIND_NAMES", "KSWAPD_ASLEEP", "LRUVEC", "LRU_ANON", "LRU_DIRTY",
    "LRU_FILE", "LRU_KINDS", "MAX_KILLS", "MM", "MONITOR_KINDS", "MONITOR_NONE", "PANIC_TEXTS", "PGDAT", "PSI",
    "PSI_IDLE", "PSI_RUNNING", "PSI_STALLED", "SHRINKER", "TASK", "VMSCAN", "WATCH", "alloc_slowpath_reclaim",
    "app_begin", "app_of", "app_prepare", "app_step", "exit_mmap", "file_pages", "join_sections", "kill_of",
    "kswapd_begin", "kswapd_step", "leave_sections", "lru_add", "lru_remove", "mm_of", "monitor_begin",
    "monitor_step", "out_of_memory", "page_cache_add", "pgdat_balanced", "pgdat_of", "psi_task", "reaper_wake",
    "shrink_count", "shrink_scan", "slot_page", "slot_swap", "task_of", "vmscan_of", "wakeup_kswapd",
]
