"""Memory pressure in the record: kswapd, direct reclaim, LRU lists, zram, applications, kills, PSI; and what must hold.

Holds   collect_vmscan(), vmscan_invariants(), panic_text().
Rule    reads only; nobody writes any more. Times count from time zero.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.mm import PAGE, PG_LRU, page_of, page_owner, page_state
from emu.shm import APP, HEADER, KSWAPD, MONITOR
from emu.stats import VM_NAMES
from emu.vmscan import (
    CAUSE_NAMES,
    EVICTED,
    KILL,
    KIND_NAMES,
    LRUVEC,
    MAX_KILLS,
    MM,
    PANIC_TEXTS,
    PGDAT,
    PSI,
    VMSCAN,
    WATCH,
    kill_of,
    mm_of,
    pgdat_of,
    vmscan_of,
)

FSHIFT = 11
KSWAPD_COUNTERS = ("pageoutrun", "pgscan_kswapd", "pgsteal_kswapd", "kswapd_low_wmark_hit_quickly",
                   "kswapd_high_wmark_hit_quickly", "reclaim_page_alloc", "reclaim_page_fail")


def collect_vmscan(seg: Words, plan: Plan, per_process: dict[str, list[int]]) -> dict | None:
    """What reclaim did; None for a machine without any."""
    vmscan = plan.resolved.vmscan
    if not (vmscan.kswapd or vmscan.direct_reclaim or plan.resolved.apps.count):
        return None
    return {
        "kswapd": [kswapd_row(seg, role.number, per_process[role.name]) for role in plan.of_kind(KSWAPD)],
        "lru": [lru_row(seg, plan, node) for node in range(plan.resolved.memory.nodes)],
        "zram": zram_row(seg),
        "apps": [app_row(seg, plan, role.number) for role in plan.of_kind(APP)],
        "kills": [kill_row(seg, plan, index)
                  for index in range(min(seg[vmscan_of(seg) + VMSCAN.nr_kills], MAX_KILLS))],
        "psi": psi_row(seg, plan),
        "monitor": monitor_row(seg, plan),
        "panic": panic_text(seg, plan),
    }


def since_zero(seg: Words, stamp: int) -> int:
    """A stamp counted from time zero; 0 for none."""
    return max(0, stamp - seg[HEADER.t_zero]) if stamp else 0


def kswapd_row(seg: Words, node: int, counters: list[int]) -> dict:
    """One kswapd's work."""
    pgdat, by_name = pgdat_of(seg, node), dict(zip(VM_NAMES, counters, strict=True))
    return {"node": node, "active_ns": seg[pgdat + PGDAT.active_ns], "failures": seg[pgdat + PGDAT.failures],
            "priority_min": seg[pgdat + PGDAT.priority_min], **{name: by_name[name] for name in KSWAPD_COUNTERS}}


def lru_row(seg: Words, plan: Plan, node: int) -> dict:
    """The lengths of a node's lists at the end."""
    vec = plan.offsets["lruvecs"] + node * LRUVEC.SIZE
    lists = [(f"{active}_{name}", 2 * kind + at) for kind, name in enumerate(KIND_NAMES)
             for at, active in enumerate(("inactive", "active"))]
    return {"node": node} | {name: seg[vec + LRUVEC.count + which] for name, which in lists}


def zram_row(seg: Words) -> dict:
    """What zram held."""
    words = vmscan_of(seg)
    return {"limit": seg[words + VMSCAN.zram_limit], "stored": seg[words + VMSCAN.zram_stored],
            "pages": seg[words + VMSCAN.zram_pages], "stored_peak": seg[words + VMSCAN.zram_peak]}


def app_row(seg: Words, plan: Plan, app: int) -> dict:
    """One application at the end."""
    mm = mm_of(seg, app)
    return {"app": app, "adj": seg[mm + MM.adj], "rss": seg[mm + MM.rss], "swap": seg[mm + MM.swap],
            "touches": seg[mm + MM.touches], "failed": seg[mm + MM.failed], "killed": seg[mm + MM.killed] != 0,
            "reaped": seg[mm + MM.reaped] != 0, "exited_ns": since_zero(seg, seg[mm + MM.exited_at])}


def kill_row(seg: Words, plan: Plan, index: int) -> dict:
    """One kill: who, when, by whom, how large it was."""
    kill = kill_of(seg, index)
    return {"at_ns": since_zero(seg, seg[kill + KILL.at]), "app": seg[kill + KILL.app],
            "name": f"app/{seg[kill + KILL.app]}", "cause": CAUSE_NAMES[seg[kill + KILL.cause]],
            "killer": plan.roles[seg[kill + KILL.killer]].name, "rss": seg[kill + KILL.rss],
            "swap": seg[kill + KILL.swap], "score": seg[kill + KILL.score],
            "exited_ns": since_zero(seg, seg[kill + KILL.done_at])}


def psi_row(seg: Words, plan: Plan) -> dict:
    """Stall totals of the run, in ns, and the averages in percent where a monitor kept them."""
    psi = plan.offsets["psi"]
    averages = {}
    if plan.of_kind(MONITOR):
        averages = {f"{kind}_avg{span}": seg[psi + getattr(PSI, f"{kind}_avg") + at] / (1 << FSHIFT)
                    for kind in ("some", "full") for at, span in enumerate((10, 60, 300))}
    return {"some_ns": seg[psi + PSI.some_ns], "full_ns": seg[psi + PSI.full_ns], **averages}


def monitor_row(seg: Words, plan: Plan) -> dict | None:
    """The pressure monitor's looks and events; None without one."""
    if not plan.of_kind(MONITOR):
        return None
    watch = plan.offsets["monitor"]
    return {"kind": plan.resolved.monitor.kind, "looks": seg[watch + WATCH.looks], "events": seg[watch + WATCH.events],
            "thrashing_limit_end": seg[watch + WATCH.limit_now]}


def panic_text(seg: Words, plan: Plan) -> str:
    """What the machine died of, or ""."""
    words = vmscan_of(seg)
    why = seg[words + VMSCAN.panic]
    if not why:
        return ""
    at, who = since_zero(seg, seg[words + VMSCAN.panic_at]) / 1e9, plan.roles[seg[words + VMSCAN.panic_proc]].name
    return f"kernel panic in {who} at {at:.3f} s: {PANIC_TEXTS[why]}"


def vmscan_invariants(seg: Words, plan: Plan, ledger: dict) -> list[dict]:
    """Pages on lists, pages that applications map, and their counts say the same; so do zram's."""
    vmscan = plan.resolved.vmscan
    if not (plan.of_kind(APP) or vmscan.kswapd or vmscan.direct_reclaim):
        return []
    wrong: list[str] = []
    mapped = stored = 0
    for role in plan.of_kind(APP):
        mm = mm_of(seg, role.number)
        rss, swap = count_slots(seg, mm, role.index, wrong)
        mapped, stored = mapped + rss, stored + swap
        if (rss, swap) != (seg[mm + MM.rss], seg[mm + MM.swap]):
            wrong.append(f"{role.name}: rss {rss}, swap {swap}, counted {seg[mm + MM.rss]}, {seg[mm + MM.swap]}")
    listed = sum(count_list(seg, plan.offsets["lruvecs"] + node * LRUVEC.SIZE, which, wrong)
                 for node in range(plan.resolved.memory.nodes) for which in range(2 * len(KIND_NAMES)))
    zram = zram_row(seg)
    return [
        {"name": "an application's pages are mapped once", "ok": not wrong, "detail": "; ".join(wrong[:5]) or "equal"},
        {"name": "pages on LRU lists = pages in that state", "ok": listed == ledger["lru"],
         "detail": f"on lists {listed}, in state lru {ledger['lru']}, mapped by applications {mapped}"},
        {"name": "zram holds what applications gave it",
         "ok": stored == zram["stored"] <= zram["pages"] * plan.resolved.vmscan.zram_ratio
         and zram["pages"] == ledger["zram"],
         "detail": f"given {stored}, stored {zram['stored']}, pages {zram['pages']}, in state zram {ledger['zram']}"},
    ]


def count_slots(seg: Words, mm: int, owner: int, wrong: list[str]) -> tuple[int, int]:
    """(pages mapped, pages in zram) by an application's slots; a page that is not its own goes into `wrong`."""
    rss = swap = 0
    for index in range(seg[mm + MM.pages]):
        slot = seg[mm + MM.slots] + index
        word = seg[slot]
        if word == EVICTED:
            swap += seg[mm + MM.kind_end] <= index < seg[mm + MM.kind_end + 1]
        elif word:
            rss += 1
            pfn = word >> 1
            if page_state(seg, pfn) != PG_LRU or page_owner(seg, pfn) != owner or (
                    seg[page_of(seg, pfn) + PAGE.home] != slot):
                wrong.append(f"pfn {pfn} in slot {index} of process {owner} is not its page")
    return rss, swap


def count_list(seg: Words, vec: int, which: int, wrong: list[str]) -> int:
    """Pages found on one list, which must be as many as it says."""
    pfn, found, says = seg[vec + LRUVEC.head + which], 0, seg[vec + LRUVEC.count + which]
    while pfn and found <= says:
        found += 1
        pfn = seg[page_of(seg, pfn) + PAGE.next]
    if found != says:
        wrong.append(f"LRU list {which} has {found} pages and says {says}")
    return found
