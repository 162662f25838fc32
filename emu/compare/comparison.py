"""From the rows of a series to a comparison: medians, intervals, each arm against the first.

Holds   make_comparison(), exit_code_of().
Rule    the first arm is the reference. A figure that no run of any arm has, or that is zero everywhere, gives no row.
"""

import time
from collections.abc import Sequence

from emu import __version__
from emu.compare.arms import Arm
from emu.compare.metrics import QUIET, describe
from emu.compare.statistics import against, estimate
from emu.results import blank_comparison


def values_of(rows: Sequence[dict], arm: int, name: str) -> list[float]:
    """A figure of every VALID run of an arm, in the order of the rounds."""
    return [row["values"][name] for row in rows if row["arm"] == arm and row["values"].get(name) is not None]


def make_comparison(rows: Sequence[dict], arms: Sequence[Arm], about: dict) -> dict:
    """The comparison of a series' rows. about: what is known beside them (scenario, command, host, repeats, ended)."""
    names = {name for row in rows for name, value in row["values"].items() if value} - set(QUIET)
    metrics = describe(names)
    cells = []
    for metric in metrics:
        reference = values_of(rows, 0, metric["name"])
        for arm in range(len(arms)):
            values = values_of(rows, arm, metric["name"])
            if not values:
                continue
            found = against(values, reference)._asdict() if arm and reference else None
            cells.append({"metric": metric["name"], "arm": arm, **estimate(values)._asdict(), "against": found})
    return blank_comparison() | {
        "emu_version": __version__, "created_unix": time.time(), "runs": list(rows), "metrics": metrics, "cells": cells,
        "arms": [{"name": arm.name, "overrides": plain(arm.overrides)} for arm in arms],
    } | about


def plain(overrides: dict) -> dict:
    """Overrides as a file can hold them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in overrides.items()}


def exit_code_of(comparison: dict, signal_number: int) -> int:
    """0: every run was VALID; 1: one was INVALID; 3: one is missing or INCOMPLETE; 128 + n after signal n."""
    if signal_number:
        return 128 + signal_number
    verdicts = {row["verdict"] for row in comparison["runs"]}
    if "INVALID" in verdicts:
        return 1
    return 0 if verdicts == {"VALID"} else 3
