"""A scenario with nothing left open: every value concrete, times also in nanoseconds.

Holds   Resolved, one record per section. A key of the scenario file keeps its dotted name here; what is computed
        from keys stands below them in the same record.
Rule    no None anywhere; only str, bool, int, float and tuples of them, so the record goes into JSON and
        msgpack as it is (as_record()). Whoever builds a machine reads this and nothing else of the room.
Limits  strings where a choice has a name: each room maps its own names to its own numbers.
After   configs/default.toml, where each key and its kernel twin is explained.
"""

import msgspec

from emu.config.lockdep_keys import Lockdep
from emu.config.published_keys import Published
from emu.config.schema import Contexts, Cpus, Processes, Section, Trace
from emu.config.user_sources import UserSource
from emu.config.users_keys import Cgroup, Hog, Hotplug, ResolvedSeries, ResolvedUser
from emu.config.vmscan_keys import Monitor, ResolvedApps, ResolvedVmscan


class ResolvedRun(Section, frozen=True):
    duration_ms: int
    seed: int
    hz: int
    machine: str
    epoch: str
    preemption: str
    preempt_count: bool
    verify: bool
    clock: str
    dma_latency_guard: bool
    degrade: bool
    force: bool
    duration_ns: int
    jiffy_ns: int
    kernel: str


class ResolvedZone(Section, frozen=True):
    """A zone by the kernel's formulas, in pages. lowmem_reserve: by the highest zone that a request may use."""

    node: int
    name: str
    managed_pages: int
    wmark_min: int
    wmark_low: int
    wmark_high: int
    lowmem_reserve: tuple[int, ...]
    boost_max: int
    highatomic_max: int
    batch: int
    pcp_high: int
    high_min: int
    high_max: int
    pageblocks: int
    unmovable_pageblocks: int


class ResolvedMemory(Section, frozen=True):
    """Marks in pages. managed_pages and pageblocks: of all zones; marks and PCP: of the first, node 0's NORMAL.

    With rules v5.9 and v6.1 pcp_high is fixed: min = high = max; with v6.7 it starts at min.
    """

    managed_pages: int
    zones: tuple[ResolvedZone, ...]
    scale: float
    nodes: int
    min_free_kbytes: int
    watermark_scale_factor: int
    watermark_boost_factor: int
    lowmem_reserve_ratio: tuple[int, ...]
    thp: bool
    reserve_rule: str
    drain_rule: str
    percpu_pagelist_high_fraction: int
    pcp_rule: str
    pcp_batch: int
    pcp_high: int
    prefault: bool
    unmovable_share: float
    pcp_high_min: int
    pcp_high_max: int
    wmark_min: int
    wmark_low: int
    wmark_high: int
    pageblock_pages: int
    pageblocks: int
    unmovable_pageblocks: int


class ResolvedSlab(Section, frozen=True):
    """weights: normalised, one per size, summing to 1. sheaf_capacity 0: no cache has sheaves.

    cache_bytes: object sizes of all caches, that of the sheaves themselves the last.
    """

    object_bytes: tuple[int, ...]
    weights: tuple[float, ...]
    min_partial: int
    live_objects: int
    free_cost_ns: int
    sheaf_capacity: int
    sheaf_sizes: tuple[int, ...]
    cache_bytes: tuple[int, ...]


class ResolvedRcu(Section, frozen=True):
    """sched_qs: age of a grace period at which holdout CPUs are urged (jiffies_to_sched_qs)."""

    jiffies_till_first_fqs: int
    jiffies_till_next_fqs: int
    stall_timeout_ms: int
    other_gp_per_s: int
    first_fqs_ns: int
    next_fqs_ns: int
    sched_qs_jiffies: int
    sched_qs_ns: int
    stall_timeout_ns: int
    others_ns: int


class ResolvedKvfree(Section, frozen=True):
    """flood_objects: queued objects of a CPU from which the flood delay applies; 0 = the epoch has no such rule.

    Without batching (call_rcu() for each object) nothing is delayed, nothing polled, and no page is asked for.
    """

    batching: bool
    work_delay_ms: int
    work_delay_ns: int
    bnode_records: int
    min_cached_objs: int
    boot_fill: bool
    drain_ms: int
    flood_drain_jiffies: int
    nr_batches: int
    polled_cookies: bool
    attach: str
    work_bound: bool
    freed_page_to: str
    shrinker: str
    drain_jiffies: int
    drain_ns: int
    flood_objects: int
    flood_drain_ns: int


class ResolvedRefill(Section, frozen=True):
    """backoff_amount: pages asked for while in back-off."""

    trigger: str
    path: str
    delay_jiffies: int
    bound: bool
    gfp: str
    amount: int
    stop_on_failure: bool
    count_from: str
    backoff_ms: int
    hrtimer_cost_ns: int
    low_stock_pages: int
    busy_page_us: int
    delay_ns: int
    backoff_ns: int
    backoff_amount: int


class ResolvedPool(Section, frozen=True):
    pages_per_cpu: int
    grow_pages: int
    grow_limit_pages: int
    shrink_after_ms: int
    rescue_pages: int
    shrink_after_ns: int


class ResolvedPolicy(Section, frozen=True):
    """preset: the number ("S3") or "epoch", also where the file gave the speaking name; title: that name.

    user_sources: (name, path, function, line, put_line) of each of the user's own (emu.config.user_sources).
    """

    preset: str
    sources: tuple[str, ...]
    one_arg_sources: tuple[str, ...]
    title: str
    refill: ResolvedRefill
    pool: ResolvedPool
    user_sources: tuple[UserSource, ...] = ()


class ResolvedBurst(Section, frozen=True):
    """period_ns > 0: bursts start on schedule (open loop). Else gap_ns of sleep after each."""

    calls: int
    gap_ms: int
    period_ms: int
    gap_ns: int
    period_ns: int


class ResolvedRcuscale(Section, frozen=True):
    """threads: mutators that take part, from CPU 0 up. calls_per_thread = loops x alloc_num."""

    loops: int
    alloc_num: int
    mult: int
    threads: int
    loop_sleep_ms: int
    single_double: str
    loop_sleep_ns: int
    calls_per_thread: int


class ResolvedReplay(Section, frozen=True):
    """trace_path: where the trace is, seen from the working directory; "" when kind is not replay."""

    trace: str
    event: str
    repeat: int
    time_scale: float
    pause_ms: int
    busy_gap_us: int
    pause_ns: int
    busy_gap_ns: int
    trace_path: str


class ResolvedWorkload(Section, frozen=True):
    """interval_ns: mean time between a CPU's calls; 0 = as fast as call_cost_ns allows. contexts sum to 1."""

    kind: str
    rate_per_s: float
    call_cost_ns: int
    resched_every_calls: int
    one_arg_share: float
    vmalloc_share: float
    sample_every: int
    max_calls: int
    interval_ns: float
    contexts: Contexts
    burst: ResolvedBurst
    rcuscale: ResolvedRcuscale
    replay: ResolvedReplay


class ResolvedReaders(Section, frozen=True):
    every_calls: int
    length_us: int
    cross_cpu: bool
    length_ns: int


class Resolved(Section, frozen=True):
    """The whole. provenance: dotted key -> "user", "machine", "preset", "epoch", "default" or
    "formula".

    notes: remarks that do not stop a run, such as a key that this scenario does not read.
    """

    question: str
    run: ResolvedRun
    cpus: Cpus
    processes: Processes
    memory: ResolvedMemory
    slab: ResolvedSlab
    rcu: ResolvedRcu
    kvfree: ResolvedKvfree
    policy: ResolvedPolicy
    workload: ResolvedWorkload
    readers: ResolvedReaders
    trace: Trace
    lockdep: Lockdep
    published: Published
    users: tuple[ResolvedUser, ...]
    vmscan: ResolvedVmscan
    apps: ResolvedApps
    monitor: Monitor
    hogs: tuple[Hog, ...]
    hotplug: Hotplug
    cgroup: Cgroup
    series: ResolvedSeries
    provenance: dict[str, str]
    notes: tuple[str, ...]


def as_record(resolved: Resolved) -> tuple[dict, dict]:
    """(values, provenance) of plain dicts, tuples and scalars, for a result file."""
    values = msgspec.to_builtins(resolved)
    return values, values.pop("provenance")


def flatten(values: dict, prefix: str = "") -> dict[str, object]:
    """Dotted name -> value of a nested record, in its order."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
