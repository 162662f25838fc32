"""Memory pressure: settings of reclaim, a kswapd per node, applications with their slots, the monitor."""

from emu.arch import Words
from emu.boot.plan import Plan, Role
from emu.config import Resolved
from emu.shm import APP, KSWAPD, round_to_line
from emu.vmscan import (
    KILL,
    LRU_ANON,
    LRU_DIRTY,
    LRU_FILE,
    LRU_KINDS,
    LRUVEC,
    MAX_KILLS,
    MM,
    MONITOR_KINDS,
    PGDAT,
    PSI,
    SHRINKER,
    TASK,
    VMSCAN,
    WATCH,
    mm_of,
    pgdat_of,
    vmscan_of,
)


def vmscan_regions(resolved: Resolved, procs: int) -> dict[str, int]:
    """Words of the regions of reclaim for so many processes."""
    apps, nodes = resolved.apps, resolved.memory.nodes
    return {
        "vmscan": VMSCAN.SIZE,
        "pgdats": nodes * PGDAT.SIZE,
        "lruvecs": nodes * LRUVEC.SIZE,
        "mms": apps.count * MM.SIZE,
        "app_slots": apps.count * round_to_line(apps.pages),
        "kills": MAX_KILLS * KILL.SIZE,
        "vmscan_tasks": procs * TASK.SIZE,
        "psi": PSI.SIZE,
        "shrinker": SHRINKER.SIZE,
        "monitor": WATCH.SIZE,
    }


def boot_vmscan(seg: Words, plan: Plan) -> None:
    """Settings, nodes, applications, monitor."""
    boot_settings(seg, plan)
    for role in plan.of_kind(KSWAPD):
        seg[pgdat_of(seg, role.number) + PGDAT.kswapd] = role.index
        seg[pgdat_of(seg, role.number) + PGDAT.priority_min] = 13
    for role in plan.of_kind(APP):
        boot_app(seg, plan, role)
    boot_monitor(seg, plan)


def boot_settings(seg: Words, plan: Plan) -> None:
    """What all reclaimers go by."""
    vmscan, words = plan.resolved.vmscan, vmscan_of(seg)
    apps, kswapds = plan.of_kind(APP), plan.of_kind(KSWAPD)
    values = {
        "active": int(vmscan.direct_reclaim),
        "kswapd_on": int(vmscan.kswapd),
        "nr_nodes": plan.resolved.memory.nodes,
        "nr_apps": len(apps),
        "first_app": apps[0].index if apps else 0,
        "first_kswapd": kswapds[0].index if kswapds else 0,
        "swappiness": vmscan.swappiness,
        "zram_ratio": vmscan.zram_ratio,
        "zram_limit": vmscan.zram_pages,
        "panic_on_oom": vmscan.panic_on_oom,
        "oom_kill_allocating": int(vmscan.oom_kill_allocating_task),
        "reap_ns": vmscan.reaper_delay_ns,
        "total_pages": plan.resolved.memory.managed_pages + vmscan.zram_pages,
        "psi_on": int(vmscan.psi),
        "jiffy_ns": plan.resolved.run.jiffy_ns,
    }
    for name, value in values.items():
        seg[words + getattr(VMSCAN, name)] = value
    costs = {LRU_FILE: vmscan.file_cost_ns, LRU_ANON: vmscan.anon_cost_ns, LRU_DIRTY: vmscan.dirty_cost_ns}
    assert len(costs) == LRU_KINDS
    for kind, cost in costs.items():
        seg[words + VMSCAN.cost_ns + kind] = cost


def boot_app(seg: Words, plan: Plan, role: Role) -> None:
    """One application: its slots, file pages first, then anonymous, then dirty."""
    apps, mm = plan.resolved.apps, mm_of(seg, role.number)
    values = {
        "proc": role.index,
        "pages": apps.pages,
        "adj": apps.oom_score_adj[role.number],
        "slots": plan.offsets["app_slots"] + role.number * round_to_line(apps.pages),
        "touch_ns": apps.touch_ns,
        "hot_sixteenths": max(1, round(16 * apps.hot_share)),
        "resident_at_start": apps.resident_pages,
        "random": plan.resolved.run.seed * 1_000_003 + role.number + 1,
    }
    for name, value in values.items():
        seg[mm + getattr(MM, name)] = value
    ends = (apps.file_pages, apps.file_pages + apps.anon_pages, apps.pages)
    for kind, end in enumerate(ends):
        seg[mm + MM.kind_end + kind] = end


def boot_monitor(seg: Words, plan: Plan) -> None:
    """What the pressure monitor goes by."""
    monitor, words = plan.resolved.monitor, plan.offsets["monitor"]
    values = {
        "kind": MONITOR_KINDS[monitor.kind],
        "window_ns": monitor.window_ms * 1_000_000,
        "partial_ns": monitor.partial_stall_ms * 1_000_000,
        "complete_ns": monitor.complete_stall_ms * 1_000_000,
        "thrashing_limit": monitor.thrashing_limit,
        "thrashing_decay": monitor.thrashing_limit_decay,
        "swap_free_low": monitor.swap_free_low,
        "kill_timeout_ns": monitor.kill_timeout_ms * 1_000_000,
        "oomd_limit": monitor.oomd_limit,
        "oomd_for_ns": monitor.oomd_duration_ms * 1_000_000,
    }
    for name, value in values.items():
        seg[words + getattr(WATCH, name)] = value
