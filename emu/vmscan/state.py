"""What reclaim works on: settings, kswapd's words per node, applications, the list of kills.

Holds   VMSCAN (settings and what all share), PGDAT (a node's reclaim state), MM (an application's memory), KILL, TASK
        (reclaim's words of one process), and where each of them lies.
Rule    a machine whose scenario asks for nothing to reclaim has VMSCAN.active = 0: its allocator fails where reclaim
        would begin.
Limits  applications have process indices that follow one another, from VMSCAN.first_app on.
After   Linux include/linux/mmzone.h (pg_data_t), include/linux/mm_types.h (mm_struct).
"""

from emu.arch import jit
from emu.shm import MAP, line, record, region, struct
from emu.sync import LOCK

# Kinds of LRU page: clean page cache, anonymous memory (goes to zram), page cache that has to be written back.
LRU_FILE, LRU_ANON, LRU_DIRTY = 0, 1, 2
LRU_KINDS = 3
KIND_NAMES = ("file", "anon", "dirty")

SWAP_CLUSTER_MAX = 32
DEF_PRIORITY = 12
MAX_RECLAIM_RETRIES = 16
MAX_KILLS = 64

VMSCAN = struct(
    "vmscan",
    line("boot()", "active", "kswapd_on", "nr_nodes", "nr_apps", "first_app", "first_kswapd", "swappiness",
         ("cost_ns", LRU_KINDS), "zram_ratio", "zram_limit"),
    line("boot()", "panic_on_oom", "oom_kill_allocating", "reap_ns", "total_pages", "psi_on", "jiffy_ns"),
    line("holder of oom_lock; kills: read anywhere", ("oom_lock", LOCK.SIZE)),
    line("holder of oom_lock; kills: read anywhere", "nr_kills", "panic", "panic_at", "panic_proc"),
    line("zram lock", ("zram_lock", LOCK.SIZE)),
    line("zram lock; read anywhere", "zram_stored", "zram_pages", "zram_head", "zram_peak"),
)

# VMSCAN.panic
PANIC_ON_OOM, PANIC_NO_VICTIM = 1, 2
PANIC_TEXTS = {
    PANIC_ON_OOM: "out of memory and vmscan.panic_on_oom is set",
    PANIC_NO_VICTIM: "out of memory and no killable processes",
}

PGDAT = struct(
    "pgdat",
    line("boot(); state: kswapd", "kswapd", "state", "failures", "active_ns", "t_awake", "priority_min"),
    line("anyone", "requested"),
)
# PGDAT.state of kswapd
KSWAPD_AWAKE, KSWAPD_DOZING, KSWAPD_ASLEEP = 0, 1, 2

MM = struct(
    "mm",
    line("boot()", "proc", "pages", "adj", "slots", "touch_ns", ("kind_end", LRU_KINDS), "hot_sixteenths",
         "resident_at_start"),
    line("the application itself", "random", "next_touch", "touches", "exited_at", "failed"),
    line("anyone, by read-modify-write", "rss", "swap"),
    line("holder of oom_lock; the reaper: reaped", "killed", "kill_at", "reaped"),
)

KILL = record("kill", "at", "app", "cause", "rss", "swap", "killer", "score", "done_at")
# KILL.cause
KILLED_BY_OOM, KILLED_BY_LMKD, KILLED_BY_OOMD = 1, 2, 3
CAUSE_NAMES = ("", "oom", "lmkd", "oomd")

TASK = struct(
    "vmscan_task",
    line("the process itself", "scanned", "reclaimed", "psi", "depth", "stall_since"),
    line("the process itself", ("isolated", SWAP_CLUSTER_MAX)),
    line("the process itself", ("kept", SWAP_CLUSTER_MAX)),
    line("the process itself; kswapd clears it", "throttled"),
)


@jit
def vmscan_of(seg):
    """Word offset of the settings and of what all share."""
    return region(seg, MAP.vmscan)


@jit
def pgdat_of(seg, node):
    """Word offset of a node's reclaim state."""
    return region(seg, MAP.pgdats) + node * PGDAT.SIZE


@jit
def mm_of(seg, app):
    """Word offset of application `app`'s memory."""
    return region(seg, MAP.mms) + app * MM.SIZE


@jit
def kill_of(seg, index):
    """Word offset of the index-th kill of the run."""
    return region(seg, MAP.kills) + index * KILL.SIZE


@jit
def task_of(seg, me):
    """Word offset of process `me`'s words for reclaim."""
    return region(seg, MAP.vmscan_tasks) + me * TASK.SIZE


@jit
def app_of(seg, proc):
    """Number of the application that process `proc` is, or -1."""
    vmscan = vmscan_of(seg)
    app = proc - seg[vmscan + VMSCAN.first_app]
    return app if 0 <= app < seg[vmscan + VMSCAN.nr_apps] else -1
