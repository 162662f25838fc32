"""From the segment to the record of a run: counters, histograms, events, ledger, invariants.

Holds   collect_run(), which fills everything of a result record that the segment knows.
Rule    runs when nobody writes any more: after the last child has ended. It reads; the only thing it decides is
        whether the invariants hold. A killed child leaves a page or a lock in the middle of an operation: the
        ledger then lists it instead of failing the sum.
"""


from emu.arch import Words, private_words
from emu.boot import Plan, Role
from emu.kvfree import KRC, KRW, MAX_BATCHES
from emu.launch.collect_lockdep import collect_lockdep
from emu.launch.collect_locks import collect_locks
from emu.launch.collect_memory import collect_zones, memory_invariants
from emu.launch.collect_policy import collect_pools, foreign_page_text, pool_idle_ns, pool_invariants
from emu.launch.collect_series import collect_series
from emu.launch.collect_sheaves import collect_sheaves
from emu.launch.collect_users import check_users, collect_hogs, collect_hotplug, collect_users
from emu.launch.collect_vmscan import collect_vmscan, vmscan_invariants
from emu.launch.sums import Sums
from emu.mm import (
    PAGE_STATES,
    PG_BNODE,
    PG_BUDDY,
    PG_CACHE,
    PG_PCP,
    PG_SLAB,
    PG_STATIC,
    PG_TAKEN,
    PG_VMALLOC,
    SLAB_OBJECTS,
    ZONE,
    count_free_blocks,
    count_states,
    find_taken,
)
from emu.policy import POLICY, STOCK
from emu.rcu import RCU, gp_is_clean
from emu.shm import FAULTS, HEADER, PROC
from emu.stats import HIST_NAMES, HIST_UNITS, VM_NAMES, Histogram, read_counters
from emu.trace import lost_events, read_events
from emu.workload import CONTEXT_NAMES, LOAD, RCUSCALE

ORPHANS_SHOWN = 64
PAGE_MB = 4096 / 2**20


def collect_run(seg: Words, plan: Plan, record: dict, complete: bool) -> None:
    """Fill the record's measured parts from the segment. complete: no child died, so every sum must be exact."""
    per_process = {}
    for role in plan.roles:
        counters = read_counters(seg, role.index)
        counters["trace_lost"] = lost_events(seg, role.index)
        per_process[role.name] = [counters[name] for name in VM_NAMES]
    sums = Sums({name: sum(row[i] for row in per_process.values()) for i, name in enumerate(VM_NAMES)})
    record["counters"] = {"names": list(VM_NAMES), "per_process": per_process}
    record["histograms"] = collect_histograms(seg, plan)
    record["events"] = {}
    for role in plan.roles:
        records, lost = read_events(seg, role.index)
        if records or lost:
            record["events"][role.name] = {"lost": lost, "records": [list(r) for r in records]}
    if seg[HEADER.fault]:
        faulted = record["events"].setdefault(owner_name(plan, seg[HEADER.fault_proc]), {"lost": 0, "records": []})
        faulted["records"].append([seg[HEADER.fault_time], "fault", seg[HEADER.fault], seg[HEADER.fault_a]])
    record["cpus"] = [collect_cpu(seg, plan, cpu, per_process) for cpu in range(plan.cpus)]
    policy = plan.offsets["policy"]
    record["footprint"] = {"peak_all": seg[policy + POLICY.held_peak],
                           "pages_ns_all": sum(cpu["pages_ns"] for cpu in record["cpus"])}
    record["ledger"] = collect_ledger(seg, plan, sums)
    record["pools"] = collect_pools(seg, plan)
    record["locks"] = collect_locks(seg, plan)
    record["lockdep"] = collect_lockdep(seg, plan)
    zone, rcu = plan.offsets["zones"], plan.offsets["rcu"]
    record["gp"] = {"started": sums["rcu_gp_start"], "ended": sums["rcu_gp_end"], "hz": plan.resolved.run.hz,
                    "gp_seq": seg[rcu + RCU.gp_seq]}
    record["zone"] = {"min": seg[zone + ZONE.wmark_min], "low": seg[zone + ZONE.wmark_low],
                      "high": seg[zone + ZONE.wmark_high], "managed": seg[zone + ZONE.managed],
                      "nr_free_min": seg[zone + ZONE.nr_free_min], "nr_free_end": seg[zone + ZONE.nr_free]}
    record["zones"] = collect_zones(seg, plan)
    record["rcuscale"] = collect_rcuscale(seg, plan)
    record["users"], record["hogs"] = collect_users(seg, plan), collect_hogs(seg, plan)
    record["series"] = collect_series(seg, plan)
    record["hotplug"] = collect_hotplug(seg, plan)
    record["vmscan"] = collect_vmscan(seg, plan, per_process)
    record["contexts"] = {name: sum(seg[plan.load(cpu) + LOAD.by_context + i] for cpu in range(plan.cpus))
                          for i, name in enumerate(CONTEXT_NAMES)}
    record["invariants"] = check_invariants(seg, plan, record, sums, complete)


def collect_histograms(seg: Words, plan: Plan) -> dict:
    """Every histogram that has a value, per process, sparse."""
    found: dict[str, dict] = {}
    for which, name in enumerate(HIST_NAMES):
        per_process = {}
        for role in plan.roles:
            histogram = Histogram.from_segment(seg, role.index, which)
            if histogram.count:
                sparse = histogram.to_sparse()
                sparse.pop("unit")
                per_process[role.name] = sparse
        found[name] = {"unit": HIST_UNITS[name], "per_process": per_process}
    return found


def collect_cpu(seg: Words, plan: Plan, cpu: int, per_process: dict[str, list[int]]) -> dict:
    """What one emulated CPU did: its mutator's counters, its stock's integrals."""
    stock, krc = plan.stock(cpu), plan.krc(cpu)
    mutator = dict(zip(VM_NAMES, per_process[f"mutator/{cpu}"], strict=True))
    in_flight = sum(seg[krc + KRC.krw + slot * KRW.SIZE + KRW.objects] for slot in range(MAX_BATCHES))
    queued = seg[krc + KRC.count] + seg[krc + KRC.detached] - seg[krc + KRC.freed]
    return {
        "cpu": cpu,
        "calls": mutator["kvfree_calls"],
        "fallback_list": mutator["kvfree_fallback_list"],
        "fallback_sync": mutator["kvfree_fallback_sync"],
        "misses": seg[stock + STOCK.misses],
        "windows": seg[stock + STOCK.windows],
        "window_ns": seg[stock + STOCK.window_ns],
        "open_window": seg[stock + STOCK.window_start] != 0,
        "pages_peak": seg[stock + STOCK.held_peak],
        "pages_ns": seg[stock + STOCK.held_ns],
        "cache_idle_ns": seg[stock + STOCK.cache_ns],
        "static_idle_ns": seg[stock + STOCK.static_ns] + pool_idle_ns(seg, plan, cpu),
        "enqueued": seg[krc + KRC.count] + seg[krc + KRC.detached],
        "freed": seg[krc + KRC.freed],
        "queued_at_end": queued,
        "in_batches": in_flight,
        "batches_peak": seg[krc + KRC.in_flight_peak],
    }


def collect_ledger(seg: Words, plan: Plan, sums: Sums) -> dict:
    """Where every page and every object is."""
    out = private_words(SLAB_OBJECTS + 1)
    shared = plan.offsets["scratch"]  # nobody runs: process 0's scratch words are free for the compiled count
    count_states(seg, shared)
    for i in range(SLAB_OBJECTS + 1):
        out[i] = seg[shared + i]
    orphans: list[dict] = []
    pfn = 0
    while len(orphans) < ORPHANS_SHOWN and (pfn := find_taken(seg, pfn, shared)):
        orphans.append({"pfn": pfn, "state": PAGE_STATES[PG_TAKEN], "owner": owner_name(plan, seg[shared])})
    counted = sum(out[state] for state in range(len(PAGE_STATES)))
    managed = plan.resolved.memory.managed_pages
    sheaves = collect_sheaves(seg, plan, sums)
    made = sums["kmalloc"] + sums["vmalloc_alloc"] - sums["sheaf_alloc"]
    freed = sum(sums[f"kvfree_freed_{way}"] for way in ("bulk", "list", "sync", "sheaf"))
    queued = sum(seg[plan.krc(c) + KRC.count] + seg[plan.krc(c) + KRC.detached] - seg[plan.krc(c) + KRC.freed]
                 for c in range(plan.cpus)) + sheaves["queued"]
    return {
        "managed": managed, "buddy": out[PG_BUDDY], "pcp": out[PG_PCP], "cache": out[PG_CACHE],
        "static": out[PG_STATIC], "bnode": out[PG_BNODE], "slab": out[PG_SLAB], "vmalloc": out[PG_VMALLOC],
        **{PAGE_STATES[state]: out[state] for state in range(PG_VMALLOC + 1, len(PAGE_STATES))},
        "other": out[PG_TAKEN], "lost": managed - counted, "orphans": orphans,
        "objects": {"allocated": made, "live": live_objects(seg, plan), "queued": queued, "freed": freed},
        "slab_objects": out[SLAB_OBJECTS], "sheaves": sheaves, "free_listed": count_free_blocks(seg),
    }


def first_pass(seg: Words, plan: Plan) -> dict | None:
    """What came of a recording's calls when it was replayed for the first time; None unless every CPU got through."""
    loads = [plan.load(cpu) for cpu in range(plan.cpus) if seg[plan.load(cpu) + LOAD.takes_part]]
    if not loads or any(seg[load + LOAD.pass_calls] == 0 for load in loads):
        return None
    calls, lists, waits = (sum(seg[load + at] for load in loads)
                           for at in (LOAD.pass_calls, LOAD.pass_list, LOAD.pass_sync))
    return {"calls": calls, "list_objects": lists, "bulk_objects": calls - lists - waits}


def owner_name(plan: Plan, owner: int) -> str:
    """Name of the process that holds a page."""
    return plan.roles[owner].name if 0 <= owner < len(plan.roles) else f"process {owner}"


def live_objects(seg: Words, plan: Plan) -> int:
    """Objects that stand in the slots."""
    return sum(1 for cpu in range(plan.cpus)
               for slot in range(seg[plan.load(cpu) + LOAD.live])
               if seg[seg[plan.load(cpu) + LOAD.slots] + slot] != 0)


def collect_rcuscale(seg: Words, plan: Plan) -> dict | None:
    """The kernel's own four figures, by the last finisher; None for other loads or an unfinished test."""
    loads = [plan.load(cpu) for cpu in range(plan.cpus) if seg[plan.load(cpu) + LOAD.takes_part]]
    if not loads or seg[loads[0] + LOAD.kind] != RCUSCALE:
        return None
    if any(not seg[load + LOAD.done] for load in loads):
        return None
    last = max(loads, key=lambda load: seg[load + LOAD.t_finish])
    start = min(seg[load + LOAD.t_start] for load in loads)
    return {
        "total_ns": seg[last + LOAD.t_finish] - start,
        "loops": seg[last + LOAD.loops],
        "batches": (seg[last + LOAD.gp_finish] - seg[last + LOAD.gp_begin]) // 4,
        "footprint_mb": (seg[last + LOAD.mem_begin] - seg[last + LOAD.mem_during]) * PAGE_MB,
        "threads": len(loads),
    }


def fault_text(seg: Words, plan: Plan) -> str:
    """The fault word of the run in words, or ""."""
    code = seg[HEADER.fault]
    if code == 0:
        return ""
    name, template = FAULTS.get(code, ("unknown", "fault code {a}"))
    values = {"a": seg[HEADER.fault_a], "b": seg[HEADER.fault_b], "c": seg[HEADER.fault_c]}
    if name == "page_state":
        values |= {key: PAGE_STATES[values[key]] if 0 <= values[key] < len(PAGE_STATES) else values[key]
                   for key in ("b", "c")}
    if name == "foreign_page":
        values = foreign_page_text(plan, *values.values())
    where = owner_name(plan, seg[HEADER.fault_proc])
    at = (seg[HEADER.fault_time] - seg[HEADER.t_zero]) / 1e9
    return f"{name} in {where} at {at:.3f} s: " + template.replace(":state", "").format(**values)


def check_invariants(seg: Words, plan: Plan, record: dict, sums: Sums, complete: bool) -> list[dict]:
    """The invariants of the design as checked at the end; those checked in the run show as the fault word."""
    ledger, objects = record["ledger"], record["ledger"]["objects"]
    rows: list[dict] = []

    def check(name: str, ok: bool, detail: str) -> None:
        rows.append({"name": name, "ok": bool(ok), "detail": detail})

    fault = fault_text(seg, plan)
    check("no fault while it ran", not fault, fault or "none raised")
    pages = {k: ledger[k] for k in ("other", *PAGE_STATES) if k in ledger}
    check("every page is somewhere, once", sum(pages.values()) == ledger["managed"],
          f"managed {ledger['managed']}, found {sum(pages.values())}")
    if not complete:
        return rows
    calls = sums["kvfree_calls"]
    ways = sums["kvfree_bulk"] + sums["kvfree_fallback_list"] + sums["kvfree_fallback_sync"]
    ways += sums["free_rcu_sheaf"]
    check("calls = array + list + synchronous", calls == ways, f"{calls} calls, {ways} by way")
    check("retired = freed + queued", calls == objects["freed"] + objects["queued"],
          f"retired {calls}, freed {objects['freed']}, queued {objects['queued']}")
    check("kvfree_rcu_barrier left nothing queued", objects["queued"] == 0, f"queued {objects['queued']}")
    check("allocated = live + freed + queued",
          objects["allocated"] == objects["live"] + objects["freed"] + objects["queued"],
          f"allocated {objects['allocated']}, live {objects['live']}, freed {objects['freed']}")
    vmalloc_live = ledger["vmalloc"]
    sheaves = ledger["sheaves"]
    spare = sheaves["sheaves"] + sheaves["ready"]
    check("objects in slabs = live objects", ledger["slab_objects"] + vmalloc_live == objects["live"] + spare,
          f"in slabs {ledger['slab_objects']}, vmalloc {vmalloc_live}, live {objects['live']}, sheaves "
          f"{sheaves['sheaves']} with {sheaves['ready']}")
    rows += memory_invariants(seg, plan, record)
    check("bnode pages all came back", ledger["bnode"] == 0, f"bnodes {ledger['bnode']}")
    rows += pool_invariants(seg, plan, ledger)
    limit = plan.resolved.kvfree.min_cached_objs * plan.cpus
    check("cached pages within their limit", ledger["cache"] <= limit, f"{ledger['cache']} of at most {limit}")
    peak = max(cpu["batches_peak"] for cpu in record["cpus"])
    check("batches in flight within their limit", peak <= plan.resolved.kvfree.nr_batches,
          f"peak {peak} of at most {plan.resolved.kvfree.nr_batches}")
    check("grace periods ended = started", record["gp"]["started"] == record["gp"]["ended"] and gp_is_clean(seg),
          f"started {record['gp']['started']}, ended {record['gp']['ended']}")
    check("no page in anybody's hands", ledger["other"] == 0, f"taken {ledger['other']}")
    rows += vmscan_invariants(seg, plan, ledger)
    if record["users"]:
        check("other users gave back what they took", *check_users(record["users"]))
    rows += check_histograms(record, sums)
    return rows


# Histogram -> the counter that counts the same events.
COUNTED_BY = {
    "gp_ns": "rcu_gp_end",
    "pages_per_refill": "krc_refill_run",
    "sync_wait_ns": "synchronize_rcu",
    "bnode_fill_records": "bnode_free",
    "batch_work_ns": "kfree_rcu_work",
}


def check_histograms(record: dict, sums: Sums) -> list[dict]:
    """Invariant 7: histogram counts equal event counters; the phases of a refill add up."""
    rows = []
    totals = {name: sum(sum(n for _, n in row["counts"]) for row in h["per_process"].values())
              for name, h in record["histograms"].items()}
    wrong = [f"{name} {totals[name]}, {counter} {sums[counter]}" for name, counter in COUNTED_BY.items()
             if totals[name] != sums[counter]]
    rows.append({"name": "histogram counts = event counters", "ok": not wrong, "detail": "; ".join(wrong) or "equal"})
    value = {name: sum(row["sum"] for row in h["per_process"].values()) for name, h in record["histograms"].items()}
    phases = ("refill_doorbell_ns", "refill_aside_ns", "refill_wake_ns", "refill_alloc_ns", "refill_hit_ns")
    parts = sum(value[name] for name in phases)
    rows.append({"name": "refill phases add up to the whole", "ok": parts == value["refill_total_ns"],
                 "detail": f"parts {parts} ns, total {value['refill_total_ns']} ns"})
    return rows


def process_row(seg: Words, plan: Plan, role: Role) -> dict:
    """What the segment knows of one process."""
    proc = plan.proc(role.index)
    span = seg[proc + PROC.noise_span]
    return {"noise_max_ns": seg[proc + PROC.noise_max] if span else None,
            "noise_share": seg[proc + PROC.noise_sum] / span if span else None}
