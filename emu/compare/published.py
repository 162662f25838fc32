"""emu published: scenarios that carry somebody's figure run as they say, and what they measure is held against it.

Holds   find_published(), run_published(), published_table().
Rule    variants A and B run in turns, as arms of a comparison; the measured figure is that of the medians, with its
        bootstrap interval. Held means: the figure lies within the bounds that the file states, whatever its interval.
        What does not hold is printed as not held, what could not be measured as such; nothing is adjusted.
Limits  ratios, not absolute figures: this host is not the one that published them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from emu.compare.arms import Arm
from emu.compare.command import compare
from emu.compare.comparison import values_of
from emu.compare.metrics import METRICS
from emu.compare.series import Display
from emu.compare.statistics import against, estimate
from emu.config import Figure, Scenario, figures_of, load_scenario, parse_override, resolve
from emu.errors import ConfigError
from emu.report import table, wrap

FOLDER = Path("configs/published")


class Finding(NamedTuple):
    """One figure as it came out. held: None where it was not measured."""

    id: str
    words: str
    figure: Figure
    measured: tuple[float, float, float] | None
    held: bool | None


def find_published(ids: Sequence[str]) -> list[Scenario]:
    """The scenario files of these ids (all: none named), in the order of their numbers."""
    folder = FOLDER if FOLDER.is_dir() else Path(__file__).resolve().parents[2] / FOLDER
    files = {path.stem: path for path in folder.glob("*.toml")}
    unknown = [name for name in ids if name not in files]
    if unknown or not files:
        raise ConfigError(f"published: {', '.join(unknown) or folder}: no such scenario in {folder}; "
                          f"there are {', '.join(sorted(files, key=_number)) or 'none'}")
    return [load_scenario(files[name]) for name in sorted(ids or files, key=_number)]


def _number(name: str) -> tuple[int, str]:
    digits = "".join(ch for ch in name if ch.isdigit())
    return int(digits or 0), name


def arms_of_published(scenario: Scenario) -> list[Arm]:
    """Its variants."""
    section = scenario.keys.published
    arms = [Arm(section.a_name, dict(parse_override(text) for text in section.a))]
    if section.b:
        arms.append(Arm(section.b_name, dict(parse_override(text) for text in section.b)))
    return arms


def check_published(scenario: Scenario) -> list[Figure]:
    """Its figures; ConfigError where one names what is not measured, or a variant that is not there."""
    resolve(scenario)
    section = scenario.keys.published
    figures = figures_of(section)
    if not figures:
        raise ConfigError(f"{scenario.path}: published.figures = []: names nothing to hold it against")
    known = [metric.name for metric in METRICS]
    for figure in figures:
        if figure.name not in known:
            raise ConfigError(f"{scenario.path}: published.figures: {figure.name} is not measured; "
                              f"there are {', '.join(known)}")
        if "B" in figure.of and not section.b:
            raise ConfigError(f"{scenario.path}: published.figures: {figure.name} {figure.of}: there is no variant B; "
                              "write published.b")
    return figures


def measured(rows: Sequence[dict], figure: Figure) -> tuple[float, float, float] | None:
    """(value, low, high) of a figure, or None where a variant has no VALID run that measured it."""
    sides = [values_of(rows, "AB".index(side), figure.name) for side in figure.of.split("/")]
    if not all(sides):
        return None
    if len(sides) == 1:
        found = estimate(sides[0])
        return found.median, found.low, found.high
    ratio = against(*sides)
    return (ratio.value, ratio.low, ratio.high) if ratio.kind == "ratio" else None


def findings(scenario: Scenario, rows: Sequence[dict]) -> list[Finding]:
    """Every figure of a scenario, held or not."""
    section = scenario.keys.published
    words = {metric.name: metric.label for metric in METRICS}
    found = []
    for figure in check_published(scenario):
        value = measured(rows, figure)
        held = None if value is None else figure.least <= value[0] <= figure.most
        names = " / ".join({"A": section.a_name, "B": section.b_name}[side] for side in figure.of.split("/"))
        found.append(Finding(section.id, f"{words[figure.name]}: {names}", figure, value, held))
    return found


def run_published(ids: Sequence[str], folder: Path, rounds: int | None, invoked: list[str],
                  display: Display) -> tuple[list[Finding], int]:
    """Run them all; returns the findings and the exit code of the runs (128 + n after signal n ended them)."""
    scenarios = find_published(ids)
    for scenario in scenarios:
        check_published(scenario)
    found: list[Finding] = []
    worst = 0
    for scenario in scenarios:
        section = scenario.keys.published
        display.say(f"{section.id}: {section.setup}")
        made, code = compare(scenario.path, arms_of_published(scenario), rounds or section.rounds, {},
                             folder / f"{section.id}.emu", ["emu", "published", section.id], invoked, display)
        found += findings(scenario, made["runs"])
        worst = max(worst, code)
        if code > 128:
            break
    return found, worst


def _shown(value: tuple[float, float, float] | None) -> str:
    return "-" if value is None else f"{value[0]:.3g} [{value[1]:.2g} {value[2]:.2g}]"


def published_table(found: Sequence[Finding], width: int = 80) -> str:
    """Published figure, measured figure, held or not. Ends with a line feed."""
    words = {True: "held", False: "NOT HELD", None: "not measured"}
    held = sum(row.held is True for row in found)
    lines = [f"PUBLISHED: {held} of {len(found)} figures hold", ""]
    rows = [(row.id, row.figure.published, _shown(row.measured), row.figure.held, words[row.held]) for row in found]
    grid = table(("", "published", "measured [95 %]", "holds if", ""), rows, width, 0)
    lines += grid[:1]
    for row, line in zip(found, grid[1:], strict=True):
        lines += [line, *wrap(row.words, width, "    ")]
    return "\n".join(each.rstrip() for each in lines) + "\n"
