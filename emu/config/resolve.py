"""Scenario in, Resolved out: every None filled, every time also in nanoseconds, every value's origin kept.

Holds   resolve() and the layers: user > formula that the composition forces > machine > policy preset > epoch >
        default.
Rule    a value is taken from the first layer that has it, and the layer's name is its provenance. Rules between
        keys are held against the values that come out, so a preset is checked like a file.
Limits  deterministic: no clock, no random number, no look at the host; the only file looked for is a trace.
After   configs/default.toml; kernel/rcu/tree.c (values), mm/page_alloc.c (formulas.py).
"""

from msgspec.structs import replace

from emu.config import formulas as kernel
from emu.config.load import Scenario
from emu.config.lockdep_keys import preempt_count
from emu.config.memory import resolve_memory
from emu.config.names import check_names
from emu.config.presets import EPOCHS, REFILL_KEYS, find_policy, source_rule
from emu.config.problems import enforce, raise_problems
from emu.config.resolved import (
    Resolved,
    ResolvedBurst,
    ResolvedKvfree,
    ResolvedPolicy,
    ResolvedPool,
    ResolvedRcu,
    ResolvedRcuscale,
    ResolvedReaders,
    ResolvedRefill,
    ResolvedReplay,
    ResolvedRun,
    ResolvedSlab,
    ResolvedWorkload,
    as_record,
    flatten,
)
from emu.config.rules import broken_rules, may_use_cache, refill_has_sense, remarks
from emu.config.schema import Contexts, all_keys
from emu.config.sheaf_keys import sheaf_values
from emu.config.user_sources import find_user_source, is_user_source
from emu.config.users_keys import resolve_series, resolve_users
from emu.config.vmscan_keys import resolve_apps, resolve_vmscan


def resolve(scenario: Scenario) -> Resolved:
    """The scenario with every value concrete. Raises ConfigError with all broken rules, one per line."""
    raise_problems(check_names(scenario.keys, scenario.folder), scenario.name_of)
    pick = _Layers(scenario)
    run = _run(pick)
    vmscan = resolve_vmscan(pick)
    memory = resolve_memory(pick, vmscan.kswapd)
    sources, one_arg = _sources(pick)
    kvfree = _kvfree(pick, run, uses_cache=may_use_cache(sources + one_arg))
    policy = _policy(pick, run, sources, one_arg, kvfree.min_cached_objs)
    resolved = Resolved(
        question=pick("question"), run=run, cpus=scenario.keys.cpus, processes=scenario.keys.processes, memory=memory,
        slab=_slab(pick), rcu=_rcu(pick, run), kvfree=kvfree, policy=policy,
        workload=_workload(pick, scenario), readers=_readers(pick), trace=scenario.keys.trace,
        lockdep=scenario.keys.lockdep, published=scenario.keys.published,
        vmscan=vmscan, apps=resolve_apps(scenario.keys.apps), monitor=scenario.keys.monitor,
        users=resolve_users(scenario.keys.users), hogs=scenario.keys.hogs, hotplug=scenario.keys.hotplug,
        cgroup=scenario.keys.cgroup, series=resolve_series(scenario.keys.series, run.duration_ms),
        provenance={}, notes=(),
    )
    forced = enforce(broken_rules(resolved, scenario), run.force, scenario.name_of)
    return replace(resolved, provenance=_provenance(resolved, pick), notes=forced + remarks(resolved, scenario))


class _Layers:
    """Dotted key -> value of the first layer that has one; remembers which layer that was."""

    def __init__(self, scenario):
        self.written, self.machine = scenario.written, scenario.machine
        self.epoch = EPOCHS[scenario.keys.run.epoch]
        self.preset = find_policy(scenario.keys.policy.preset)
        self.origin: dict[str, str] = {}
        self.folder = scenario.folder
        self._keys = scenario.keys
        self._preset_values = _preset_values(self.preset, self.epoch)
        self._epoch_values = _epoch_values(self.epoch, scenario.keys.run.preemption)

    def __call__(self, dotted, formula=None):
        """`formula` is the value where no other layer has one."""
        for name, value in self._candidates(dotted):
            if value is not None:
                self.origin[dotted] = name
                return value
        return self.computed(dotted, formula)

    def forced(self, dotted, value):
        """`value`, unless the user wrote another: what the composition leaves as the only sensible one."""
        return self(dotted) if dotted in self.written else self.computed(dotted, value)

    def section(self, name):
        """Every key of a section that has a default in the schema, by attribute."""
        keys = [key for key in all_keys().values() if key.section == name and key.default is not None]
        return {key.attribute: self(key.dotted) for key in keys}

    def computed(self, dotted, value):
        """`value`, whatever the layers have."""
        assert value is not None, f"{dotted} is left open by every layer"
        self.origin[dotted] = "formula"
        return value

    def _candidates(self, dotted):
        here = self._keys
        for part in dotted.split("."):
            here = getattr(here, part)
        yield "user" if dotted in self.written else "machine" if dotted in self.machine else "default", here
        yield "preset", self._preset_values.get(dotted)
        yield "epoch", self._epoch_values.get(dotted)


def _epoch_values(epoch, preemption):
    """The epoch's values. On PREEMPT_RT the kernel of v5.9 skips the allocator call: straight to the fallback."""
    if preemption != "rt":
        return epoch.values
    lists = {key: epoch.values[key] for key in ("policy.sources", "policy.one_arg_sources")}
    return epoch.values | {
        key: tuple(name for name in names if not source_rule(name).may_spin or source_rule(name).may_sleep)
        for key, names in lists.items()
    }


def _preset_values(preset, epoch):
    """What the policy preset puts over the epoch, by dotted key."""
    if preset.sources is None:
        return {}
    one_arg = preset.sources if preset.one_arg is None else preset.one_arg
    if preset.direct and preset.one_arg is None and "direct" in epoch.values["policy.one_arg_sources"]:
        one_arg += ("direct",)
    values = {
        "policy.sources": preset.sources,
        "policy.one_arg_sources": one_arg,
        "policy.pool.pages_per_cpu": preset.pages_per_cpu,
    }
    if not preset.refill_from:
        values["policy.refill.trigger"] = "none"
    elif epoch.values["policy.refill.trigger"] == "none":
        values |= {key: EPOCHS[preset.refill_from].values[key] for key in REFILL_KEYS}
    values |= preset.values
    return values


def _run(pick):
    own = pick.section("run")
    return ResolvedRun(
        **own,
        preempt_count=pick("run.preempt_count", preempt_count(own["preemption"])),
        duration_ns=own["duration_ms"] * kernel.NSEC_PER_MSEC,
        jiffy_ns=kernel.NSEC_PER_SEC // own["hz"],
        kernel=pick.epoch.kernel,
    )


def _slab(pick):
    own = pick.section("slab")
    if pick("workload.kind") == "rcuscale":
        object_bytes = kernel.rcuscale_object_bytes(pick("workload.rcuscale.mult"))
        own["object_bytes"] = pick.forced("slab.object_bytes", (object_bytes,))
    own["weights"] = _normalised(own["weights"])
    return ResolvedSlab(**own | sheaf_values(pick, own))


def _normalised(shares):
    whole = sum(shares)
    return tuple(share / whole for share in shares)


def _rcu(pick, run):
    own = pick.section("rcu")
    ncpu = pick("cpus.count")
    first = pick("rcu.jiffies_till_first_fqs", kernel.fqs_jiffies(run.hz, ncpu))
    following = pick("rcu.jiffies_till_next_fqs", kernel.fqs_jiffies(run.hz, ncpu))
    urge = kernel.sched_qs_jiffies(first, following, run.hz, ncpu)
    return ResolvedRcu(
        **own,
        jiffies_till_first_fqs=first, jiffies_till_next_fqs=following,
        first_fqs_ns=first * run.jiffy_ns, next_fqs_ns=following * run.jiffy_ns,
        sched_qs_jiffies=urge, sched_qs_ns=urge * run.jiffy_ns,
        stall_timeout_ns=own["stall_timeout_ms"] * kernel.NSEC_PER_MSEC,
        others_ns=kernel.NSEC_PER_SEC // own["other_gp_per_s"] if own["other_gp_per_s"] else 0,
    )


def _sources(pick):
    """Sources of two-argument and of one-argument calls. Who writes the first alone gets the same for the second,
    and the allocator after them where the epoch's one-argument calls go there."""
    sources = pick("policy.sources")
    if "policy.sources" not in pick.written:
        return sources, pick("policy.one_arg_sources")
    direct = ("direct",) if "direct" in pick.epoch.values["policy.one_arg_sources"] else ()
    return sources, pick.forced("policy.one_arg_sources", sources + direct)


def _kvfree(pick, run, uses_cache):
    """A cache that no source takes from is not kept: freed bnodes would fill it for nothing.

    Without batching the rules are call_rcu()'s: at once, on the CPU itself, each object waiting in a callback segment.
    """
    own = pick.section("kvfree")
    batching = own["batching"]
    as_set = pick if batching else pick.computed
    records = pick("kvfree.bnode_records")
    kept = uses_cache and batching
    cached = pick("kvfree.min_cached_objs") if kept else pick.forced("kvfree.min_cached_objs", 0)
    drain_ms = as_set("kvfree.drain_ms", None if batching else 0)
    flood = as_set("kvfree.flood_drain_jiffies", None if batching else 0)
    drain = kernel.ms_to_jiffies(drain_ms, run.hz)
    return ResolvedKvfree(
        **own,
        bnode_records=records, min_cached_objs=cached,
        boot_fill=pick("kvfree.boot_fill") if cached else pick.forced("kvfree.boot_fill", False),
        drain_ms=drain_ms, flood_drain_jiffies=flood,
        polled_cookies=as_set("kvfree.polled_cookies", None if batching else False),
        attach=as_set("kvfree.attach", None if batching else "whole-slot"),
        work_bound=as_set("kvfree.work_bound", None if batching else True), freed_page_to=pick("kvfree.freed_page_to"),
        shrinker=pick("kvfree.shrinker"),
        drain_jiffies=drain, drain_ns=drain * run.jiffy_ns,
        flood_objects=records if flood else 0, flood_drain_ns=flood * run.jiffy_ns,
        work_delay_ns=own["work_delay_ms"] * kernel.NSEC_PER_MSEC,
    )


def _policy(pick, run, sources, one_arg, cached):
    pick("policy.preset")
    named = sources + one_arg
    refill = _refill(pick, run, cached, pointless=not refill_has_sense(pick.epoch, named, cached))
    return ResolvedPolicy(
        preset=pick.preset.name, title=pick.preset.title, sources=sources, one_arg_sources=one_arg,
        refill=refill, pool=_pool(pick, [source_rule(name) for name in named]), user_sources=user_sources(pick, named),
    )


def _refill(pick, run, cached, pointless):
    own = pick.section("policy.refill")
    path, backoff = pick("policy.refill.path"), pick("policy.refill.backoff_ms")
    delayed = path == "delayed"
    trigger = pick.forced("policy.refill.trigger", "none") if pointless else pick("policy.refill.trigger")
    delay = pick("policy.refill.delay_jiffies") if delayed else pick.forced("policy.refill.delay_jiffies", 0)
    return ResolvedRefill(
        **own,
        trigger=trigger,
        path=path, delay_jiffies=delay, bound=pick("policy.refill.bound"),
        gfp=pick("policy.refill.gfp"), amount=pick("policy.refill.amount", cached),
        stop_on_failure=pick("policy.refill.stop_on_failure"), count_from=pick("policy.refill.count_from"),
        low_stock_pages=pick("policy.refill.low_stock_pages", -(-cached // 2) if trigger == "low-stock" else 0),
        busy_page_us=pick("policy.refill.busy_page_us", 0),
        backoff_ms=backoff, delay_ns=delay * run.jiffy_ns, backoff_ns=backoff * kernel.NSEC_PER_MSEC, backoff_amount=1,
    )


def _pool(pick, rules):
    pages, uses_pool = "policy.pool.pages_per_cpu", any(rule.uses_pool for rule in rules)
    shrink_ms = pick("policy.pool.shrink_after_ms", 0)
    return ResolvedPool(
        pages_per_cpu=pick(pages) if uses_pool else pick.forced(pages, 0),
        grow_pages=pick("policy.pool.grow_pages", 0), grow_limit_pages=pick("policy.pool.grow_limit_pages", 0),
        shrink_after_ms=shrink_ms, rescue_pages=pick("policy.pool.rescue_pages", 0),
        shrink_after_ns=shrink_ms * kernel.NSEC_PER_MSEC,
    )


def user_sources(pick, named):
    """The functions behind the user's own sources, each once, in the order in which they are named first."""
    names = dict.fromkeys(name for name in named if is_user_source(name))
    return tuple(find_user_source(name, pick.folder) for name in names)


def _workload(pick, scenario):
    own = pick.section("workload")
    rcuscale = pick.section("workload.rcuscale")
    if own["kind"] == "rcuscale":
        share = kernel.RCUSCALE_ONE_ARG_SHARE[rcuscale["single_double"]]
        own["one_arg_share"] = pick.forced("workload.one_arg_share", share)
    burst, replay = pick.section("workload.burst"), pick.section("workload.replay")
    shares = pick.section("workload.contexts")
    whole = sum(shares.values()) or 1.0
    trace_path = str(scenario.folder / replay["trace"]) if own["kind"] == "replay" and replay["trace"] else ""
    if rcuscale["threads"] == 0:
        rcuscale["threads"] = pick.computed("workload.rcuscale.threads", pick("cpus.count"))
    return ResolvedWorkload(
        **own,
        interval_ns=kernel.NSEC_PER_SEC / own["rate_per_s"] if own["rate_per_s"] else 0.0,
        contexts=Contexts(**{name: share / whole for name, share in shares.items()}),
        burst=ResolvedBurst(
            **burst,
            gap_ns=burst["gap_ms"] * kernel.NSEC_PER_MSEC, period_ns=burst["period_ms"] * kernel.NSEC_PER_MSEC,
        ),
        rcuscale=ResolvedRcuscale(
            **rcuscale,
            loop_sleep_ns=rcuscale["loop_sleep_ms"] * kernel.NSEC_PER_MSEC,
            calls_per_thread=rcuscale["loops"] * rcuscale["alloc_num"],
        ),
        replay=ResolvedReplay(
            **replay, pause_ns=replay["pause_ms"] * kernel.NSEC_PER_MSEC,
            busy_gap_ns=replay["busy_gap_us"] * 1000, trace_path=trace_path,
        ),
    )


def _readers(pick):
    own = pick.section("readers")
    return ResolvedReaders(**own, length_ns=own["length_us"] * 1000)


def _provenance(resolved, pick):
    """Origin of every value of the record. What is no key of the file was computed."""
    values, _ = as_record(resolved)
    values.pop("notes")
    known = all_keys()
    return {
        dotted: pick.origin.get(dotted) or _plain_origin(dotted, pick, known) for dotted in flatten(values)
    }


def _plain_origin(dotted, pick, known):
    if dotted not in known:
        return "formula"
    return "user" if dotted in pick.written else "machine" if dotted in pick.machine else "default"
