"""The text of `emu topology`: the cores, what each core spec would choose, what will disturb a run.

Holds   topology_text(), no wider than 80 columns.
Rule    "?" stands for what the host does not tell, "-" for no. A spec that cannot be met prints the refusal
        that a run would print.
Limits  one line per core, so a large host scrolls.
"""

import textwrap
from collections.abc import Iterable, Sequence

from emu.errors import HostError
from emu.host.cores import CORE_SPECS, choose_cores
from emu.host.quiet import Disturbance
from emu.host.topology import Core, Topology, format_core_list

WIDTH = 80
COUNTS = (1, 2, 4)
CHOICE_WIDTH = 14  # the last column may be longer

_HEAD = ("core", "package", "core id", "siblings", "node", "L3", "isolated", "use")
_WIDTHS = (5, 7, 7, 15, 5, 5, 9, 11)


def topology_text(topology: Topology, disturbances: Iterable[Disturbance] = ()) -> str:
    """All of `emu topology`. `disturbances` are those of quiet.disturbances()."""
    parts = [
        [_row(_HEAD), *(_row(_cells(core)) for core in topology.cores)],
        _summary(topology),
        _choices(topology),
        _warnings(list(disturbances)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " ".join(_fit(cell, width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _fit(cell: str, width: int) -> str:
    return (cell if len(cell) <= width else cell[: width - 2] + "..").rjust(width)


def _cells(core: Core) -> tuple[str, ...]:
    return (
        str(core.id),
        _known(core.package),
        _known(core.core_id),
        format_core_list(core.siblings or (core.id,)),
        _known(core.node),
        _known(core.l3),
        "yes" if core.isolated else "-",
        "offline" if not core.online else "allowed" if core.allowed else "not allowed",
    )


def _known(value: int) -> str:
    return "?" if value < 0 else str(value)


def _summary(topology: Topology) -> list[str]:
    online = [core for core in topology.cores if core.online]
    parts = [
        _count(len(online), "core") + f" online of {len(topology.cores)}",
        f"{len(topology.usable)} allowed ({format_core_list(topology.usable_ids)})",
        _count(len({core.physical for core in online}), "physical core"),
    ]
    for values, name in (
        ({core.package for core in online if core.package >= 0}, "package"),
        ({core.node for core in online if core.node >= 0}, "node"),
        ({core.l3 for core in online if core.l3 >= 0}, "L3 cache"),
    ):
        if values:
            parts.append(_count(len(values), name))
    parts.append(f"{sum(core.isolated for core in online)} isolated")
    parts.append(f"guest of {topology.hypervisor}" if topology.hypervisor else "no hypervisor seen")
    if topology.quota_cpus is not None:
        parts.append(f"cgroup quota {topology.quota_cpus:g} cores")
    return textwrap.wrap("; ".join(parts), WIDTH)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _choices(topology: Topology) -> list[str]:
    head = "cores for emulated CPUs".ljust(25) + "".join(str(count).ljust(CHOICE_WIDTH) for count in COUNTS)
    lines = [line for spec in CORE_SPECS for line in _choice(spec, topology)]
    if any(line.endswith("*") for line in lines):
        lines.append("  * more emulated CPUs than cores: they take turns")
    return [head.rstrip(), *lines]


def _choice(spec: str, topology: Topology) -> list[str]:
    label = f"  {spec}".ljust(25)
    try:
        cells = []
        for count in COUNTS:
            placement = choose_cores(spec, topology, count)
            cells.append(",".join(map(str, placement.cores)) + ("*" if placement.overcommitted else ""))
    except HostError as error:
        return textwrap.wrap(str(error), WIDTH, initial_indent=label, subsequent_indent=" " * 25)
    return [(label + "".join(cell.ljust(CHOICE_WIDTH) for cell in cells)).rstrip()]


def _warnings(disturbances: list[Disturbance]) -> list[str]:
    if not disturbances:
        return ["nothing found that will disturb a run"]
    lines = ["what will disturb a run"]
    for found in disturbances:
        lines += textwrap.wrap(found.what, WIDTH, initial_indent="  ", subsequent_indent="  ")
        lines += textwrap.wrap(found.way_out, WIDTH, initial_indent="    -> ", subsequent_indent="       ")
    return lines
