"""The OOM killer, and every kill of an application: badness, the victim's way out, the reaper, panic.

Holds   out_of_memory(), kill_app(), the freeing of an application's memory (by itself or by the reaper), panic.
Rule    points = rss + swap + adj * total pages / 1000; -1000 exempts; the highest dies. While a victim is dying nobody
        else is killed. A victim gets PF_OOM_VICTIM (half of MIN is its) and its bell is rung; it gives everything
        back and stays away. Kills are noted under oom_lock.
Limits  applications only: mutators and workers stand for the kernel and are not killable. Page tables are not counted.
After   Linux mm/oom_kill.c: oom_badness, select_bad_process, oom_reap_task (KF 3.8).
"""

from emu.arch import fetch_add_relaxed, jit, jit_apart, load_relaxed, store_relaxed
from emu.shm import PF_OOM_VICTIM, PROC, STOP, now_ns, proc_of, run_state
from emu.stats import VM, count
from emu.sync import bell_seen, proc_ring, proc_sleep, spin_lock, spin_trylock, spin_unlock
from emu.trace import EV, trace_event
from emu.vmscan.lru import EMPTY, EVICTED, lru_remove, slot_page, slot_swap
from emu.vmscan.shrink import mm_add
from emu.vmscan.state import (
    KILL,
    KILLED_BY_OOM,
    LRU_ANON,
    MAX_KILLS,
    MM,
    PANIC_NO_VICTIM,
    PANIC_ON_OOM,
    VMSCAN,
    app_of,
    kill_of,
    mm_of,
    vmscan_of,
)
from emu.vmscan.zram import zram_free

OOM_SCORE_ADJ_MIN = -1000
NEVER_SCORED = -(1 << 60)


@jit
def kind_of_slot(seg, mm, index):
    """Kind of page that an application's slot is for."""
    kind = 0
    while kind < 2 and index >= seg[mm + MM.kind_end + kind]:
        kind += 1
    return kind


@jit
def being_killed(seg, me):
    """1 if process `me` is an application that somebody has killed: fatal_signal_pending()."""
    app = app_of(seg, me)
    return 1 if app >= 0 and load_relaxed(seg, mm_of(seg, app) + MM.killed) != 0 else 0


@jit
def badness(seg, app):
    """Points of an application; NEVER_SCORED if it is exempt or dead."""
    mm = mm_of(seg, app)
    adj = seg[mm + MM.adj]
    if adj == OOM_SCORE_ADJ_MIN or load_relaxed(seg, mm + MM.killed) != 0:
        return NEVER_SCORED
    size = load_relaxed(seg, mm + MM.rss) + load_relaxed(seg, mm + MM.swap)
    return size + adj * seg[vmscan_of(seg) + VMSCAN.total_pages] // 1000


@jit
def select_bad_process(seg):
    """The application with the most points, or -1."""
    chosen = -1
    most = NEVER_SCORED
    for app in range(seg[vmscan_of(seg) + VMSCAN.nr_apps]):
        points = badness(seg, app)
        if points > most:
            most = points
            chosen = app
    return chosen


@jit
def somebody_is_dying(seg):
    """1 while a killed application still holds memory that nobody has reaped."""
    for app in range(seg[vmscan_of(seg) + VMSCAN.nr_apps]):
        mm = mm_of(seg, app)
        if load_relaxed(seg, mm + MM.killed) != 0 and load_relaxed(seg, mm + MM.exited_at) == 0 and (
                load_relaxed(seg, mm + MM.reaped) == 0):
            return 1
    return 0


@jit_apart
def kill_app(seg, me, app, cause):
    """Kill an application and note it. Under oom_lock. Returns 0."""
    vmscan = vmscan_of(seg)
    mm = mm_of(seg, app)
    index = seg[vmscan + VMSCAN.nr_kills]
    if index < MAX_KILLS:
        kill = kill_of(seg, index)
        seg[kill + KILL.at] = now_ns(seg)
        seg[kill + KILL.app] = app
        seg[kill + KILL.cause] = cause
        seg[kill + KILL.rss] = load_relaxed(seg, mm + MM.rss)
        seg[kill + KILL.swap] = load_relaxed(seg, mm + MM.swap)
        seg[kill + KILL.killer] = me
        seg[kill + KILL.score] = badness(seg, app)
    store_relaxed(seg, vmscan + VMSCAN.nr_kills, index + 1)
    store_relaxed(seg, mm + MM.kill_at, now_ns(seg))
    if cause == KILLED_BY_OOM:
        # an add sets the flag: `killed` was 0, so nobody has set it before
        fetch_add_relaxed(seg, proc_of(seg, seg[mm + MM.proc]) + PROC.flags, PF_OOM_VICTIM)
        count(seg, me, VM.oom_kill)
    else:
        count(seg, me, VM.monitor_kill)
    store_relaxed(seg, mm + MM.killed, index + 1)
    trace_event(seg, me, EV.mark_victim, app, cause)
    proc_ring(seg, seg[mm + MM.proc])
    return 0


@jit_apart
def panic(seg, me, why):
    """Stop the machine: say why, once, and stand still until the launcher has seen it. Under no lock."""
    vmscan = vmscan_of(seg)
    spin_lock(seg, me, vmscan + VMSCAN.oom_lock)
    if seg[vmscan + VMSCAN.panic] == 0:
        seg[vmscan + VMSCAN.panic_at] = now_ns(seg)
        seg[vmscan + VMSCAN.panic_proc] = me
        store_relaxed(seg, vmscan + VMSCAN.panic, why)
    spin_unlock(seg, me, vmscan + VMSCAN.oom_lock)
    while run_state(seg) < STOP:
        proc_sleep(seg, me, bell_seen(seg, me), now_ns(seg) + 100_000_000)
    return 0


@jit_apart
def out_of_memory(seg, me):
    """Kill somebody, or wait for who is dying already, or panic. The caller may sleep. 1: try again, 0: no use."""
    vmscan = vmscan_of(seg)
    if spin_trylock(seg, me, vmscan + VMSCAN.oom_lock) == 0:
        return 1
    why = 0
    if being_killed(seg, me) == 0 and somebody_is_dying(seg) == 0:
        victim = select_bad_process(seg)
        mine = app_of(seg, me)
        if seg[vmscan + VMSCAN.oom_kill_allocating] != 0 and mine >= 0 and badness(seg, mine) != NEVER_SCORED:
            victim = mine
        if seg[vmscan + VMSCAN.panic_on_oom] != 0:
            why = PANIC_ON_OOM
        elif victim < 0:
            why = PANIC_NO_VICTIM
        else:
            kill_app(seg, me, victim, KILLED_BY_OOM)
    spin_unlock(seg, me, vmscan + VMSCAN.oom_lock)
    if why != 0:
        panic(seg, me, why)
        return 0
    return 1


@jit
def drop_slot(seg, me, pcp_cpu, mm, index):
    """Give up one slot of an application: its page, or its copy in zram. Owner or reaper; 1 if a page was unmapped."""
    slot = seg[mm + MM.slots] + index
    owner = seg[mm + MM.proc]
    while True:
        word = load_relaxed(seg, slot)
        if word == EMPTY:
            return 0
        if slot_swap(seg, slot, word, EMPTY) != 0:
            break
    if word == EVICTED:
        if kind_of_slot(seg, mm, index) == LRU_ANON:
            mm_add(seg, owner, 0, -1)
            zram_free(seg, me, pcp_cpu)
        return 0
    mm_add(seg, owner, -1, 0)
    lru_remove(seg, me, pcp_cpu, slot_page(word), slot, owner)
    return 1


@jit_apart
def exit_mmap(seg, me, pcp_cpu, app):
    """Give back everything an application holds. Itself, or the reaper beside it; returns the pages unmapped."""
    mm = mm_of(seg, app)
    pages = 0
    for index in range(seg[mm + MM.pages]):
        pages += drop_slot(seg, me, pcp_cpu, mm, index)
    return pages


@jit_apart
def oom_reap(seg, me, pcp_cpu):
    """Take the memory of victims that have not left within the delay. kswapd; returns when to look again, 0: never."""
    vmscan = vmscan_of(seg)
    wake = 0
    now = now_ns(seg)
    for app in range(seg[vmscan + VMSCAN.nr_apps]):
        mm = mm_of(seg, app)
        if load_relaxed(seg, mm + MM.killed) == 0 or load_relaxed(seg, mm + MM.exited_at) != 0 or (
                load_relaxed(seg, mm + MM.reaped) != 0):
            continue
        due = load_relaxed(seg, mm + MM.kill_at) + seg[vmscan + VMSCAN.reap_ns]
        if due > now:
            wake = due if wake == 0 else min(wake, due)
        else:
            exit_mmap(seg, me, pcp_cpu, app)
            store_relaxed(seg, mm + MM.reaped, 1)
            count(seg, me, VM.oom_reaped)
    return wake
