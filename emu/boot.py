"""From a resolved scenario to an initialised machine; the only file that knows every room.

Holds   Plan (who the processes are, where each region lies) and boot(), which writes it into a segment.
Rule    all sizes are known before the segment is created. boot() runs in the launcher alone, before any fork; after it
        the constants of the machine are plain words that nobody writes again.
"""

import time
from dataclasses import dataclass, field

from emu.arch import Words
from emu.config import Resolved
from emu.errors import ConfigError
from emu.kvfree import (
    CB,
    KRC,
    KVFREE,
    MAX_BATCHES,
    MAX_RECORDS_LONG,
    MAX_RECORDS_SHORT,
    header_words,
)
from emu.mm import (
    CACHE,
    GFP_BY_NAME,
    PAGE,
    PAGE_SHIFT,
    PAGE_WORDS,
    PAGEBLOCK_ORDER,
    PCP,
    SCRATCH_WORDS,
    SLAB_CPU,
    ZONE,
    boot_zone_pages,
)
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
from emu.rcu import LEAF_FANOUT, RCU, RDP, RNP
from emu.ring import mpmc_init, spsc_init, spsc_words_needed
from emu.shm import (
    COORDINATOR,
    HEADER,
    MAP,
    MAP_BASE,
    MUTATOR,
    PAGE_REFILL,
    PROC,
    RECLAIM,
    ROLE_NAMES,
    round_to_line,
)
from emu.stats import counters_words, histograms_words
from emu.sync import CPU, NOBODY
from emu.trace import MODES, init_trace, trace_words
from emu.workload import CONTEXT_BITS, CONTEXT_NAMES, KINDS, LOAD, ONE, seed_state
from emu.workload.ftrace import CONTEXTS, RecordedDemand

UNBOUND = -1
GP_SEQ_START = -300 * 4  # as the kernel starts, so that a wrap of the counter is met early
ALIGN_PFN = 1 << 10  # the pool starts at a multiple of the largest block


@dataclass(frozen=True)
class Role:
    """One process of the run. cpu: the emulated CPU it belongs to, or UNBOUND."""

    index: int
    kind: int
    cpu: int
    number: int

    @property
    def name(self) -> str:
        """Name in reports: role and number."""
        return f"{ROLE_NAMES[self.kind]}/{self.number}" if self.kind != COORDINATOR else ROLE_NAMES[self.kind]


@dataclass
class Plan:
    """What a machine needs: processes in order of their index, region offsets, total size in words."""

    resolved: Resolved
    roles: list[Role]
    offsets: dict[str, int]
    size_words: int
    first_pfn: int
    schedules: list[list[int]] = field(default_factory=list)
    schedule_span_ns: int = 0
    static_stride: int = 0
    ring_capacity: int = 0

    def of_kind(self, kind: int) -> list[Role]:
        """The processes of one role."""
        return [role for role in self.roles if role.kind == kind]

    @property
    def cpus(self) -> int:
        """Number of emulated CPUs."""
        return self.resolved.cpus.count

    def proc(self, me: int) -> int:
        """Word offset of process `me`'s record; the methods below likewise, for Python code that reads or boots."""
        return self.offsets["procs"] + me * PROC.SIZE

    def cpu(self, cpu: int) -> int:
        """Word offset of an emulated CPU's record."""
        return self.offsets["cpus"] + cpu * CPU.SIZE

    def krc(self, cpu: int) -> int:
        """Word offset of a CPU's batch head."""
        return self.offsets["krc"] + cpu * KRC.SIZE

    def stock(self, cpu: int) -> int:
        """Word offset of a CPU's stock of pages."""
        return self.offsets["stock"] + cpu * STOCK.SIZE

    def load(self, cpu: int) -> int:
        """Word offset of a mutator's load."""
        return self.offsets["workload"] + cpu * LOAD.SIZE

    def cache(self, index: int) -> int:
        """Word offset of a slab cache."""
        return self.offsets["caches"] + index * CACHE.SIZE

    def pcp(self, cpu: int) -> int:
        """Word offset of the page lists of a CPU of the machine (the last one: housekeeping)."""
        return self.offsets["pcp"] + cpu * PCP.SIZE


def plan_roles(resolved: Resolved) -> list[Role]:
    """Who takes part: a mutator per CPU, refill and reclaim per CPU where bound, one coordinator."""
    cpus = resolved.cpus.count
    kinds: list[tuple[int, int, int]] = [(MUTATOR, cpu, cpu) for cpu in range(cpus)]
    if resolved.policy.refill.trigger != "none":
        kinds += per_cpu_or_one(PAGE_REFILL, cpus, resolved.policy.refill.bound)
    kinds += per_cpu_or_one(RECLAIM, cpus, resolved.kvfree.work_bound)
    kinds.append((COORDINATOR, UNBOUND, 0))
    return [Role(index, kind, cpu, number) for index, (kind, cpu, number) in enumerate(kinds)]


def per_cpu_or_one(kind: int, cpus: int, bound: bool) -> list[tuple[int, int, int]]:
    """(kind, cpu, number) of a worker that is bound to each CPU, or of the one unbound worker."""
    return [(kind, cpu, cpu) for cpu in range(cpus)] if bound else [(kind, UNBOUND, 0)]


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


RECORDED_CONTEXT = {
    "task_preemptible": "task", "task_atomic": "task_atomic", "softirq": "softirq", "hardirq": "hardirq",
}


def make_plan(resolved: Resolved, demand: RecordedDemand | None = None) -> Plan:
    """Lay the segment out. Sizes only; nothing is created."""
    roles = plan_roles(resolved)
    procs, cpus = len(roles), resolved.cpus.count
    pages = resolved.memory.managed_pages
    caches = len(resolved.slab.object_bytes)
    leaves = -(-cpus // LEAF_FANOUT)
    reclaims = sum(role.kind == RECLAIM for role in roles)
    capacity = 1 << max(4, (MAX_BATCHES * cpus).bit_length())
    static_words, stride = static_region_words(cpus, resolved.policy.pool.pages_per_cpu)
    schedules, span = pack_schedules(resolved, demand)
    sizes = {
        "procs": procs * PROC.SIZE,
        "cpus": cpus * CPU.SIZE,
        "rcu": RCU.SIZE + cpus * RDP.SIZE,
        "rcu_nodes": (leaves + 1) * RNP.SIZE,
        "zones": ZONE.SIZE,
        "pcp": (cpus + 1) * PCP.SIZE,
        "caches": caches * CACHE.SIZE,
        "slab_cpus": cpus * caches * SLAB_CPU.SIZE,
        "krc": cpus * KRC.SIZE,
        "cfg_kvfree": KVFREE.SIZE,
        "policy": POLICY.SIZE,
        "stock": cpus * STOCK.SIZE,
        "static": static_words,
        "rings": reclaims * CB.SIZE,
        "ring_slots": 2 * reclaims * round_to_line(spsc_words_needed(capacity)),
        "workload": cpus * LOAD.SIZE,
        "slots": cpus * round_to_line(live_slots(resolved)),
        "schedule": sum(round_to_line(len(s)) for s in schedules),
        "scratch": procs * SCRATCH_WORDS,
        "counters": counters_words(procs),
        "histograms": histograms_words(procs),
        "trace": trace_words(procs, resolved.trace.events_per_process),
        "pageblocks": round_to_line((pages >> PAGEBLOCK_ORDER) + 2),
        "mem_map": pages * PAGE.SIZE,
    }
    offsets, at = {}, MAP_BASE + MAP.SIZE
    for name, words in sizes.items():
        at = round_to_line(at)
        offsets[name] = at
        at += words
    align = ALIGN_PFN * PAGE_WORDS
    pool = -(-at // align) * align
    return Plan(resolved, roles, offsets, pool + pages * PAGE_WORDS, pool >> PAGE_SHIFT, schedules, span, stride,
                capacity)


def live_slots(resolved: Resolved) -> int:
    """Slots of RCU-protected objects per CPU: a power of two."""
    return 1 << (resolved.slab.live_objects - 1).bit_length()


def boot(seg: Words, plan: Plan) -> None:
    """Write the machine into a zeroed segment. Launcher only, before any fork."""
    resolved = plan.resolved
    seg[HEADER.nr_cpus] = resolved.cpus.count
    seg[HEADER.nr_procs] = len(plan.roles)
    seg[HEADER.verify] = int(resolved.run.verify)
    seg[HEADER.seed] = resolved.run.seed
    # Until time zero is set, ticks and stamps count from here.
    seg[HEADER.t_zero] = time.monotonic_ns()
    seg[HEADER.t_end] = 1 << 62
    for name, offset in plan.offsets.items():
        seg[MAP_BASE + getattr(MAP, name)] = offset
    seg[MAP_BASE + MAP.first_pfn] = plan.first_pfn
    # Where the record of page 0 and the word of pageblock 0 would stand: an index needs no subtraction then.
    seg[MAP_BASE + MAP.page_base] = plan.offsets["mem_map"] - plan.first_pfn * PAGE.SIZE
    seg[MAP_BASE + MAP.block_base] = plan.offsets["pageblocks"] - (plan.first_pfn >> PAGEBLOCK_ORDER)
    seg[MAP_BASE + MAP.nr_pages] = resolved.memory.managed_pages
    seg[MAP_BASE + MAP.nr_zones] = 1
    seg[MAP_BASE + MAP.nr_caches] = len(resolved.slab.object_bytes)
    seg[MAP_BASE + MAP.nr_pcp_cpus] = resolved.cpus.count + 1
    init_trace(seg, len(plan.roles), resolved.trace.events_per_process, MODES[resolved.trace.mode])
    boot_procs(seg, plan)
    boot_memory(seg, plan)
    boot_rcu(seg, plan)
    boot_policy(seg, plan)
    boot_kvfree(seg, plan)
    for cpu in range(resolved.cpus.count):
        boot_load(seg, plan, cpu)


def boot_procs(seg: Words, plan: Plan) -> None:
    """The process table, and which processes belong to which CPU."""
    cpus = plan.resolved.cpus.count
    for cpu in range(cpus):
        words = plan.cpu(cpu)
        seg[words + CPU.refill] = seg[words + CPU.reclaim] = NOBODY
        seg[words + CPU.online] = 1
    for role in plan.roles:
        proc = plan.proc(role.index)
        seg[proc + PROC.role] = role.kind
        seg[proc + PROC.cpu] = role.cpu
        seg[proc + PROC.index] = role.number
        seg[proc + PROC.core] = NOBODY
        seg[proc + PROC.pcp_cpu] = role.cpu if role.cpu != UNBOUND else cpus
        if role.cpu != UNBOUND:
            words = plan.cpu(role.cpu)
            which = {MUTATOR: CPU.mutator, PAGE_REFILL: CPU.refill, RECLAIM: CPU.reclaim}[role.kind]
            seg[words + which] = role.index


def boot_memory(seg: Words, plan: Plan) -> None:
    """Zone, per-CPU lists, slab caches."""
    memory, slab, zone = plan.resolved.memory, plan.resolved.slab, plan.offsets["zones"]
    values = {
        "start_pfn": plan.first_pfn,
        "end_pfn": plan.first_pfn + memory.managed_pages,
        "managed": memory.managed_pages,
        "wmark_min": memory.wmark_min,
        "wmark_low": memory.wmark_low,
        "wmark_high": memory.wmark_high,
        "batch": max(1, memory.pcp_batch),
        "high_min": memory.pcp_high_min,
        "high_max": memory.pcp_high_max,
        "auto_high": int(memory.pcp_high_min != memory.pcp_high_max),
    }
    for name, value in values.items():
        seg[zone + getattr(ZONE, name)] = value
    boot_zone_pages(seg, zone, memory.unmovable_pageblocks)
    for cpu in range(plan.cpus + 1):
        seg[plan.pcp(cpu) + PCP.high] = memory.pcp_high
    for index, size in enumerate(slab.object_bytes):
        cache = plan.cache(index)
        seg[cache + CACHE.index] = index
        seg[cache + CACHE.object_words] = size // 8
        seg[cache + CACHE.objects] = PAGE_WORDS // (size // 8)
        seg[cache + CACHE.min_partial] = slab.min_partial


def boot_rcu(seg: Words, plan: Plan) -> None:
    """The grace-period state and the tree."""
    resolved = plan.resolved
    rcu = plan.offsets["rcu"]
    cpus = resolved.cpus.count
    leaves = -(-cpus // LEAF_FANOUT)
    seg[rcu + RCU.gp_seq] = seg[rcu + RCU.gp_needed] = GP_SEQ_START
    seg[rcu + RCU.jiffy_ns] = resolved.run.jiffy_ns
    seg[rcu + RCU.first_fqs] = resolved.rcu.jiffies_till_first_fqs
    seg[rcu + RCU.next_fqs] = resolved.rcu.jiffies_till_next_fqs
    seg[rcu + RCU.stall_ns] = resolved.rcu.stall_timeout_ns
    seg[rcu + RCU.coordinator] = plan.of_kind(COORDINATOR)[0].index
    seg[rcu + RCU.nr_leaves] = leaves
    # Every CPU starts idle (eqs even), until its mutator begins.


def boot_policy(seg: Words, plan: Plan) -> None:
    """The composition, each CPU's stock, the static reserves, the boot-time fill of the caches."""
    resolved, words = plan.resolved, plan.offsets["policy"]
    policy = resolved.policy
    refill = policy.refill
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
    seg[plan.offsets["static"]] = plan.static_stride
    workers = plan.of_kind(PAGE_REFILL)
    for cpu in range(plan.cpus):
        stock = plan.stock(cpu)
        seg[stock + STOCK.lock] = plan.krc(cpu)
        seg[stock + STOCK.worker] = (workers[cpu] if refill.bound else workers[0]).index if workers else NOBODY
        pages = policy.pool.pages_per_cpu
        mpmc_init(seg, plan.offsets["static"] + STATIC_HEADER + cpu * plan.static_stride, max(1, pages))
        cached = resolved.kvfree.min_cached_objs if resolved.kvfree.boot_fill else 0
        if fill_static(seg, cpu, pages) + fill_cache(seg, cpu, cached) != pages + cached:
            raise ConfigError(f"memory.managed_pages = {resolved.memory.managed_pages}: too few for the pages that "
                              f"{plan.cpus} CPUs hold from the start ({pages + cached} each); raise it, or lower "
                              f"policy.pool.pages_per_cpu")


def boot_kvfree(seg: Words, plan: Plan) -> None:
    """Batch heads, shared settings, and the hand-over rings of each reclaim daemon."""
    kvfree, words = plan.resolved.kvfree, plan.offsets["cfg_kvfree"]
    reclaims = plan.of_kind(RECLAIM)
    seg[words + KVFREE.drain_jiffies] = kvfree.drain_jiffies
    seg[words + KVFREE.flood_jiffies] = kvfree.flood_drain_jiffies
    seg[words + KVFREE.polled] = int(kvfree.polled_cookies)
    seg[words + KVFREE.whole_slot] = int(kvfree.attach == "whole-slot")
    seg[words + KVFREE.work_bound] = int(kvfree.work_bound)
    seg[words + KVFREE.freed_to_worker] = int(kvfree.freed_page_to == "worker")
    seg[words + KVFREE.nr_batches] = kvfree.nr_batches
    seg[words + KVFREE.nr_reclaims] = len(reclaims)
    header = header_words(kvfree.bnode_records, kvfree.polled_cookies)
    assert kvfree.bnode_records <= (MAX_RECORDS_LONG if header > 2 else MAX_RECORDS_SHORT)
    for cpu in range(plan.resolved.cpus.count):
        krc = plan.krc(cpu)
        seg[krc + KRC.cap] = kvfree.bnode_records
        seg[krc + KRC.header] = header
        seg[krc + KRC.reclaim] = (reclaims[cpu] if kvfree.work_bound else reclaims[0]).index
    ring_words = round_to_line(spsc_words_needed(plan.ring_capacity))
    at = plan.offsets["ring_slots"]
    for index, role in enumerate(reclaims):
        cb = plan.offsets["rings"] + index * CB.SIZE
        seg[cb + CB.proc] = role.index
        seg[cb + CB.capacity] = plan.ring_capacity
        for which in (CB.to_coordinator, CB.to_reclaim):
            seg[cb + which] = at
            spsc_init(seg, at, plan.ring_capacity)
            at += ring_words


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
        "slots": plan.offsets["slots"] + cpu * round_to_line(live_slots(resolved)),
        "reader_every": resolved.readers.every_calls,
        "reader_ns": resolved.readers.length_ns,
        "cross_cpu": int(resolved.readers.cross_cpu),
        "nr_sizes": len(resolved.slab.object_bytes),
        "random": seed_state(resolved.run.seed, cpu),
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

