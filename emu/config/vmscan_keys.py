"""Memory pressure: [vmscan] reclaim, [apps] what is reclaimed and killed, [monitor] who kills before the kernel does.

Holds   the records of these sections, as written and as resolved, and their rules.
Rule    a machine without anything to reclaim has no kswapd and its callers do not reclaim, unless the keys say so: then
        allocations fail where reclaim would begin. Costs are of one page, burnt by whoever reclaims it.
After   Linux mm/vmscan.c, mm/oom_kill.c, Android lmkd, systemd-oomd (KF 3.5 to 3.9).
"""

from typing import Annotated, Literal

from msgspec import Meta

from emu.config.problems import Problem
from emu.config.schema_base import CostNs, Ms, Pages, Percent, Section

MAX_APPS = 64
Adj = Annotated[int, Meta(ge=-1000, le=1000)]


class Vmscan(Section, frozen=True):
    kswapd: Annotated[bool, Meta(examples=[False])] | None = None
    direct_reclaim: Annotated[bool, Meta(examples=[False])] | None = None
    swappiness: Annotated[int, Meta(ge=0, le=200)] = 60
    file_cost_ns: CostNs = 500
    anon_cost_ns: CostNs = 5000
    dirty_cost_ns: CostNs = 100_000
    zram_pages: Pages = 0
    zram_ratio: Annotated[int, Meta(ge=1, le=1000)] = 3
    panic_on_oom: Annotated[int, Meta(ge=0, le=2)] = 0
    oom_kill_allocating_task: bool = False
    oom_reaper_delay_ms: Ms = 2000


class Apps(Section, frozen=True):
    count: Annotated[int, Meta(ge=0, le=MAX_APPS)] = 0
    pages: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024
    resident_share: Percent = 1.0
    file_share: Percent = 0.6
    anon_share: Percent = 0.4
    dirty_share: Percent = 0.0
    touches_per_s: Annotated[float, Meta(ge=0.0, le=1e7)] = 10_000.0
    hot_share: Annotated[float, Meta(ge=0.0625, le=1.0)] = 0.5
    oom_score_adj: Annotated[tuple[Adj, ...], Meta(min_length=1, max_length=MAX_APPS)] = (0,)


class Monitor(Section, frozen=True):
    kind: Literal["none", "lmkd", "oomd"] = "none"
    window_ms: Annotated[int, Meta(ge=100, le=10_000)] = 1000
    partial_stall_ms: Ms = 70
    complete_stall_ms: Ms = 700
    thrashing_limit: Annotated[int, Meta(ge=0, le=10_000)] = 100
    thrashing_limit_decay: Annotated[int, Meta(ge=0, le=100)] = 10
    swap_free_low: Annotated[int, Meta(ge=0, le=100)] = 10
    kill_timeout_ms: Ms = 100
    oomd_limit: Annotated[int, Meta(ge=1, le=100)] = 60
    oomd_duration_ms: Ms = 30_000


class ResolvedVmscan(Section, frozen=True):
    """reclaimable: something is there to reclaim. psi: pressure is kept."""

    kswapd: bool
    direct_reclaim: bool
    swappiness: int
    file_cost_ns: int
    anon_cost_ns: int
    dirty_cost_ns: int
    zram_pages: int
    zram_ratio: int
    panic_on_oom: int
    oom_kill_allocating_task: bool
    oom_reaper_delay_ms: int
    reaper_delay_ns: int
    reclaimable: bool
    psi: bool


class ResolvedApps(Section, frozen=True):
    """oom_score_adj: one per application, the written list dealt in turn. *_pages: of each. touch_ns 0: no touches."""

    count: int
    pages: int
    resident_share: float
    file_share: float
    anon_share: float
    dirty_share: float
    touches_per_s: float
    hot_share: float
    oom_score_adj: tuple[int, ...]
    file_pages: int
    anon_pages: int
    resident_pages: int
    touch_ns: int


def resolve_vmscan(pick) -> ResolvedVmscan:
    """[vmscan], with kswapd and direct reclaim on where something can be reclaimed."""
    own = pick.section("vmscan")
    reclaimable = pick("apps.count") > 0 or any(user.kind == "cache" for user in pick("users"))
    kswapd = pick("vmscan.kswapd", reclaimable)
    direct = pick("vmscan.direct_reclaim", reclaimable)
    psi = reclaimable or kswapd or direct or pick("monitor.kind") != "none"
    return ResolvedVmscan(**own, kswapd=kswapd, direct_reclaim=direct, reclaimable=reclaimable, psi=psi,
                          reaper_delay_ns=own["oom_reaper_delay_ms"] * 1_000_000)


def resolve_apps(apps: Apps) -> ResolvedApps:
    """[apps] in pages and nanoseconds."""
    adj = tuple(apps.oom_score_adj[i % len(apps.oom_score_adj)] for i in range(apps.count))
    written = {name: getattr(apps, name) for name in apps.__struct_fields__ if name != "oom_score_adj"}
    return ResolvedApps(
        **written, oom_score_adj=adj, file_pages=round(apps.pages * apps.file_share),
        anon_pages=round(apps.pages * apps.anon_share), resident_pages=round(apps.pages * apps.resident_share),
        touch_ns=round(1e9 / apps.touches_per_s) if apps.touches_per_s else 0)


# --- rules between keys ---


def apps_rules(resolved, scenario):
    """What [apps] must keep."""
    apps = resolved.apps
    total = apps.file_share + apps.anon_share + apps.dirty_share
    if abs(total - 1.0) > 1e-6:
        yield Problem("apps.file_share", f"file, anon and dirty shares must sum to 1, and sum to {total:.6g}",
                      f"for example file_share = {max(0.0, 1 - apps.anon_share - apps.dirty_share):.6g}",
                      apps.file_share)
    resident = apps.count * apps.resident_pages
    if resident > resolved.memory.managed_pages:
        yield Problem("apps.pages", f"{apps.count} applications with {apps.resident_pages} pages each at the start are "
                      f"more than the {resolved.memory.managed_pages} pages of memory",
                      "lower it, or apps.resident_share", apps.pages)


def monitor_rules(resolved, scenario):
    """What [monitor] must keep."""
    monitor = resolved.monitor
    if monitor.kind != "none" and not resolved.apps.count:
        yield Problem("monitor.kind", "must be \"none\" when apps.count = 0: there is nobody to kill",
                      "for example [apps] count = 4", monitor.kind)
    for key in ("partial_stall_ms", "complete_stall_ms"):
        if getattr(monitor, key) > monitor.window_ms:
            yield Problem(f"monitor.{key}", f"must be at most monitor.window_ms = {monitor.window_ms}",
                          "lower it", getattr(monitor, key))


VMSCAN_RULES = (apps_rules, monitor_rules)


def vmscan_remarks(resolved, scenario):
    """What is worth knowing of these sections."""
    vmscan, apps = resolved.vmscan, resolved.apps
    if apps.count and apps.anon_pages and not vmscan.zram_pages:
        yield "anonymous pages cannot be reclaimed: vmscan.zram_pages = 0"
    if apps.count and not vmscan.kswapd and not vmscan.direct_reclaim:
        yield "nobody reclaims: vmscan.kswapd and vmscan.direct_reclaim are false"
