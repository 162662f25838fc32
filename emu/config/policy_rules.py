"""Rules of [policy]: compositions that cannot work, and those that can be run only to see them fail.

Holds   POLICY_RULES.
Rule    as in rules.py. A rule whose breach is safe to run, because the emulated lockdep or the allocator fails the
        calls that it is about, yields forceable problems: --force turns them into marks on the result.
"""

from emu.config.presets import SOURCES, source_rule
from emu.config.problems import Problem
from emu.config.user_sources import is_user_source

_RAW = ("hardirq", "raw_lock", "zone_lock", "in_allocator", "nmi")


def _named(resolved):
    return resolved.policy.sources + resolved.policy.one_arg_sources


def _words(names):
    return " or ".join(f'"{name}"' for name in names)


def _pool(resolved, scenario):
    pool, named = resolved.policy.pool, _named(resolved)
    users = [name for name, rule in SOURCES.items() if rule.uses_pool]
    pooled = [name for name in named if source_rule(name).uses_pool]
    if pooled and pool.pages_per_cpu == 0 and not all(source_rule(name).grows for name in pooled):
        rule = f'must be at least 1 when a source is "{pooled[0]}"'
        yield Problem("policy.pool.pages_per_cpu", rule, "for example pages_per_cpu = 32", 0)
    if not pooled and pool.pages_per_cpu:
        rule = "must be 0: no source takes from a pool"
        yield Problem("policy.pool.pages_per_cpu", rule, f"remove it, or add {_words(users)} to policy.sources",
                      pool.pages_per_cpu)


def _growth(resolved, scenario):
    pool, named = resolved.policy.pool, _named(resolved)
    grows = any(source_rule(name).grows for name in named)
    for leaf in ("grow_pages", "grow_limit_pages", "shrink_after_ms"):
        if getattr(pool, leaf) and not grows:
            yield Problem(f"policy.pool.{leaf}", "must be 0: no source of this policy grows its pool",
                          'remove it, or add "grown" to policy.sources', getattr(pool, leaf))
    if grows and pool.grow_pages and pool.grow_limit_pages <= pool.pages_per_cpu:
        rule = f"must be above policy.pool.pages_per_cpu = {pool.pages_per_cpu}, or the pool never grows"
        yield Problem("policy.pool.grow_limit_pages", rule, "raise it, or set grow_pages = 0", pool.grow_limit_pages)
    if grows and pool.grow_pages and resolved.policy.refill.trigger == "none":
        yield Problem("policy.refill.trigger", 'must not be "none" when a pool grows: the worker grows it',
                      'set trigger = "miss", or grow_pages = 0', "none")
    rescues = any(source_rule(name).rescues for name in named)
    if rescues and not pool.rescue_pages:
        yield Problem("policy.pool.rescue_pages", 'must be at least 1 when a source is "rescue"',
                      "for example rescue_pages = 4", 0)
    if pool.rescue_pages and not rescues:
        yield Problem("policy.pool.rescue_pages", "must be 0: no source takes from a rescue reserve",
                      'remove it, or add "rescue" to policy.sources', pool.rescue_pages)


def _pools_fit(resolved, scenario):
    pool, ncpu, managed = resolved.policy.pool, resolved.cpus.count, resolved.memory.managed_pages
    pools = sum(source_rule(name).uses_pool for name in dict.fromkeys(_named(resolved)))
    taken = ncpu * (pools * pool.pages_per_cpu + pool.rescue_pages)
    if taken > managed // 2 and pools > 1:
        rule = f"takes {taken} pages for {ncpu} CPUs and {pools} pools, more than half of the {managed} managed pages"
        yield Problem("policy.pool.pages_per_cpu", rule, "lower it, or raise memory.managed_pages", pool.pages_per_cpu)
    if ncpu * pool.rescue_pages > managed // 2:
        rule = f"takes {ncpu * pool.rescue_pages} pages, more than half of the {managed} managed pages"
        yield Problem("policy.pool.rescue_pages", rule, "lower it, or raise memory.managed_pages", pool.rescue_pages)
    if ncpu * pool.grow_limit_pages > managed:
        rule = f"lets {ncpu} pools grow to {ncpu * pool.grow_limit_pages} pages, more than the {managed} managed ones"
        yield Problem("policy.pool.grow_limit_pages", rule, "lower it, or raise memory.managed_pages",
                      pool.grow_limit_pages, forceable=True)


def _low_stock(resolved, scenario):
    refill, cached = resolved.policy.refill, resolved.kvfree.min_cached_objs
    on_low = refill.trigger == "low-stock"
    for leaf in ("low_stock_pages", "busy_page_us"):
        if getattr(refill, leaf) and not on_low:
            yield Problem(f"policy.refill.{leaf}", f'must be 0 when policy.refill.trigger = "{refill.trigger}"',
                          'remove it, or set trigger = "low-stock"', getattr(refill, leaf))
    if on_low and refill.low_stock_pages > cached:
        rule = f"must be at most kvfree.min_cached_objs = {cached}: the cache can hold no more"
        yield Problem("policy.refill.low_stock_pages", rule, "lower it, or raise min_cached_objs",
                      refill.low_stock_pages)
    if on_low and not any(name == "cache" or is_user_source(name) for name in _named(resolved)):
        yield Problem("policy.refill.trigger", 'must not be "low-stock" when no source is "cache"',
                      'add "cache" to policy.sources', refill.trigger)
    if refill.path == "softirq" and refill.trigger != "none" and refill.gfp in ("kernel", "kernel-noretry"):
        yield Problem("policy.refill.gfp", 'must not sleep when policy.refill.path = "softirq"',
                      'use "nowait" or "atomic"', refill.gfp)


def _behind_the_last(resolved, scenario):
    """What waits until it has a page, or a grace period, leaves nothing to do for whoever comes after it."""
    names = resolved.policy.one_arg_sources
    for i, name in enumerate(names[:-1]):
        if name in ("mempool", "throttle"):
            rule = "waits until it has a page: sources behind it are never asked"
            yield Problem(f"policy.one_arg_sources[{i}]", rule, "put it last", name)
            return


def _illegal_contexts(resolved, scenario):
    """A source that may not be asked in any context that calls are made in."""
    workload, shares = resolved.workload, resolved.workload.contexts
    raw_only = sum(getattr(shares, name) for name in _RAW) > 1.0 - 1e-9
    no_task = shares.task == 0.0
    key = "policy.sources" if "policy.sources" in scenario.written else "policy.preset"
    for i, name in enumerate(resolved.policy.sources):
        if source_rule(name).may_spin and raw_only:
            where = f"{key}[{i}]" if key == "policy.sources" else key
            rule = (f'source "{name}" takes spinlocks, which sleep on RT: illegal in every call that '
                    "workload.contexts makes (raw locks, hard interrupts)")
            yield Problem(where, rule, 'use sources that are legal there, such as "cache" or "trylock"',
                          name if key == "policy.sources" else resolved.policy.preset, forceable=True)
    for name in dict.fromkeys(_named(resolved)):
        if name == "gate" and not resolved.run.preempt_count:
            rule = 'must be true: preemptible() is else always 0, and source "gate" never opens'
            yield Problem("run.preempt_count", rule, "set it to true, or drop the gate", False, forceable=True)
        elif name in ("gate", "mempool", "throttle") and source_rule(name).may_sleep and no_task and (
                name != "mempool" or raw_only):
            rule = f'must be above 0: source "{name}" sleeps, and no other context may'
            yield Problem("workload.contexts.task", rule, "raise it, or use a source that does not sleep", 0.0,
                          forceable=True)
    if "throttle" in resolved.policy.one_arg_sources and workload.one_arg_share == 0:
        rule = 'must be above 0: only one-argument calls are throttled by source "throttle"'
        yield Problem("workload.one_arg_share", rule, "for example one_arg_share = 0.5", 0.0, forceable=True)


def _attack(resolved, scenario):
    if resolved.policy.preset == "S16" and not any(user.kind == "pcp_hog" for user in resolved.users):
        rule = "is the strategy under attack, and nobody attacks"
        yield Problem("policy.preset", rule, 'add [[users]] with kind = "pcp_hog"', "S16", forceable=True)


POLICY_RULES = (_pool, _growth, _pools_fit, _low_stock, _behind_the_last, _illegal_contexts, _attack)
