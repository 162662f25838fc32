"""The policy of page supply: its composition, each CPU's stock, and the pages that a CPU has from the start."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved, ResolvedPolicy
from emu.errors import ConfigError
from emu.mm import GFP_BY_NAME
from emu.policy import (
    GROWN,
    PATHS,
    POLICY,
    POOL,
    POOL_MEMPOOL,
    POOL_SHARED,
    RESCUE,
    SOURCE_IDS,
    SRC_USER,
    STATIC_HEADER,
    STOCK,
    TRIGGERS,
    USER_WORDS,
    fill_cache,
    fill_pool,
    fill_static,
    pools_in_all,
    static_region_words,
)
from emu.ring import mpmc_init
from emu.shm import PAGE_REFILL
from emu.sync import NOBODY


def policy_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the regions of the policy."""
    cpus = resolved.cpus.count
    static_words, _ = static_region_words(cpus, static_pages(resolved))
    return {
        "policy": POLICY.SIZE,
        "stock": cpus * STOCK.SIZE,
        "static": static_words,
        "pools": pools_in_all(cpus) * POOL.SIZE,
        "user_words": cpus * USER_WORDS,
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
            seg[words + at + i] = source_id(policy, source)
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
    seg[words + POLICY.static_pages] = static_pages(resolved)
    seg[words + POLICY.grows] = int(uses(resolved, "grown"))
    seg[words + POLICY.grow_pages] = policy.pool.grow_pages
    seg[words + POLICY.grow_limit] = policy.pool.grow_limit_pages
    seg[words + POLICY.shrink_ns] = policy.pool.shrink_after_ns
    seg[words + POLICY.base_pages] = policy.pool.pages_per_cpu
    seg[words + POLICY.low_stock] = refill.low_stock_pages
    seg[words + POLICY.busy_ns] = refill.busy_page_us * 1000
    seg[words + POLICY.user_puts] = sum(1 << k for k, each in enumerate(policy.user_sources) if each.put_line)


def source_id(policy: ResolvedPolicy, name: str) -> int:
    """The number of a source, the user's own behind the built ones."""
    names = [each.name for each in policy.user_sources]
    return SRC_USER + names.index(name) if name in names else SOURCE_IDS[name]


def uses(resolved: Resolved, *names: str) -> bool:
    """Whether the composition has one of these sources."""
    return not set(names).isdisjoint(resolved.policy.sources + resolved.policy.one_arg_sources)


def static_pages(resolved: Resolved) -> int:
    """Pages of each CPU's static reserve."""
    return resolved.policy.pool.pages_per_cpu if uses(resolved, "static") else 0


def pool_pages(resolved: Resolved, plan: Plan) -> dict[int, tuple[int, int]]:
    """Pages that each pool begins with, by the offset of its words, and the CPU that they are taken near."""
    pool, base = resolved.policy.pool, plan.offsets["pools"]
    begins = {}
    for number, names in ((POOL_MEMPOOL, ("mempool", "mempool-raw")), (POOL_SHARED, ("shared-reserve",))):
        begins[base + number * POOL.SIZE] = (pool.pages_per_cpu * plan.cpus if uses(resolved, *names) else 0, 0)
    for cpu in range(plan.cpus):
        for which, pages in ((GROWN, pool.pages_per_cpu if uses(resolved, "grown") else 0),
                             (RESCUE, pool.rescue_pages if uses(resolved, "rescue") else 0)):
            begins[plan.cpu_pool(cpu, which)] = (pages, cpu)
    return begins


def boot_stocks(seg: Words, plan: Plan) -> None:
    """Whose lock covers each CPU's stock, and which worker fills it."""
    refill, workers = plan.resolved.policy.refill, plan.of_kind(PAGE_REFILL)
    for cpu in range(plan.cpus):
        stock = plan.stock(cpu)
        seg[stock + STOCK.lock] = plan.krc(cpu)
        seg[stock + STOCK.worker] = (workers[cpu] if refill.bound else workers[0]).index if workers else NOBODY


def boot_reserves(seg: Words, plan: Plan) -> None:
    """The pages that each CPU and each pool holds before time zero. ConfigError if memory has too few."""
    resolved, static = plan.resolved, plan.offsets["static"]
    pages = static_pages(resolved)
    cached = resolved.kvfree.min_cached_objs if resolved.kvfree.boot_fill else 0
    _, stride = static_region_words(plan.cpus, pages)
    seg[static] = stride
    for cpu in range(plan.cpus):
        mpmc_init(seg, static + STATIC_HEADER + cpu * stride, max(1, pages))
        if fill_static(seg, cpu, pages) + fill_cache(seg, cpu, cached) != pages + cached:
            raise ConfigError(f"memory.managed_pages = {resolved.memory.managed_pages}: too few for the pages that "
                              f"{plan.cpus} CPUs hold from the start ({pages + cached} each); raise it, or lower "
                              f"policy.pool.pages_per_cpu")
    for pool, (pages, cpu) in pool_pages(resolved, plan).items():
        if fill_pool(seg, cpu, pool, pages) != pages:
            raise ConfigError(f"memory.managed_pages = {resolved.memory.managed_pages}: too few for a pool of {pages} "
                              f"pages; raise it, or lower policy.pool.pages_per_cpu")
