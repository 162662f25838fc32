"""The policy of page supply: its composition, each CPU's stock, and the pages that a CPU has from the start."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved
from emu.errors import ConfigError
from emu.mm import GFP_BY_NAME
from emu.policy import (
    PATHS,
    POLICY,
    SOURCE_IDS,
    STATIC_HEADER,
    STOCK,
    TRIGGERS,
    fill_cache,
    fill_static,
    static_region_words,
)
from emu.ring import mpmc_init
from emu.shm import PAGE_REFILL
from emu.sync import NOBODY


def policy_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the regions of the policy."""
    cpus = resolved.cpus.count
    static_words, _ = static_region_words(cpus, resolved.policy.pool.pages_per_cpu)
    return {
        "policy": POLICY.SIZE,
        "stock": cpus * STOCK.SIZE,
        "static": static_words,
    }


def boot_policy(seg: Words, plan: Plan) -> None:
    """The composition, each CPU's stock, the static reserves, the boot-time fill of the caches. After memory's."""
    boot_composition(seg, plan)
    boot_stocks(seg, plan)
    boot_reserves(seg, plan)


def boot_composition(seg: Words, plan: Plan) -> None:
    """Which sources, in which order, and when and how the worker refills."""
    resolved, words = plan.resolved, plan.offsets["policy"]
    policy, refill = resolved.policy, resolved.policy.refill
    for name, count, at in (("sources", POLICY.nr_sources, POLICY.sources),
                            ("one_arg_sources", POLICY.nr_one_arg, POLICY.one_arg)):
        chosen = getattr(policy, name)
        seg[words + count] = len(chosen)
        for i, source in enumerate(chosen):
            seg[words + at + i] = SOURCE_IDS[source]
    seg[words + POLICY.min_cached] = resolved.kvfree.min_cached_objs
    seg[words + POLICY.trigger] = TRIGGERS[refill.trigger]
    seg[words + POLICY.path] = PATHS[refill.path]
    seg[words + POLICY.delay_jiffies] = refill.delay_jiffies
    seg[words + POLICY.bound] = int(refill.bound)
    seg[words + POLICY.gfp] = GFP_BY_NAME[refill.gfp]
    seg[words + POLICY.direct_gfp] = GFP_BY_NAME["kernel-noretry"]
    seg[words + POLICY.amount] = refill.amount
    seg[words + POLICY.stop_on_failure] = int(refill.stop_on_failure)
    seg[words + POLICY.count_from_zero] = int(refill.count_from == "zero")
    seg[words + POLICY.backoff_ns] = refill.backoff_ns
    seg[words + POLICY.backoff_amount] = refill.backoff_amount
    seg[words + POLICY.hrtimer_cost_ns] = refill.hrtimer_cost_ns
    seg[words + POLICY.static_pages] = policy.pool.pages_per_cpu


def boot_stocks(seg: Words, plan: Plan) -> None:
    """Whose lock covers each CPU's stock, and which worker fills it."""
    refill, workers = plan.resolved.policy.refill, plan.of_kind(PAGE_REFILL)
    for cpu in range(plan.cpus):
        stock = plan.stock(cpu)
        seg[stock + STOCK.lock] = plan.krc(cpu)
        seg[stock + STOCK.worker] = (workers[cpu] if refill.bound else workers[0]).index if workers else NOBODY


def boot_reserves(seg: Words, plan: Plan) -> None:
    """The pages that each CPU holds before time zero. ConfigError if memory has too few."""
    resolved, static = plan.resolved, plan.offsets["static"]
    pages = resolved.policy.pool.pages_per_cpu
    cached = resolved.kvfree.min_cached_objs if resolved.kvfree.boot_fill else 0
    _, stride = static_region_words(plan.cpus, pages)
    seg[static] = stride
    for cpu in range(plan.cpus):
        mpmc_init(seg, static + STATIC_HEADER + cpu * stride, max(1, pages))
        if fill_static(seg, cpu, pages) + fill_cache(seg, cpu, cached) != pages + cached:
            raise ConfigError(f"memory.managed_pages = {resolved.memory.managed_pages}: too few for the pages that "
                              f"{plan.cpus} CPUs hold from the start ({pages + cached} each); raise it, or lower "
                              f"policy.pool.pages_per_cpu")
