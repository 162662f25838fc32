"""Many runs one after the other: each a full run with a result file of its own, in turns, until all are done or Ctrl-C.

Holds   Job, RunRow, prepare(), run_series().
Rule    every scenario is resolved before the first run starts, so that a mistake costs no time. A run that is not
        VALID keeps its place in the count, is named with its reason and gives no figures. A signal ends the run under
        way in order and the series with it; what was measured stays.
Limits  one launcher process makes all runs; none of them shares anything with another but compiled code.
"""

import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from emu.compare.arms import Arm, turns
from emu.compare.metrics import metrics_of
from emu.config import Resolved, Scenario, load_scenario, resolve
from emu.errors import ConfigError, EmuError
from emu.launch import Options, run_scenario
from emu.report import Progress

SIGNAL_EXIT = 128
OVERHEAD_S = 2.0  # of a run beside its duration, before one has been timed


class Job(NamedTuple):
    """One run to be made: round, arm, its scenario, where its result goes."""

    repeat: int
    arm: int
    name: str
    scenario: Scenario
    resolved: Resolved
    output: Path


class Display(NamedTuple):
    """What the series says and shows: a line of news; a progress line for so many seconds."""

    say: Callable[[str], None]
    progress: Callable[[float], Progress]


def prepare(path: str, arms: Sequence[Arm], repeats: int, overrides: dict, folder: Path) -> list[Job]:
    """Every run of the series, resolved, in the order in which they take turns. Raises ConfigError for all at once."""
    seed = load_scenario(path, overrides).keys.run.seed
    problems: list[str] = []
    for arm in arms:
        try:
            resolve(load_scenario(path, overrides | arm.overrides))
        except ConfigError as error:
            problems.append(f"{arm.name}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    jobs = []
    for repeat, which in turns(len(arms), repeats):
        chosen = arms[which]
        scenario = load_scenario(path, overrides | chosen.overrides | {"run.seed": seed + repeat})
        name = re.sub(r"[^A-Za-z0-9.=+-]+", "_", chosen.name)[:60]
        jobs.append(Job(repeat, which, chosen.name, scenario, resolve(scenario),
                        folder / f"{which:02d}-{name}-{repeat + 1}.emu"))
    return jobs


def repeat_command(job: Job, invoked: Sequence[str]) -> list[str]:
    """The `emu run` command that repeats one run of the series."""
    command = [*invoked, job.scenario.path]
    for key in sorted(job.scenario.overridden):
        command += ["--set", f"{key}={_toml(_value(job.scenario, key))}"]
    return command


def _value(scenario: Scenario, key: str) -> object:
    here: object = scenario.keys
    for part in key.split("."):
        here = getattr(here, "sched_class" if part == "class" else part)
    return here


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ",".join(f'"{each}"' if isinstance(each, str) else _toml(each) for each in value) + "]"
    return str(value)


def run_series(jobs: Sequence[Job], display: Display, invoked: Sequence[str],
               keep: Callable[[list[dict]], None]) -> tuple[list[dict], int]:
    """Make the runs; `keep` gets the rows so far after each round.

    Returns a row per run that was begun, and the number of the signal that ended the series, or 0.
    """
    rows: list[dict] = []
    took: dict[int, float] = {}  # arm -> seconds of its last run, all in
    try:
        for number, job in enumerate(jobs):
            left = sum(took.get(each.arm, each.resolved.run.duration_ns / 1e9 + OVERHEAD_S) for each in jobs[number:])
            display.say(f"run {number + 1} of {len(jobs)}: {job.name}, round {job.repeat + 1}; "
                        f"about {left:.0f} s left")
            begun = time.monotonic()
            row, ended_by = run_one(job, display, invoked, first=not rows)
            took[job.arm] = time.monotonic() - begun
            rows += [row] if row["verdict"] else []
            if row["verdict"] not in ("", "VALID"):
                why = row["reasons"][0] if row["reasons"] else "no reason given"
                display.say(f"run {number + 1} is {row['verdict']} and left out: {why}")
            if ended_by:
                return rows, ended_by
            if number + 1 == len(jobs) or jobs[number + 1].repeat != job.repeat:
                keep(rows)
    except KeyboardInterrupt:  # between two runs, where nobody counts signals
        return rows, signal.SIGINT
    return rows, 0


def run_one(job: Job, display: Display, invoked: Sequence[str], first: bool) -> tuple[dict, int]:
    """One run: its row (verdict "" where a signal came before it began) and the signal that ended it, or 0."""
    row: dict = {"arm": job.arm, "repeat": job.repeat, "file": None, "verdict": "", "reasons": [], "values": {}}
    try:
        outcome = run_scenario(job.resolved, job.scenario, Options(
            output=job.output, command=repeat_command(job, invoked), say=display.say, progress=display.progress))
    except EmuError as error:
        if error.exit_code > SIGNAL_EXIT:
            return row, error.exit_code - SIGNAL_EXIT
        if first:
            raise  # if the first run cannot even start, nor can the others
        return row | {"verdict": "NOT RUN", "reasons": [str(error)]}, 0
    verdict = outcome.record["verdict"]
    row["file"] = str(outcome.path) if outcome.path else None
    row["verdict"] = verdict["word"]
    row["reasons"] = verdict["reasons"] + ([outcome.problem] if outcome.problem else [])
    row["values"] = metrics_of(outcome.record) if row["verdict"] == "VALID" else {}
    return row, max(0, outcome.exit_code - SIGNAL_EXIT)
