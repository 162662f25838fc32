"""What a user may write in a scenario file: sections, keys, units, types and ranges.

Holds   one frozen record per section, and the list of every key (all_keys()).
Rule    the unit is in the key's name; a key's type and range stand here and nowhere else. None means "from the
        epoch, the policy preset or the formula": resolve.py fills it, in that order.
Limits  rules between keys are not here: names of sources and presets in presets.py, the rest in rules.py.
After   kernel-parameters.txt (names); configs/default.toml explains every key and its kernel twin.
"""

import functools
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from emu.config.lockdep_keys import Lockdep
from emu.config.published_keys import Published
from emu.config.schema_base import (
    CPUS_MAX,
    DAY_MS,
    Calls,
    Cores,
    CostNs,
    Ms,
    Percent,
    Positive,
    Section,
)
from emu.config.users_keys import Cgroup, Hog, Hotplug, Series, User
from emu.config.vmscan_keys import Apps, Monitor, Vmscan

BATCHES_MAX = 8
SIZES_MAX = 16

EpochName = Literal["E59", "ERFC", "E511", "E61", "E612", "E618"]
SizeBytes = Annotated[int, Meta(ge=32, le=2048, multiple_of=8)]


class Run(Section, frozen=True):
    duration_ms: Annotated[int, Meta(ge=100, le=DAY_MS)] = 10_000
    seed: Annotated[int, Meta(ge=0, le=2**62)] = 7
    hz: Literal[100, 250, 300, 1000] = 250
    machine: Literal["", "phone", "rt-board", "server", "vm"] = ""
    epoch: EpochName = "E612"
    preemption: Literal["none", "voluntary", "full", "rt"] = "full"
    preempt_count: bool | None = None
    verify: bool = True
    clock: Literal["auto", "monotonic", "cycles"] = "auto"
    dma_latency_guard: bool = True
    degrade: bool = False
    force: bool = False


class Cpus(Section, frozen=True):
    count: Annotated[int, Meta(ge=1, le=CPUS_MAX)] = 2
    cores: Cores = "auto"
    housekeeping: Cores = "auto"


class Process(Section, frozen=True):
    """Scheduling of one role. `class` is a Python keyword, hence sched_class on this side."""

    sched_class: Literal["other", "batch", "idle", "fifo", "rr"] = msgspec.field(default="other", name="class")
    priority: Annotated[int, Meta(ge=0, le=99)] = 0
    nice: Annotated[int, Meta(ge=-20, le=19)] = 0


class Processes(Section, frozen=True):
    mutator: Process = Process()
    page_refill: Process = Process()
    coordinator: Process = Process()
    reclaim: Process = Process()
    sampler: Process = Process()
    kswapd: Process = Process()
    app: Process = Process()
    monitor: Process = Process()


class Zone(Section, frozen=True):
    """One element of memory.zones."""

    node: Annotated[int, Meta(ge=0, le=7)]
    name: Literal["DMA", "DMA32", "NORMAL"]
    pages: Annotated[int, Meta(ge=64, le=2**28)]


class Memory(Section, frozen=True):
    managed_pages: Annotated[int, Meta(ge=1024, le=2**28)] = 65_536
    zones: Annotated[tuple[Zone, ...], Meta(max_length=24)] = ()
    scale: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    min_free_kbytes: Annotated[int, Meta(ge=128, le=2**26, examples=[2048])] | None = None
    watermark_scale_factor: Annotated[int, Meta(ge=1, le=3000)] = 10
    watermark_boost_factor: Annotated[int, Meta(ge=0, le=100_000, examples=[15_000])] | None = None
    lowmem_reserve_ratio: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=2**20)], ...], Meta(min_length=3, max_length=3)] = (256, 256, 32)
    thp: bool = False
    reserve_rule: Literal["v5.9", "v6.3"] | None = None
    drain_rule: Literal["work", "remote"] | None = None
    percpu_pagelist_high_fraction: Annotated[int, Meta(ge=0, le=2**20)] = 0
    pcp_rule: Literal["v5.9", "v6.1", "v6.7"] | None = None
    pcp_batch: Annotated[int, Meta(ge=1, le=2016, examples=[63])] | None = None
    pcp_high: Annotated[int, Meta(ge=0, le=2**23, examples=[378])] | None = None
    prefault: bool = True
    unmovable_share: Percent = 0.25


class Slab(Section, frozen=True):
    object_bytes: Annotated[tuple[SizeBytes, ...], Meta(min_length=1, max_length=SIZES_MAX)] = (32,)
    weights: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=SIZES_MAX)] = (1.0,)
    min_partial: Annotated[int, Meta(ge=0, le=1024)] = 5
    live_objects: Annotated[int, Meta(ge=8, le=4096)] = 64
    free_cost_ns: CostNs = 0
    sheaf_capacity: Annotated[int, Meta(ge=0, le=256, examples=[32])] | None = None
    sheaf_sizes: Annotated[tuple[SizeBytes, ...], Meta(max_length=SIZES_MAX)] = ()


class Rcu(Section, frozen=True):
    jiffies_till_first_fqs: Annotated[int, Meta(ge=1, le=10_000, examples=[1])] | None = None
    jiffies_till_next_fqs: Annotated[int, Meta(ge=1, le=10_000, examples=[1])] | None = None
    stall_timeout_ms: Annotated[int, Meta(ge=100, le=300_000)] = 21_000
    other_gp_per_s: Annotated[int, Meta(ge=0, le=10_000)] = 0


class Kvfree(Section, frozen=True):
    bnode_records: Annotated[int, Meta(ge=1, le=510, examples=[507])] | None = None
    min_cached_objs: Annotated[int, Meta(ge=0, le=65_536, examples=[5])] | None = None
    boot_fill: bool | None = None
    drain_ms: Annotated[int, Meta(ge=1, le=600_000, examples=[5000])] | None = None
    flood_drain_jiffies: Annotated[int, Meta(ge=0, le=10_000, examples=[1])] | None = None
    nr_batches: Annotated[int, Meta(ge=1, le=BATCHES_MAX)] = 2
    polled_cookies: bool | None = None
    attach: Literal["per-channel", "whole-slot"] | None = None
    work_bound: bool | None = None
    freed_page_to: Literal["owner", "worker"] | None = None
    shrinker: Literal["queued", "queued-and-cached"] | None = None
    batching: bool = True
    work_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0


class Refill(Section, frozen=True):
    trigger: Literal["none", "miss", "low-stock"] | None = None
    path: Literal["hrtimer", "direct", "delayed", "softirq"] | None = None
    delay_jiffies: Annotated[int, Meta(ge=0, le=10_000, examples=[1])] | None = None
    bound: bool | None = None
    gfp: Literal["kernel", "kernel-noretry", "nowait", "atomic"] | None = None
    amount: Annotated[int, Meta(ge=0, le=65_536, examples=[5])] | None = None
    stop_on_failure: bool | None = None
    count_from: Literal["zero", "present"] | None = None
    backoff_ms: Annotated[int, Meta(ge=0, le=100_000, examples=[5000])] | None = None
    hrtimer_cost_ns: CostNs = 0
    low_stock_pages: Annotated[int, Meta(ge=0, le=65_536, examples=[3])] | None = None
    busy_page_us: Annotated[int, Meta(ge=0, le=10_000_000, examples=[200])] | None = None


class Pool(Section, frozen=True):
    pages_per_cpu: Annotated[int, Meta(ge=0, le=1_000_000, examples=[32])] | None = None
    grow_pages: Annotated[int, Meta(ge=0, le=1_000_000, examples=[16])] | None = None
    grow_limit_pages: Annotated[int, Meta(ge=0, le=1_000_000, examples=[512])] | None = None
    shrink_after_ms: Annotated[int, Meta(ge=0, le=DAY_MS, examples=[1000])] | None = None
    rescue_pages: Annotated[int, Meta(ge=0, le=1_000_000, examples=[4])] | None = None


class Policy(Section, frozen=True):
    preset: str = "epoch"
    sources: Annotated[tuple[str, ...], Meta(max_length=16, examples=[["cache", "pcp-lockless"]])] | None = None
    one_arg_sources: Annotated[tuple[str, ...], Meta(max_length=16, examples=[["cache", "direct"]])] | None = None
    refill: Refill = Refill()
    pool: Pool = Pool()


class Contexts(Section, frozen=True):
    """Shares of calls by the context they are made in; they sum to 1."""

    task: Percent = 1.0
    task_atomic: Percent = 0.0
    softirq: Percent = 0.0
    hardirq: Percent = 0.0
    raw_lock: Percent = 0.0
    zone_lock: Percent = 0.0
    in_allocator: Percent = 0.0
    nmi: Percent = 0.0


class Burst(Section, frozen=True):
    calls: Annotated[int, Meta(ge=1, le=10**9)] = 2000
    gap_ms: Ms = 20
    period_ms: Ms = 0


class Rcuscale(Section, frozen=True):
    loops: Annotated[int, Meta(ge=1, le=10**9)] = 10
    alloc_num: Annotated[int, Meta(ge=1, le=10**9)] = 8000
    mult: Annotated[int, Meta(ge=1, le=85)] = 1
    threads: Annotated[int, Meta(ge=0, le=CPUS_MAX)] = 0
    loop_sleep_ms: Ms = 0
    single_double: Literal["double", "single", "mixed"] = "double"


class Replay(Section, frozen=True):
    trace: str = ""
    event: str = "kvfree_call_rcu"
    repeat: Annotated[int, Meta(ge=0, le=10**9)] = 0
    time_scale: Annotated[float, Meta(ge=0.001, le=1000.0)] = 1.0
    pause_ms: Ms = 15
    busy_gap_us: Annotated[int, Meta(ge=0, le=60_000_000)] = 4000


class Workload(Section, frozen=True):
    kind: Literal["flood", "constant", "poisson", "burst", "rcuscale", "replay"] = "flood"
    rate_per_s: Annotated[float, Meta(ge=0.0, le=1e9)] = 0.0
    call_cost_ns: CostNs = 0
    resched_every_calls: Calls = 0
    one_arg_share: Percent = 0.0
    vmalloc_share: Percent = 0.0
    sample_every: Annotated[int, Meta(ge=1, le=10**9)] = 64
    max_calls: Calls = 0
    contexts: Contexts = Contexts()
    burst: Burst = Burst()
    rcuscale: Rcuscale = Rcuscale()
    replay: Replay = Replay()


class Readers(Section, frozen=True):
    every_calls: Annotated[int, Meta(ge=0, le=10**9)] = 64
    length_us: Annotated[int, Meta(ge=0, le=60_000_000)] = 10
    cross_cpu: bool = True


class Trace(Section, frozen=True):
    events_per_process: Annotated[int, Meta(ge=0, le=2**20)] = 4096
    mode: Literal["overwrite", "stop"] = "overwrite"


class Keys(Section, frozen=True):
    """A whole scenario file."""

    question: Annotated[str, Meta(max_length=2000)] = ""
    run: Run = Run()
    cpus: Cpus = Cpus()
    processes: Processes = Processes()
    memory: Memory = Memory()
    slab: Slab = Slab()
    rcu: Rcu = Rcu()
    kvfree: Kvfree = Kvfree()
    policy: Policy = Policy()
    workload: Workload = Workload()
    readers: Readers = Readers()
    trace: Trace = Trace()
    lockdep: Lockdep = Lockdep()
    users: Annotated[tuple[User, ...], Meta(max_length=64)] = ()
    hogs: Annotated[tuple[Hog, ...], Meta(max_length=64)] = ()
    hotplug: Hotplug = Hotplug()
    cgroup: Cgroup = Cgroup()
    series: Series = Series()
    vmscan: Vmscan = Vmscan()
    apps: Apps = Apps()
    monitor: Monitor = Monitor()
    published: Published = Published()


class Key(NamedTuple):
    """One key of the schema. `default` is None where epoch, preset or formula decide."""

    section: str
    leaf: str
    attribute: str
    type: msgspec.inspect.Type
    default: object
    example: object

    @property
    def dotted(self) -> str:
        """The key as messages name it, for example "run.hz"."""
        return f"{self.section}.{self.leaf}" if self.section else self.leaf


@functools.cache
def all_keys() -> dict[str, Key]:
    """Every key by dotted name, in the order of the schema."""
    return {key.dotted: key for key in keys_of(Keys, "")}


@functools.cache
def all_sections() -> tuple[str, ...]:
    """Dotted names of all sections, those without keys of their own (processes) included."""
    names: dict[str, None] = {}
    for key in all_keys().values():
        parts = key.section.split(".")
        for depth in range(1, len(parts) + 1):
            names.setdefault(".".join(parts[:depth]))
    return tuple(name for name in names if name)


def keys_of(struct_type, section):
    """The keys of a section's record, and of the sections within it; `section` is its dotted name."""
    for field in msgspec.inspect.type_info(struct_type).fields:
        dotted = f"{section}.{field.encode_name}" if section else field.encode_name
        plain, example = _plain(field.type)
        if isinstance(plain, msgspec.inspect.StructType):
            yield from keys_of(plain.cls, dotted)
        else:
            yield Key(section, field.encode_name, field.name, plain, field.default,
                      field.default if example is None else example)


def plain_type(info) -> msgspec.inspect.Type:
    """A field's type without its notes."""
    return _plain(info)[0]


def _plain(info):
    """The type without its None and its notes, and the example that the notes gave (or None)."""
    example = None
    if isinstance(info, msgspec.inspect.UnionType):
        rest = [each for each in info.types if not isinstance(each, msgspec.inspect.NoneType)]
        if len(rest) > 1:
            return info, None
        info = rest[0]
    if isinstance(info, msgspec.inspect.Metadata):
        example = (info.extra_json_schema or {}).get("examples", [None])[0]
        info = info.type
    return info, example
