"""Rules between keys, held against the values that came out, and remarks about what a scenario will not read.

Holds   broken_rules() over the table RULES, remarks() over the table REMARKS.
Rule    one function per subject; each yields Problems named after the key that the user would change.
        A rule looks at resolved values, so a preset is held to the same rules as a file.
Limits  types and ranges are check.py's, names are names.py's. Nothing of the host is looked at but the trace file.
"""

from pathlib import Path

from emu.config.formulas import PAGE_BYTES, RCUSCALE_ONE_ARG_SHARE, rcuscale_object_bytes
from emu.config.lockdep_keys import lockdep_remarks
from emu.config.memory import memory_rules
from emu.config.policy_rules import POLICY_RULES
from emu.config.presets import EPOCHS, source_rule
from emu.config.problems import Problem
from emu.config.published_keys import published_rules
from emu.config.schema import Processes
from emu.config.sheaf_keys import sheaf_remarks, sheaf_rules
from emu.config.user_sources import is_user_source
from emu.config.users_keys import USERS_RULES, users_remarks
from emu.config.vmscan_keys import VMSCAN_RULES, vmscan_remarks

_COOKIE_RECORDS_MAX = 507  # of a 4-KiB page, once its header holds a full cookie
_ROLES = Processes.__struct_fields__


def broken_rules(resolved, scenario) -> list[Problem]:
    """Every rule between keys that this scenario breaks."""
    return [problem for rule in RULES for problem in rule(resolved, scenario)]


def remarks(resolved, scenario) -> tuple[str, ...]:
    """Plain sentences about what is worth knowing and stops nothing."""
    return tuple(remark for each in REMARKS for remark in each(resolved, scenario))


def refill_has_sense(epoch, sources, cached) -> bool:
    """Whether a refill request would reach a worker: it fills the krc cache, or lets a pool grow."""
    if any(source_rule(name).grows for name in sources):
        return True
    return may_use_cache(sources) and (cached > 0 or not epoch.refill_needs_cache)


def may_use_cache(sources) -> bool:
    """Whether a source takes from the krc cache: a function of the user's own may."""
    return "cache" in sources or any(is_user_source(name) for name in sources)


def _powers_of_two(resolved, scenario):
    for key, value in (
        ("slab.live_objects", resolved.slab.live_objects),
        ("trace.events_per_process", resolved.trace.events_per_process),
    ):
        if value & (value - 1):
            near = 1 << value.bit_length()
            yield Problem(key, "must be a power of two", f"for example {near >> 1} or {near}", value)


def _weights(resolved, scenario):
    sizes, weights = resolved.slab.object_bytes, scenario.keys.slab.weights
    if len(sizes) != len(weights):
        rule = f"must have as many elements as slab.object_bytes, which has {len(sizes)}"
        yield Problem("slab.weights", rule, f"for example weights = [{', '.join('1' for _ in sizes)}]", weights)


def _scheduling(resolved, scenario):
    for role in _ROLES:
        process = getattr(resolved.processes, role)
        name = f"processes.{role}"
        realtime = process.sched_class in ("fifo", "rr")
        if realtime and process.priority == 0:
            rule = f'must be 1 to 99 when {name}.class = "{process.sched_class}"'
            yield Problem(f"{name}.priority", rule, "for example priority = 1", process.priority)
        if not realtime and process.priority:
            rule = f'must be 0 when {name}.class = "{process.sched_class}"'
            yield Problem(f"{name}.priority", rule, 'use nice, or class = "fifo"', process.priority)
        if process.nice and process.sched_class not in ("other", "batch"):
            rule = f'must be 0 when {name}.class = "{process.sched_class}"'
            yield Problem(f"{name}.nice", rule, 'use priority, or class = "other"', process.nice)


def _cores(resolved, scenario):
    for key, value in (("cpus.cores", resolved.cpus.cores), ("cpus.housekeeping", resolved.cpus.housekeeping)):
        if not value:
            yield Problem(key, "must name at least one core", f'for example {key.split(".")[1]} = "auto"', value)


def _marks(resolved, scenario):
    memory = resolved.memory
    if memory.wmark_high * 2 > memory.zones[0].managed_pages:
        rule = f"puts the HIGH mark at {memory.wmark_high} pages, above half of memory.managed_pages"
        key = "memory.min_free_kbytes"
        if "memory.watermark_scale_factor" in scenario.written and key not in scenario.written:
            key = "memory.watermark_scale_factor"
        yield Problem(key, rule, "lower it, or raise memory.managed_pages", getattr(memory, key.split(".")[1]))


def _pcp(resolved, scenario):
    memory = resolved.memory
    if "memory.pcp_high" in scenario.written and memory.pcp_rule == "v6.7":
        rule = f'is tuned by itself when memory.pcp_rule = "{memory.pcp_rule}"'
        yield Problem("memory.pcp_high", rule, 'remove it, or set pcp_rule = "v5.9"', memory.pcp_high)
    elif 0 < memory.pcp_high < memory.pcp_batch:
        rule = f"must be 0 or at least memory.pcp_batch, which is {memory.pcp_batch}"
        yield Problem("memory.pcp_high", rule, "the kernel takes 6 batches", memory.pcp_high)


def _room(resolved, scenario):
    """What is taken at boot has to leave half of memory."""
    memory, ncpu, half = resolved.memory, resolved.cpus.count, resolved.memory.managed_pages // 2
    largest = max(resolved.slab.object_bytes)
    for key, value, pages in (
        ("policy.pool.pages_per_cpu", resolved.policy.pool.pages_per_cpu, resolved.policy.pool.pages_per_cpu * ncpu),
        ("kvfree.min_cached_objs", resolved.kvfree.min_cached_objs, resolved.kvfree.min_cached_objs * ncpu),
        ("slab.live_objects", resolved.slab.live_objects, resolved.slab.live_objects * ncpu * largest // PAGE_BYTES),
    ):
        if pages > half:
            rule = f"takes {pages} pages for {ncpu} CPUs, more than half of the {memory.managed_pages} managed pages"
            yield Problem(key, rule, "lower it, or raise memory.managed_pages", value)


def _cache(resolved, scenario):
    kvfree = resolved.kvfree
    if kvfree.polled_cookies and kvfree.bnode_records > _COOKIE_RECORDS_MAX:
        rule = f"must be at most {_COOKIE_RECORDS_MAX} when kvfree.polled_cookies = true (the cookie takes its room)"
        yield Problem("kvfree.bnode_records", rule, "lower it, or set polled_cookies = false", kvfree.bnode_records)
    if kvfree.min_cached_objs and not _has_cache(resolved):
        rule = 'must be 0 when no source is "cache", since nothing would take the pages'
        yield Problem("kvfree.min_cached_objs", rule, 'add "cache" to policy.sources', kvfree.min_cached_objs)
    if kvfree.boot_fill and not kvfree.min_cached_objs:
        rule = "has nothing to fill when kvfree.min_cached_objs = 0"
        yield Problem("kvfree.boot_fill", rule, "set it to false, or raise min_cached_objs", True)


def _has_cache(resolved):
    return may_use_cache(resolved.policy.sources + resolved.policy.one_arg_sources)


def _refill(resolved, scenario):
    policy, refill = resolved.policy, resolved.policy.refill
    epoch, cached = EPOCHS[resolved.run.epoch], resolved.kvfree.min_cached_objs
    if refill.trigger != "none" and not refill_has_sense(epoch, policy.sources + policy.one_arg_sources, cached):
        lacks = 'no source is "cache"' if not _has_cache(resolved) else "kvfree.min_cached_objs = 0"
        rule = f'must be "none" when {lacks}: the worker fills that cache'
        yield Problem("policy.refill.trigger", rule, "remove it, or give the policy a cache", refill.trigger)
    if refill.delay_jiffies and refill.path != "delayed":
        rule = f'must be 0 when policy.refill.path = "{refill.path}"'
        yield Problem("policy.refill.delay_jiffies", rule, 'remove it, or set path = "delayed"', refill.delay_jiffies)
    if refill.hrtimer_cost_ns and refill.path != "hrtimer":
        rule = f'must be 0 when policy.refill.path = "{refill.path}"'
        way_out = 'remove it, or set path = "hrtimer"'
        yield Problem("policy.refill.hrtimer_cost_ns", rule, way_out, refill.hrtimer_cost_ns)


def _rate(resolved, scenario):
    kind, rate = resolved.workload.kind, resolved.workload.rate_per_s
    if kind in ("constant", "poisson") and rate == 0:
        rule = f'must be above 0 when workload.kind = "{kind}"'
        yield Problem("workload.rate_per_s", rule, 'for example rate_per_s = 100_000, or kind = "flood"', rate)
    if kind in ("flood", "rcuscale", "replay") and rate:
        rule = f'must be 0 when workload.kind = "{kind}", which sets its own pace'
        yield Problem("workload.rate_per_s", rule, 'remove it, or use kind = "constant"', rate)


def _contexts(resolved, scenario):
    workload, written = resolved.workload, scenario.keys.workload.contexts
    shares = {name: getattr(written, name) for name in written.__struct_fields__}
    total = sum(shares.values())
    if abs(total - 1.0) > 1e-6:
        rest = max(0.0, 1.0 - (total - shares["task"]))
        way_out = f"for example task = {rest:.6g}" if rest else "lower the others"
        yield Problem("workload.contexts", f"shares must sum to 1, and sum to {total:.6g}", way_out)
    elif workload.one_arg_share > workload.contexts.task + 1e-6:
        rule = f"must be at most workload.contexts.task = {workload.contexts.task:.6g}: a one-argument call may sleep"
        yield Problem("workload.one_arg_share", rule, "lower it, or raise contexts.task", workload.one_arg_share)


def _rcuscale(resolved, scenario):
    if resolved.workload.kind != "rcuscale":
        return
    rcuscale = resolved.workload.rcuscale
    if rcuscale.threads > resolved.cpus.count:
        rule = f"must be at most cpus.count = {resolved.cpus.count}: a mutator is one CPU"
        yield Problem("workload.rcuscale.threads", rule, "lower it, or raise cpus.count", rcuscale.threads)
    share = RCUSCALE_ONE_ARG_SHARE[rcuscale.single_double]
    if resolved.workload.one_arg_share != share:
        rule = f'is {share} when workload.rcuscale.single_double = "{rcuscale.single_double}"'
        yield Problem("workload.one_arg_share", rule, "remove it", resolved.workload.one_arg_share)
    size = rcuscale_object_bytes(rcuscale.mult)
    if resolved.slab.object_bytes != (size,):
        rule = f"is [{size}] when workload.rcuscale.mult = {rcuscale.mult}"
        yield Problem("slab.object_bytes", rule, "remove it, and choose mult", resolved.slab.object_bytes)


def _replay(resolved, scenario):
    replay = resolved.workload.replay
    if resolved.workload.kind != "replay":
        return
    if not replay.trace:
        rule = 'must name a recorded trace when workload.kind = "replay"'
        yield Problem("workload.replay.trace", rule, "a path that starts at the scenario file's folder", replay.trace)
    elif not _is_file(replay.trace_path):
        rule = f"no such file seen from the scenario's folder ({replay.trace_path})"
        yield Problem("workload.replay.trace", rule, "paths start at the scenario file's folder", replay.trace)
    if not replay.event:
        yield Problem("workload.replay.event", "must name an event", 'for example event = "kvfree_call_rcu"', "")


def _is_file(path):
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False


def _sync_only(resolved, scenario):
    if resolved.policy.preset == "S20" and resolved.workload.one_arg_share == 0:
        rule = 'must be above 0 when policy.preset = "S20": only one-argument calls wait for a grace period'
        yield Problem("workload.one_arg_share", rule, "for example one_arg_share = 1.0", 0.0)


RULES = (
    _powers_of_two, _weights, _scheduling, _cores, _marks, _pcp, _room, _cache, _refill, *POLICY_RULES, _rate,
    _contexts, _rcuscale, _replay, _sync_only, memory_rules, sheaf_rules, *USERS_RULES, *VMSCAN_RULES, published_rules,
)


def _unread_tables(resolved, scenario):
    for kind in ("burst", "rcuscale", "replay"):
        prefix = f"workload.{kind}."
        default = getattr(type(scenario.keys.workload)(), kind)
        touched = any(key.startswith(prefix) for key in scenario.written)
        if touched and resolved.workload.kind != kind and getattr(scenario.keys.workload, kind) != default:
            yield f'[workload.{kind}] is not read: workload.kind = "{resolved.workload.kind}"'


def _unread_keys(resolved, scenario):
    workload = resolved.workload
    if workload.resched_every_calls and resolved.run.preemption in ("full", "rt"):
        yield f'workload.resched_every_calls is not read: run.preemption = "{resolved.run.preemption}"'
    if workload.kind == "burst" and workload.burst.period_ms and "workload.burst.gap_ms" in scenario.written:
        yield "workload.burst.gap_ms is not read: workload.burst.period_ms sets the schedule"


def _overload(resolved, scenario):
    workload = resolved.workload
    if workload.kind in ("constant", "poisson") and 0 < workload.interval_ns < workload.call_cost_ns:
        yield "the rate is beyond what call_cost_ns allows: calls will be late, more and more"


def _idle_machine(resolved, scenario):
    if resolved.run.machine and not scenario.machine:
        yield f'run.machine = "{resolved.run.machine}" changes nothing: every key of it is written in the scenario'


def _simplified(resolved, scenario):
    if resolved.run.epoch == "E59" and resolved.policy.preset == "epoch" and resolved.run.preemption == "rt":
        yield "E59 with rt: the kernel skips the allocator call, so source nowait is left out"


REMARKS = (
    _unread_tables, _unread_keys, _overload, _idle_machine, _simplified, lockdep_remarks, sheaf_remarks, users_remarks,
    vmscan_remarks,
)
