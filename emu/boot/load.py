"""What the mutators are to do: objects, calls and readers of each, recorded arrivals."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved
from emu.shm import round_to_line
from emu.workload import CONTEXT_BITS, CONTEXT_NAMES, KINDS, LOAD, NEVER, ONE, seed_state
from emu.workload.ftrace import CONTEXTS, RecordedDemand

RECORDED_CONTEXT = {
    "task_preemptible": "task", "task_atomic": "task_atomic", "softirq": "softirq", "hardirq": "hardirq",
}


def live_slots(resolved: Resolved) -> int:
    """Slots of RCU-protected objects per CPU: a power of two."""
    return 1 << (resolved.slab.live_objects - 1).bit_length()


def pack_schedules(resolved: Resolved, demand: RecordedDemand | None) -> tuple[list[list[int]], int]:
    """Recorded demand as schedule words per emulated CPU (recorded CPUs are dealt in turn), and its span in ns."""
    cpus = resolved.cpus.count
    if demand is None:
        return [[] for _ in range(cpus)], 0
    scale = resolved.workload.replay.time_scale
    context_of = [CONTEXT_NAMES.index(RECORDED_CONTEXT[name]) for name in CONTEXTS]
    packed = []
    for cpu in range(cpus):
        recorded = demand.cpus[cpu % len(demand.cpus)]
        packed.append([int(t * 1000 * scale) << CONTEXT_BITS | context_of[c] for t, c in recorded.calls()])
    return packed, int(demand.span_us * 1000 * scale)


def load_regions(resolved: Resolved, schedules: list[list[int]]) -> dict[str, int]:
    """Words of the regions of the mutators' loads; `schedules` from pack_schedules()."""
    cpus = resolved.cpus.count
    return {
        "workload": cpus * LOAD.SIZE,
        "slots": cpus * round_to_line(live_slots(resolved)),
        "schedule": sum(round_to_line(len(s)) for s in schedules),
    }


def boot_loads(seg: Words, plan: Plan) -> None:
    """Every mutator's load."""
    for cpu in range(plan.cpus):
        boot_load(seg, plan, cpu)


def boot_load(seg: Words, plan: Plan, cpu: int) -> None:
    """What one mutator is to do."""
    resolved, load = plan.resolved, plan.load(cpu)
    work = resolved.workload
    threads = work.rcuscale.threads if work.kind == "rcuscale" else resolved.cpus.count
    one_arg = work.one_arg_share
    if work.kind == "rcuscale":
        one_arg = {"double": 0.0, "single": 1.0, "mixed": 0.5}[work.rcuscale.single_double]
    if one_arg > 0:  # a share of all calls, drawn among those made in task context
        one_arg = min(1.0, one_arg / work.contexts.task)
    values = {
        "kind": KINDS[work.kind],
        "interval_ns": int(work.interval_ns),
        "call_cost_ns": burst_pace(resolved),
        "resched_every": work.resched_every_calls,
        "one_arg": int(one_arg * ONE),
        "vmalloc": int(work.vmalloc_share * ONE),
        "sample_every": work.sample_every,
        "max_calls": work.max_calls,
        "takes_part": int(cpu < threads),
        "burst_calls": work.burst.calls,
        "gap_ns": work.burst.gap_ns,
        "period_ns": work.burst.period_ns,
        "loops": work.rcuscale.loops,
        "alloc_num": work.rcuscale.alloc_num,
        "loop_sleep_ns": work.rcuscale.loop_sleep_ns,
        "pause_ns": int(work.replay.pause_ns * work.replay.time_scale),
        "repeat": work.replay.repeat,
        "busy_gap_ns": int(work.replay.busy_gap_ns * work.replay.time_scale),
        "whole_burst": int(resolved.run.preemption in ("none", "voluntary")),
        "live": live_slots(resolved),
        "sheaves": int(resolved.slab.sheaf_capacity > 0),
        "slots": plan.offsets["slots"] + cpu * round_to_line(live_slots(resolved)),
        "reader_every": resolved.readers.every_calls,
        "reader_ns": resolved.readers.length_ns,
        "cross_cpu": int(resolved.readers.cross_cpu),
        "nr_sizes": len(resolved.slab.object_bytes),
        "random": seed_state(resolved.run.seed, cpu),
        "hot_next": resolved.hotplug.offline_at_ms * 1_000_000 if resolved.hotplug.cpu == cpu else NEVER,
        "hot_away_ns": (resolved.hotplug.online_at_ms - resolved.hotplug.offline_at_ms) * 1_000_000,
        "hot_repeat_ns": resolved.hotplug.repeat_ms * 1_000_000,
        "reader_left": resolved.readers.every_calls,
        "sample_left": 1 + cpu,
        "resched_left": work.resched_every_calls,
    }
    for name, value in values.items():
        seg[load + getattr(LOAD, name)] = value
    boot_shares(seg, load, resolved)
    boot_schedule(seg, plan, cpu, load)


def burst_pace(resolved: Resolved) -> int:
    """Nanoseconds a call takes at least: its own cost, or the spacing of calls inside a burst if that is longer."""
    work = resolved.workload
    spacing = int(work.interval_ns) if work.kind == "burst" else 0
    return max(work.call_cost_ns, spacing)


def boot_shares(seg: Words, load: int, resolved: Resolved) -> None:
    """Cumulative 32-bit fractions of object sizes and calling contexts."""
    total = 0.0
    for i, weight in enumerate(resolved.slab.weights):
        total += weight
        seg[load + LOAD.sizes + i] = int(total * ONE)
    contexts = resolved.workload.contexts
    seg[load + LOAD.mixed_contexts] = int(contexts.task < 1.0)
    total = 0.0
    for i, name in enumerate(CONTEXT_NAMES):
        total += getattr(contexts, name)
        seg[load + LOAD.contexts + i] = int(total * ONE)


def boot_schedule(seg: Words, plan: Plan, cpu: int, load: int) -> None:
    """The recorded arrivals of one CPU."""
    at = plan.offsets["schedule"] + sum(round_to_line(len(s)) for s in plan.schedules[:cpu])
    schedule = plan.schedules[cpu]
    seg[load + LOAD.schedule] = at
    seg[load + LOAD.schedule_len] = len(schedule)
    seg[load + LOAD.schedule_span] = plan.schedule_span_ns
    for i, word in enumerate(schedule):
        seg[at + i] = word
    if plan.resolved.workload.kind == "replay" and not schedule:
        seg[load + LOAD.takes_part] = 0
