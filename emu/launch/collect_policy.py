"""From the segment to the record of a run: the pools of the policy, and what must hold of them at the end.

Holds   collect_pools(), stamp_pools(), settle_pools(), pool_invariants(), foreign_page_text().
Rule    as collect.py: runs when nobody writes any more.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.mm import PAGE_STATES
from emu.policy import GROWN, POLICY, POOL, POOL_MEMPOOL, POOL_SHARED, RESCUE, SHELF

_CPU_POOLS = {"grown": GROWN, "rescue": RESCUE, "shelf": SHELF}


def pools_by_name(plan: Plan) -> dict[str, list[int]]:
    """Word offsets of the pools of each kind."""
    base = plan.offsets["pools"]
    pools = {"mempool": [base + POOL_MEMPOOL * POOL.SIZE], "shared-reserve": [base + POOL_SHARED * POOL.SIZE]}
    for name, which in _CPU_POOLS.items():
        pools[name] = [plan.cpu_pool(cpu, which) for cpu in range(plan.cpus)]
    return pools


def settle_pools(seg: Words, plan: Plan, end_ns: int) -> None:
    """Bring every pool's idle pages x ns up to the end of the load."""
    for pool in (pool for pools in pools_by_name(plan).values() for pool in pools):
        span = max(0, end_ns - seg[pool + POOL.stamp]) if seg[pool + POOL.stamp] else 0
        seg[pool + POOL.stamp] += span
        seg[pool + POOL.idle_ns] += span * seg[pool + POOL.nr]


def stamp_pools(seg: Words, plan: Plan, zero_ns: int) -> None:
    """Let idle pages be counted from time zero on."""
    for pool in (pool for pools in pools_by_name(plan).values() for pool in pools):
        seg[pool + POOL.stamp] = zero_ns


def collect_pools(seg: Words, plan: Plan) -> dict[str, dict[str, int]]:
    """Figures of each kind of pool that was used, over all CPUs. low: the fewest pages that one of them held."""
    rows = {}
    for name, pools in pools_by_name(plan).items():
        total = {field: sum(seg[pool + getattr(POOL, field)] for pool in pools)
                 for field in ("nr", "total", "target", "takes", "empty", "grown", "idle_ns", "others_out",
                               "others_denied")}
        if total["takes"] or total["total"] or total["empty"] or total["target"]:
            rows[name] = total | {"low": min(seg[pool + POOL.low] for pool in pools),
                                  "whole_ns": max(seg[pool + POOL.whole_ns] for pool in pools)}
    return rows


def pool_idle_ns(seg: Words, plan: Plan, cpu: int) -> int:
    """Idle pages x ns of a CPU's own pools, and its share of those that all CPUs have together."""
    pools = pools_by_name(plan)
    common = sum(seg[pool + POOL.idle_ns] for pool in pools["mempool"] + pools["shared-reserve"])
    return common // plan.cpus + sum(seg[plan.cpu_pool(cpu, which) + POOL.idle_ns] for which in _CPU_POOLS.values())


def reserved_pages(seg: Words, plan: Plan) -> int:
    """Pages that have to lie in reserves once every bnode has come back: static, and what belongs to the pools."""
    static = seg[plan.offsets["policy"] + POLICY.static_pages] * plan.cpus
    pools = pools_by_name(plan)
    shelves = sum(seg[pool + POOL.nr] for pool in pools.pop("shelf"))  # a shelf has no size: it holds what it holds
    lent = sum(seg[pool + POOL.others_out] for pool in pools["shared-reserve"])
    return static + shelves - lent + sum(seg[pool + POOL.total] for row in pools.values() for pool in row)


def pool_invariants(seg: Words, plan: Plan, ledger: dict) -> list[dict]:
    """Every reserve is whole: it holds all pages that belong to it, and no more than its target."""
    whole = reserved_pages(seg, plan)
    rows = [{"name": "every reserve is whole", "ok": ledger["static"] == whole,
             "detail": f"{ledger['static']} of {whole} pages"}]
    beyond = [f"{name} holds {seg[pool + POOL.nr]} of {seg[pool + POOL.target]}"
              for name, pools in pools_by_name(plan).items() if name != "shelf"
              for pool in pools if seg[pool + POOL.total] < seg[pool + POOL.nr]]
    rows.append({"name": "no pool holds what is not its own", "ok": not beyond, "detail": "; ".join(beyond) or "none"})
    return rows


def foreign_page_text(plan: Plan, pfn: int, state: int, which: int) -> dict[str, object]:
    """The arguments of fault foreign_page in words: the page's state, the source with file and line."""
    sources = plan.resolved.policy.user_sources
    name = f"number {which}"
    if 0 <= which < len(sources):
        source = sources[which]
        name = f'"{source.name}" ({source.path}:{source.line})'
    return {"a": pfn, "b": PAGE_STATES[state] if 0 <= state < len(PAGE_STATES) else state, "c": name}
