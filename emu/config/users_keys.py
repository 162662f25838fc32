"""Who else uses the machine: [[users]] of memory, [[hogs]] of cores, CPU hotplug, cgroup bandwidth, the time series.

Holds   the records of these sections, as written and as resolved, their defaults by kind, and their rules.
Rule    a key of [[users]] that its kind does not read is refused; what is not written comes from KIND_DEFAULTS.
        Rates are of the kind's own unit (KIND_UNITS). Marks are text: "min", "low*0.5", "high+200", "1200" (pages).
Limits  cores are held against the host by launch/, before any process starts.
After   KF 8.3 (load generators 8 to 11), cpu.max of cgroup v2, kernel/cpu.c.
"""

import re
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, field

from emu.config.problems import Problem
from emu.config.schema_base import CPUS_MAX, Core, Cores, Ms, Section

UserKind = Literal["victim", "filler", "cache", "atomic", "greedy", "pcp_hog"]
SchedClass = Literal["other", "batch", "idle", "fifo", "rr"]
Role = Literal["mutator", "page_refill", "reclaim", "coordinator", "kswapd", "app", "user", "hog"]
SAMPLES_MAX = 6000  # rows of a series; a longer run is sampled less often
SAMPLES_SPARE = 100  # for the time after the load's end

# What a kind reads, with its default. rate_per_s counts what KIND_UNITS says.
KIND_DEFAULTS: dict[str, dict[str, object]] = {
    "victim": {"rate_per_s": 100_000.0, "burst": 1, "gfp": "kernel", "order": 0},
    "filler": {"rate_per_s": 100_000.0, "pages": 1 << 26, "gfp": "nowait", "low_mark": "min", "high_mark": "low"},
    "cache": {"rate_per_s": 10_000.0, "pages": 1 << 26, "gfp": "kernel"},
    "atomic": {"rate_per_s": 1000.0, "burst": 8, "order": 3, "hold_us": 1000, "gfp": "atomic"},
    "greedy": {"rate_per_s": 10_000.0, "pages": 64, "hold_us": 10_000},
    "pcp_hog": {"rate_per_s": 1000.0, "pages": 100, "gfp": "nowait"},
}
KIND_UNITS = {"victim": "pages", "filler": "pages", "cache": "pages", "atomic": "bursts", "greedy": "pages",
              "pcp_hog": "rounds"}
_BY_KIND = ("rate_per_s", "pages", "order", "burst", "hold_us", "gfp", "low_mark", "high_mark")
_MARK = re.compile(r"^(?:(min|low|high)(?:\*(\d+(?:\.\d+)?))?)?([+-]?\d+)?$")


class User(Section, frozen=True):
    """One [[users]] table: a process that takes and gives pages."""

    kind: UserKind
    cpu: Annotated[int, Meta(ge=-1, le=CPUS_MAX - 1)] = 0
    cores: Cores = "same"
    rate_per_s: Annotated[float, Meta(gt=0.0, le=1e8, examples=[100_000.0])] | None = None
    pages: Annotated[int, Meta(ge=1, le=2**26, examples=[100])] | None = None
    order: Annotated[int, Meta(ge=0, le=10, examples=[0])] | None = None
    burst: Annotated[int, Meta(ge=1, le=4096, examples=[8])] | None = None
    hold_us: Annotated[int, Meta(ge=0, le=60_000_000, examples=[1000])] | None = None
    gfp: Literal["kernel", "kernel-noretry", "nowait", "atomic", "memalloc"] | None = None
    low_mark: Annotated[str, Meta(max_length=40, examples=["min"])] | None = None
    high_mark: Annotated[str, Meta(max_length=40, examples=["low"])] | None = None
    start_ms: Ms = 0
    sched_class: SchedClass = field(default="other", name="class")
    priority: Annotated[int, Meta(ge=0, le=99)] = 0
    nice: Annotated[int, Meta(ge=-20, le=19)] = 0


class Hog(Section, frozen=True):
    """One [[hogs]] table: a process per core named, which burns busy_ms of every busy_ms + idle_ms."""

    cores: Annotated[tuple[Core, ...], Meta(max_length=CPUS_MAX)] = ()
    cpus: Annotated[tuple[Annotated[int, Meta(ge=0, le=CPUS_MAX - 1)], ...], Meta(max_length=CPUS_MAX)] = ()
    busy_ms: Annotated[float, Meta(gt=0.0, le=60_000.0)] = 10.0
    idle_ms: Annotated[float, Meta(ge=0.0, le=60_000.0)] = 10.0
    start_ms: Ms = 0
    sched_class: SchedClass = field(default="other", name="class")
    priority: Annotated[int, Meta(ge=0, le=99)] = 0
    nice: Annotated[int, Meta(ge=-20, le=19)] = 0


class Hotplug(Section, frozen=True):
    cpu: Annotated[int, Meta(ge=-1, le=CPUS_MAX - 1)] = -1
    offline_at_ms: Ms = 1000
    online_at_ms: Ms = 2000
    repeat_ms: Ms = 0


class Cgroup(Section, frozen=True):
    quota_us: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    period_us: Annotated[int, Meta(ge=1000, le=1_000_000)] = 100_000
    roles: Annotated[tuple[Role, ...], Meta(max_length=8)] = ("page_refill",)


class Series(Section, frozen=True):
    interval_ms: Annotated[int, Meta(ge=0, le=60_000)] = 10
    always: bool = False


class ResolvedMark(Section, frozen=True):
    """A mark: `mark` ("min", "low", "high" or "") times `permille` / 1000, plus `pages`."""

    mark: str
    permille: int
    pages: int


class ResolvedUser(Section, frozen=True):
    """Every key concrete; those that the kind does not read are 0, "" or the mark 0."""

    kind: str
    cpu: int
    cores: str | tuple[int, ...]
    rate_per_s: float
    pages: int
    order: int
    burst: int
    hold_us: int
    gfp: str
    low_mark: ResolvedMark
    high_mark: ResolvedMark
    start_ms: int
    sched_class: str
    priority: int
    nice: int
    interval_ns: int


class ResolvedSeries(Section, frozen=True):
    """interval_ns 0: no samples. always: also where the sampler has to share a core with a mutator. on: it is run;
    without `always` that is for the launcher to say, who knows the cores."""

    interval_ms: int
    always: bool
    on: bool
    interval_ns: int
    samples_max: int


def parse_mark(text: str) -> ResolvedMark | None:
    """ "low*0.5+100" as a mark; None when it is not one."""
    match = _MARK.match(text.replace(" ", "").replace("_", ""))
    if match is None or not text.strip():
        return None
    mark, factor, pages = match.groups()
    return ResolvedMark(mark=mark or "", permille=round(float(factor or 1) * 1000), pages=int(pages or 0))


def resolve_users(users: tuple[User, ...]) -> tuple[ResolvedUser, ...]:
    """Every user with its kind's defaults filled in. A mark that cannot be read becomes 0; the rules refuse it."""
    return tuple(_resolve_user(user) for user in users)


def _resolve_user(user):
    empty: dict[str, object] = {"rate_per_s": 1.0, "pages": 0, "order": 0, "burst": 1, "hold_us": 0, "gfp": "nowait",
                                "low_mark": "0", "high_mark": "0"}
    values = empty | KIND_DEFAULTS[user.kind]
    values |= {key: getattr(user, key) for key in _BY_KIND if getattr(user, key) is not None}
    for key in ("low_mark", "high_mark"):
        values[key] = parse_mark(values[key]) or ResolvedMark(mark="", permille=0, pages=0)
    return ResolvedUser(
        kind=user.kind, cpu=user.cpu, cores=user.cores, start_ms=user.start_ms, sched_class=user.sched_class,
        priority=user.priority, nice=user.nice, interval_ns=max(1, round(1e9 / values["rate_per_s"])), **values)


def resolve_series(series: Series, duration_ms: int) -> ResolvedSeries:
    """The interval that is used: as written, or longer where the run would not fit into SAMPLES_MAX rows."""
    shortest = -(-duration_ms // (SAMPLES_MAX - SAMPLES_SPARE))
    used = max(series.interval_ms, shortest) if series.interval_ms else 0
    rows = min(SAMPLES_MAX, duration_ms // used + SAMPLES_SPARE) if used else 0
    return ResolvedSeries(interval_ms=used, always=series.always, on=series.always and used > 0,
                          interval_ns=used * 1_000_000, samples_max=rows)


class HogSeat(NamedTuple):
    """One process of a [[hogs]] table. core: the host's core, or -1: that of emulated CPU `cpu`."""

    hog: int
    core: int
    cpu: int


def hog_seats(hogs: tuple[Hog, ...]) -> list[HogSeat]:
    """The processes that the tables ask for, in order."""
    seats = []
    for i, hog in enumerate(hogs):
        seats += [HogSeat(i, core, -1) for core in hog.cores] + [HogSeat(i, -1, cpu) for cpu in hog.cpus]
    return seats


# --- rules between keys ---


def user_rules(resolved, scenario):
    """What a [[users]] table must keep."""
    for i, user in enumerate(scenario.keys.users):
        name = f"users[{i}]"
        yield from _scheduling(name, user)
        if user.cpu >= resolved.cpus.count:
            yield Problem(f"{name}.cpu", f"must be below cpus.count = {resolved.cpus.count}, or -1 for the "
                          "housekeeping page lists", "lower it, or raise cpus.count", user.cpu)
        if not user.cores or (isinstance(user.cores, str) and user.cores not in ("same", "housekeeping")):
            yield Problem(f"{name}.cores", 'must be "same" (the core of its CPU), "housekeeping" or a list of cores',
                          "for example cores = [1]", user.cores)
        for key in _BY_KIND:
            if getattr(user, key) is not None and key not in KIND_DEFAULTS[user.kind]:
                reads = ", ".join(KIND_DEFAULTS[user.kind])
                yield Problem(f"{name}.{key}", f'is not read when kind = "{user.kind}"',
                              f"remove it; this kind reads {reads}", getattr(user, key))
        yield from _marks(name, user, resolved)


def _marks(name, user, resolved):
    memory = resolved.memory
    known = {"min": memory.wmark_min, "low": memory.wmark_low, "high": memory.wmark_high, "": 0}
    for key in ("low_mark", "high_mark"):
        text = getattr(user, key)
        if text is not None and parse_mark(text) is None:
            yield Problem(f"{name}.{key}", "must be a mark or pages, with a factor or a distance",
                          'for example "min", "low*0.5", "high+200" or "1200"', text)
            return
    if user.kind != "filler":
        return
    low, high = (parse_mark(getattr(user, key) or KIND_DEFAULTS["filler"][key]) for key in ("low_mark", "high_mark"))
    pages = [known[each.mark] * each.permille // 1000 + each.pages for each in (low, high)]
    if pages[0] >= pages[1]:
        yield Problem(f"{name}.low_mark", f"must be below high_mark: {pages[0]} pages, and {pages[1]}",
                      'for example low_mark = "min", high_mark = "low"', user.low_mark or "min")


def _scheduling(name, keys):
    realtime = keys.sched_class in ("fifo", "rr")
    if realtime and keys.priority == 0:
        yield Problem(f"{name}.priority", f'must be 1 to 99 when class = "{keys.sched_class}"',
                      "for example priority = 1", keys.priority)
    if not realtime and keys.priority:
        yield Problem(f"{name}.priority", f'must be 0 when class = "{keys.sched_class}"',
                      'use nice, or class = "fifo"', keys.priority)
    if keys.nice and keys.sched_class not in ("other", "batch"):
        yield Problem(f"{name}.nice", f'must be 0 when class = "{keys.sched_class}"',
                      'use priority, or class = "other"', keys.nice)


def hog_rules(resolved, scenario):
    """What a [[hogs]] table must keep. Whether all cores are hogged is looked at on the host."""
    for i, hog in enumerate(scenario.keys.hogs):
        name = f"hogs[{i}]"
        yield from _scheduling(name, hog)
        if not hog.cores and not hog.cpus:
            yield Problem(f"{name}.cores", "must name at least one core, unless cpus names emulated CPUs",
                          "for example cores = [1], or cpus = [0]", hog.cores)
        for cpu in hog.cpus:
            if cpu >= resolved.cpus.count:
                yield Problem(f"{name}.cpus", f"must be below cpus.count = {resolved.cpus.count}",
                              "lower it, or raise cpus.count", cpu)


def hotplug_rules(resolved, scenario):
    """What [hotplug] must keep."""
    hot = resolved.hotplug
    if hot.cpu < 0:
        return
    if hot.cpu >= resolved.cpus.count:
        yield Problem("hotplug.cpu", f"must be below cpus.count = {resolved.cpus.count}, or -1 for none",
                      "lower it, or raise cpus.count", hot.cpu)
    if resolved.cpus.count == 1:
        yield Problem("hotplug.cpu", "must be -1 when cpus.count = 1: the last CPU cannot go offline",
                      "raise cpus.count", hot.cpu)
    if hot.online_at_ms <= hot.offline_at_ms:
        yield Problem("hotplug.online_at_ms", f"must be above hotplug.offline_at_ms = {hot.offline_at_ms}",
                      "for example online_at_ms = 2000", hot.online_at_ms)
    elif 0 < hot.repeat_ms <= hot.online_at_ms - hot.offline_at_ms:
        yield Problem("hotplug.repeat_ms", "must be longer than the CPU is offline, "
                      f"{hot.online_at_ms - hot.offline_at_ms} ms", "raise it, or set it to 0", hot.repeat_ms)


def cgroup_rules(resolved, scenario):
    """What [cgroup] must keep. Whether the host has cpu.max is looked at before the run."""
    cgroup = resolved.cgroup
    if 0 < cgroup.quota_us < 1000:
        yield Problem("cgroup.quota_us", "must be 0 (none) or at least 1000, as cpu.max demands",
                      "for example quota_us = 20_000", cgroup.quota_us)
    if cgroup.quota_us and not cgroup.roles:
        yield Problem("cgroup.roles", "must name at least one role when cgroup.quota_us is set",
                      'for example roles = ["page_refill"]', cgroup.roles)


USERS_RULES = (user_rules, hog_rules, hotplug_rules, cgroup_rules)


def users_remarks(resolved, scenario):
    """What is worth knowing of these sections."""
    series = resolved.series
    if series.interval_ms > scenario.keys.series.interval_ms:
        yield (f"the time series is sampled every {series.interval_ms} ms: {SAMPLES_MAX} rows have to last for "
               f"{resolved.run.duration_ms} ms")
