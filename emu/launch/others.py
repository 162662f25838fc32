"""Other users and hogs against this host: the cores they name, and whether they would leave the launcher one.

Rule    before any process starts. A hog of a real-time class takes its core from everything of class other, the
        launcher too; with one on every core the run could not even be stopped from this terminal.
"""

from msgspec.structs import replace

from emu.config import Resolved, Scenario, hog_seats
from emu.errors import ConfigError, EmuError, HostError
from emu.host import CpuBandwidth, DaemonPlacement, Placement, Topology, require_usable

REALTIME = ("fifo", "rr")


def check_others(resolved: Resolved, scenario: Scenario, topology: Topology, placement: Placement) -> None:
    """Refuse cores that the run may not have, and hogs that would stop the launcher. ConfigError or HostError."""
    named = [(f"users[{i}].cores", core) for i, user in enumerate(resolved.users) if not isinstance(user.cores, str)
             for core in user.cores]
    named += [(f"hogs[{i}].cores", core) for i, hog in enumerate(resolved.hogs) for core in hog.cores]
    for key, core in named:
        try:
            require_usable(core, topology)
        except EmuError as error:
            raise type(error)(f"{scenario.name_of(key)}: {key}: {error}") from None
    refuse_hogs_everywhere(resolved, scenario, topology.usable_ids, placement)


def with_sampler(resolved: Resolved, placement: Placement, daemons: DaemonPlacement) -> Resolved:
    """The scenario with its sampler on, where that costs no mutator a core; as it was otherwise."""
    free = not set(daemons.cores) & set(placement.cores)
    if not free or not resolved.series.interval_ns:
        return resolved
    return replace(resolved, series=replace(resolved.series, on=True))


def take_bandwidth(resolved: Resolved, scenario: Scenario, degraded: list[str]) -> CpuBandwidth | None:
    """The cgroup that [cgroup] asks for; None without one. HostError where the host has none, unless run.degrade."""
    cgroup = resolved.cgroup
    if not cgroup.quota_us:
        return None
    try:
        return CpuBandwidth(cgroup.quota_us, cgroup.period_us)
    except HostError as error:
        if not resolved.run.degrade:
            raise HostError(f"{scenario.name_of('cgroup.quota_us')}: cgroup.quota_us: {error}") from None
        degraded.append(f"no CPU bandwidth limit for {', '.join(cgroup.roles)}: {error}".partition(";")[0])
        return None


def refuse_hogs_everywhere(resolved: Resolved, scenario: Scenario, usable, placement: Placement) -> None:
    """ConfigError when every core that the launcher may use has a hog of a real-time class.

    With run.force it may run if each of them sleeps in between: the launcher is late then, not dead.
    """
    seats = [seat for seat in hog_seats(resolved.hogs) if resolved.hogs[seat.hog].sched_class in REALTIME]
    hogged = {seat.core if seat.core >= 0 else placement.cores[seat.cpu] for seat in seats}
    if set(usable) - hogged:
        return
    tables = sorted({seat.hog for seat in seats})
    restless = [i for i in tables if resolved.hogs[i].idle_ms == 0]
    if resolved.run.force and not restless:
        return
    key = f"hogs[{(restless or tables)[0]}]"
    reason = ("every core that the launcher may use has a hog of a real-time class, which would keep the launcher from "
              "stopping the run")
    way_out = "leave one core without" if restless else "leave one core without, or run with --force, since all sleep"
    raise ConfigError(f"{scenario.name_of(key)}: {key}: {reason}; {way_out}")
