"""Core lists: from the words of a scenario to one core for each emulated CPU.

Holds   the grammar of core lists, the named orders (auto, compact, scatter, ...) and the daemons' core set.
Rule    nothing is placed outside the inherited affinity mask. Whoever started emu set that mask: to widen
        it is their decision, so a core beyond it is refused, never silently replaced.
        More emulated CPUs than cores reuses cores in turn; the placement says so, it is not an error.
Limits  a kernel booted with isolcpus= starts every process outside the isolated cores, so their mask must
        be widened by hand (taskset) before `isolated` finds them; the refusal says how.
After   Linux Documentation/core-api/cpu-hotplug.rst (lists), isolcpus in kernel-parameters.txt.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emu.errors import ConfigError, HostError
from emu.host.topology import CORE_ID_MAX, UNKNOWN, Core, Topology, format_core_list

CORE_SPECS = ("auto", "compact", "scatter", "one-per-physical-core", "isolated")

_RULE = 'a core list is ids and ranges with commas between them, "!" takes away: "0-7,!3,12"'


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the emulated CPUs sit: `cores[cpu]` is the core of emulated CPU `cpu`."""

    cores: tuple[int, ...]
    overcommitted: bool  # some core carries more than one emulated CPU
    shared: dict[int, tuple[int, ...]]  # those cores -> their emulated CPUs
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DaemonPlacement:
    """The core set that every housekeeping daemon may run on."""

    cores: tuple[int, ...]
    shared: tuple[int, ...]  # those of them that also carry a mutator
    notes: tuple[str, ...]


def parse_core_list(text: str) -> list[int]:
    """Core ids in the order written. "!" takes ids away wherever it stands. Raises ConfigError."""
    added: list[int] = []
    seen: set[int] = set()
    removed: list[tuple[str, range]] = []
    for token in (part.strip() for part in text.split(",")):
        ids = _token_ids(text, token)
        if token.startswith("!"):
            removed.append((token, ids))
            continue
        for i in ids:
            if i in seen:
                raise _bad(text, token, f"names core {i} a second time", "name each core once; a list shorter than the "
                           "number of emulated CPUs reuses its cores in turn")
            seen.add(i)
            added.append(i)
    for token, ids in removed:
        if seen.isdisjoint(ids):
            raise _bad(text, token, "takes away what is not listed", "drop it, or list the cores to take from first")
    kept = [i for i in added if not any(i in ids for _, ids in removed)]
    if not kept:
        raise ConfigError(f'cores = "{text}": no core is left; leave at least one core in the list')
    return kept


def _token_ids(text: str, token: str) -> range:
    match = re.fullmatch(r"!?\s*([0-9]+)(?:\s*-\s*([0-9]+))?", token)
    if match is None:
        raise _bad(text, token, f"is no core id and no range; {_RULE}", f"or use one of {', '.join(CORE_SPECS)}")
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if high < low:
        raise _bad(text, token, "runs backwards; a range goes from low to high", f'write "{high}-{low}"')
    if high > CORE_ID_MAX:
        raise _bad(text, token, f"is above the largest core id, {CORE_ID_MAX}", "`emu topology` lists the cores")
    return range(low, high + 1)


def _bad(text: str, token: str, broken: str, way_out: str) -> ConfigError:
    return ConfigError(f'cores = "{text}": "{token}" {broken}; {way_out}')


def choose_cores(spec: str | Sequence[int], topology: Topology, count: int) -> Placement:
    """Cores for `count` emulated CPUs. `spec` is a core list, a sequence of ids, or a word of CORE_SPECS.

    auto                   isolated cores first, then one thread of each physical core, near ones together,
                           the first core of the host (interrupts) last
    compact                SMT siblings and near cores first
    scatter                across packages, then across L3 caches, SMT siblings last
    one-per-physical-core  the first allowed sibling of each; siblings are never used
    isolated               isolated cores only

    Raises ConfigError for a spec that is no spec, HostError for a core the run may not have.
    """
    assert count >= 1
    if not topology.usable:
        raise _nowhere(topology)
    notes: list[str] = []
    order = _ordered(spec, topology, count, notes)
    cores = tuple(order[cpu % len(order)] for cpu in range(count))
    seats: dict[int, tuple[int, ...]] = {}
    for cpu, core in enumerate(cores):
        seats[core] = (*seats.get(core, ()), cpu)
    shared = {core: cpus for core, cpus in seats.items() if len(cpus) > 1}
    if shared:
        notes.append(f"{count} emulated CPUs on {len(seats)} cores ({format_core_list(seats)}): they take turns, as in "
                     "an overcommitted guest")
    notes += _sibling_notes(topology, seats)
    if topology.quota_cpus is not None and topology.quota_cpus < len(seats):
        notes.append(f"the cgroup's quota of {topology.quota_cpus:g} cores is less than the {len(seats)} cores chosen: "
                     "the kernel will throttle them")
    return Placement(cores, bool(shared), shared, tuple(notes))


def _ordered(spec: str | Sequence[int], topology: Topology, count: int, notes: list[str]) -> list[int]:
    pool = topology.usable
    if spec == "auto":
        return _auto(pool, min(topology.online_ids), count)
    if spec == "compact":
        return [core.id for core in sorted(pool, key=_near)]
    if spec == "scatter":
        return _scatter(pool)
    if spec == "one-per-physical-core":
        ids = _ids(pool)
        return [core.id for core in sorted(pool, key=_near) if _thread_rank(core, ids) == 0]
    if spec == "isolated":
        return _isolated(topology, count)
    listed = _explicit(spec, topology)
    if len(listed) > count:
        notes.append(f"cores {format_core_list(listed[count:])} of the list stay without an emulated CPU: it names "
                     f"{len(listed)} cores for {count} CPUs")
    return listed


def _near(core: Core) -> tuple[int, ...]:
    """Sort key: cores that share more stand closer."""
    return (core.package, core.node, core.die, core.l3, core.physical, core.id)


def _thread_rank(core: Core, ids: set[int]) -> int:
    """0 for the first thread of its physical core among `ids`, 1 for the second, ..."""
    return sum(1 for other in core.siblings if other < core.id and other in ids)


def _ids(pool: Iterable[Core]) -> set[int]:
    return {core.id for core in pool}


def _auto(pool: Sequence[Core], first_core: int, count: int) -> list[int]:
    ids = _ids(pool)

    def preference(core: Core):
        return (not core.isolated, _thread_rank(core, ids), core.physical == first_core, _near(core))

    chosen = sorted(pool, key=preference)[:count]
    return [core.id for core in sorted(chosen, key=_near)]


def _scatter(pool: Sequence[Core]) -> list[int]:
    order: list[Core] = []
    ids = _ids(pool)
    for same_rank in _grouped(pool, lambda core: _thread_rank(core, ids)):
        packages = _grouped(same_rank, lambda core: core.package)
        order += _in_turn([_in_turn(_grouped(package, lambda core: _near(core)[1:4])) for package in packages])
    return [core.id for core in order]


def _grouped(cores: Iterable[Core], key) -> list[list[Core]]:
    groups: dict = {}
    for core in sorted(cores, key=_near):
        groups.setdefault(key(core), []).append(core)
    return [groups[name] for name in sorted(groups)]


def _in_turn(groups: list[list]) -> list:
    """One of each group, then the next of each."""
    longest = max(len(group) for group in groups)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


def _isolated(topology: Topology, count: int) -> list[int]:
    inside = [core for core in topology.usable if core.isolated]
    if inside:
        return _auto(inside, UNKNOWN, count)
    outside = [core.id for core in topology.cores if core.isolated and core.online]
    if not outside:
        raise HostError('cores = "isolated": the host isolates no core; boot it with isolcpus= (and nohz_full=), '
                        'or use cores = "auto"')
    wider = format_core_list((*topology.mask, *outside))
    raise HostError(
        f'cores = "isolated": the isolated cores {format_core_list(outside)} are outside the inherited affinity mask '
        f"{format_core_list(topology.mask)}, where the kernel starts every process; run `taskset -c {wider} emu ...`"
    )


def _explicit(spec: str | Sequence[int], topology: Topology) -> list[int]:
    if isinstance(spec, str):
        if not spec.strip():
            raise ConfigError(f'cores = "{spec}": is empty; {_RULE}, or use one of {", ".join(CORE_SPECS)}')
        ids = parse_core_list(spec)
    else:
        ids = parse_core_list(",".join(str(i) for i in spec))
    for i in ids:
        require_usable(i, topology)
    return ids


def require_usable(i: int, topology: Topology) -> None:
    """HostError unless the run may have core `i`: there, online, and within the inherited mask."""
    mask = format_core_list(topology.mask)
    core = topology.core(i)
    if core is None:
        there = format_core_list(known.id for known in topology.cores)
        raise HostError(f"core {i}: the host has no such core (it has {there}, the affinity mask is {mask}); "
                        f"name one of {_offer(topology)}")
    if not core.online:
        raise HostError(f"core {i} is offline (online: {format_core_list(topology.online_ids)}, affinity mask {mask}); "
                        f"name one of {_offer(topology)}, or bring it online: "
                        f"echo 1 > /sys/devices/system/cpu/cpu{i}/online")
    if not core.allowed:
        wider = format_core_list((*topology.mask, i))
        raise HostError(f"core {i} is outside the inherited affinity mask {mask} (taskset, a cpuset or a container "
                        f"set it); name one of {_offer(topology)}, or start emu with a wider mask: "
                        f"taskset -c {wider} emu ...")


def _offer(topology: Topology) -> str:
    return format_core_list(topology.usable_ids)


def _sibling_notes(topology: Topology, seats: Iterable[int]) -> list[str]:
    by_physical: dict[int, list[int]] = {}
    for i in seats:
        core = topology.core(i)
        assert core is not None
        by_physical.setdefault(core.physical, []).append(i)
    pairs = [format_core_list(ids) for ids in by_physical.values() if len(ids) > 1]
    if not pairs:
        return []
    return [f"SMT siblings share a physical core: {'; '.join(pairs)}. Each slows the other down"]


def place_daemons(spec: str | Sequence[int], topology: Topology, mutator_cores: Iterable[int]) -> DaemonPlacement:
    """The core set of the housekeeping daemons (coordinator, reclaim): a core list, or "auto".

    auto takes cores without a mutator: first those that neither are isolated (the kernel balances no load
    among isolated cores) nor share a physical core with a mutator, then any; without a free core, all usable.
    Raises ConfigError and HostError as choose_cores().
    """
    busy = set(mutator_cores)
    notes: list[str] = []
    if spec == "auto":
        cores = _daemons_auto(topology, busy)
    elif isinstance(spec, str) and spec in CORE_SPECS:
        raise ConfigError(f'daemon cores = "{spec}": must be a core list or "auto"; {_RULE}')
    else:
        cores = sorted(_explicit(spec, topology))
    shared = tuple(i for i in cores if i in busy)
    if shared:
        notes.append(f"daemons share cores {format_core_list(shared)} with emulated CPUs: each preempts the other")
    isolated = [i for i in cores if (core := topology.core(i)) is not None and core.isolated]
    if isolated and len(cores) > 1:
        notes.append(f"daemon cores {format_core_list(isolated)} are isolated: the kernel balances no load onto them")
    return DaemonPlacement(tuple(cores), shared, tuple(notes))


def _daemons_auto(topology: Topology, busy: set[int]) -> list[int]:
    free = [core for core in topology.usable if core.id not in busy]
    quiet = [core for core in free if not core.isolated]
    apart = [core for core in quiet if not busy.intersection(core.siblings)]
    for choice in (apart, quiet, free, topology.usable):
        if choice:
            return [core.id for core in choice]
    raise _nowhere(topology)


def _nowhere(topology: Topology) -> HostError:
    return HostError(f"no core is both online and in the inherited affinity mask {format_core_list(topology.mask)}; "
                     "start emu with a mask that holds an online core (taskset -c)")
