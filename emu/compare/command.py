"""emu compare: arms, runs in turns, one table, one file.

Holds   compare().
Rule    what was measured is kept: the comparison is written after every round, so that even a killed launcher leaves
        the rounds before; Ctrl-C prints the table so far.
"""

import os
import platform
import signal
from collections.abc import Sequence
from pathlib import Path

from emu.compare.arms import Arm
from emu.compare.comparison import exit_code_of, make_comparison
from emu.compare.series import Display, prepare, run_series
from emu.results import write_comparison


def host_words() -> str:
    """The machine in a few words."""
    return f"{platform.node()}, {os.cpu_count()} cores, Linux {platform.release()}"


def compare(path: str, arms: Sequence[Arm], repeats: int, overrides: dict, output: Path, command: list[str],
            invoked: list[str], display: Display) -> tuple[dict, int]:
    """Run every arm `repeats` times in turns. Returns the comparison, written to `output`, and the exit code."""
    folder = output.parent / (output.stem + ".runs")
    jobs = prepare(path, arms, repeats, overrides, folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"scenario": {"path": jobs[0].scenario.path, "text": jobs[0].scenario.text},
             "question": jobs[0].resolved.question, "command": command, "host": host_words(), "repeats": repeats}

    def comparison_of(rows: list[dict], number: int) -> dict:
        ended = f"stopped by {signal.Signals(number).name}" if number else "complete"
        if not number and len(rows) < len(jobs):
            ended = "killed"  # what a reader finds if no later round was written
        return make_comparison(rows, arms, about | {"ended": ended})

    rows, number = run_series(jobs, display, invoked, lambda rows: write_comparison(comparison_of(rows, 0), output))
    comparison = comparison_of(rows, number)
    write_comparison(comparison, output)
    return comparison, exit_code_of(comparison, number)

