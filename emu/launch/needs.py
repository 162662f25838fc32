"""Which compiled functions a run can meet: what its scenario leaves out need not be compiled for it.

Holds   needed(): the entries of a run, each with its symbol.
Rule    a module is left out only where the scenario cannot reach it. What is met all the same is compiled by the
        process that meets it; the run goes on, late, and the result is marked (late_compilations()).
"""

from collections.abc import Callable
from typing import Any

from emu.arch import apart_functions
from emu.boot import plan_roles
from emu.config import Resolved
from emu.shm import APP, HOG, KSWAPD, MONITOR, SAMPLER, USER


def has_own(sources: set) -> bool:
    """Whether a source is a function of the user's own, which may call whatever emu.policy.api has."""
    return any(".py:" in source for source in sources)


# Reclaim itself: entered by kswapd, and by callers on a machine that reclaims.
RECLAIM_MODULES = tuple(f"vmscan.{name}" for name in ("direct", "lru", "oom", "psi", "shrink", "shrinker", "zram"))

# Module -> whether a run with these values, sources and roles can reach its functions. Not listed: every run can.
REACHED: dict[str, Callable[[Resolved, set, set], bool]] = {
    "kvfree.sheaf": lambda resolved, sources, roles: resolved.slab.sheaf_capacity > 0,
    "mm.nolock": lambda resolved, sources, roles: (
        "trylock" in sources or has_own(sources) or resolved.workload.contexts.nmi > 0),
    "policy.grow": lambda resolved, sources, roles: bool(sources & {"grown", "rescue"}),
    "policy.softirq": lambda resolved, sources, roles: resolved.policy.refill.path == "softirq",
    "policy.sources.grown": lambda resolved, sources, roles: bool(sources & {"grown", "rescue"}),
    "policy.sources.lists": lambda resolved, sources, roles: has_own(sources) or bool(
        sources & {"no-locks", "no-locks-late", "gfp-zero", "freelist-copy", "trylock"}),
    "policy.sources.mempool": lambda resolved, sources, roles: bool(sources & {"mempool", "mempool-raw"}),
    "policy.sources.shared": lambda resolved, sources, roles: (
        "shared-reserve" in sources or any(user.kind == "greedy" for user in resolved.users)),
    "policy.sources.throttle": lambda resolved, sources, roles: "throttle" in sources,
    "policy.user": lambda resolved, sources, roles: has_own(sources),
    "users.hog": lambda resolved, sources, roles: HOG in roles,
    "users.kinds": lambda resolved, sources, roles: USER in roles,
    "users.series": lambda resolved, sources, roles: SAMPLER in roles,
    "users.user": lambda resolved, sources, roles: USER in roles,
    "vmscan.apps": lambda resolved, sources, roles: APP in roles,
    **dict.fromkeys(RECLAIM_MODULES, lambda resolved, sources, roles: resolved.vmscan.psi),
    # A CPU that goes offline empties its krc's cache as the shrinker does.
    "kvfree.shrinker": lambda resolved, sources, roles: resolved.vmscan.psi or resolved.hotplug.cpu >= 0,
    "rcu.hotplug": lambda resolved, sources, roles: resolved.hotplug.cpu >= 0,
    "workload.hotplug": lambda resolved, sources, roles: resolved.hotplug.cpu >= 0,
    "vmscan.kswapd": lambda resolved, sources, roles: KSWAPD in roles,
    "vmscan.monitor": lambda resolved, sources, roles: MONITOR in roles,
    "workload.contexts": lambda resolved, sources, roles: resolved.workload.contexts.task < 1.0,
}


def needed(resolved: Resolved, mains: dict[int, Callable]) -> tuple[dict[str, Any], dict[int, Callable]]:
    """(functions compiled apart by symbol, mains by role) that a run of this scenario can meet."""
    roles = {role.kind for role in plan_roles(resolved)}
    sources = set(resolved.policy.sources + resolved.policy.one_arg_sources)
    left_out = {f"emu.{module}" for module, reached in REACHED.items() if not reached(resolved, sources, roles)}
    functions = {each.symbol: each for each in apart_functions()
                 if each.module not in left_out and not each.module.startswith(tuple(f"{m}." for m in left_out))}
    return functions, {role: main for role, main in mains.items() if role in roles}
