"""The table of a comparison: within its width, one scale to a row, honest about what is not significant."""

import pytest

from emu.report import comparison_text
from emu.results import blank_comparison


def cell(metric, arm, median, low, high, against=None):
    return {"metric": metric, "arm": arm, "n": 5, "median": median, "low": low, "high": high, "against": against}


def against(value, low, high, significant, kind="ratio", too_few=False):
    return {"kind": kind, "value": value, "low": low, "high": high, "significant": significant, "too_few": too_few}


def comparison(arms=3):
    made = blank_comparison()
    made |= {
        "repeats": 5, "ended": "complete", "question": "who is hurt?", "command": ["emu", "compare", "x.toml"],
        "scenario": {"path": "x.toml", "text": ""}, "arms": [{"name": f"S{i}", "overrides": {}} for i in range(arms)],
        "runs": [{"arm": arm, "repeat": repeat, "file": None, "verdict": "VALID", "reasons": [], "values": {}}
                 for repeat in range(5) for arm in range(arms)],
        "metrics": [{"name": "p50", "label": "kvfree_rcu() p50", "unit": "ns", "group": "a"},
                    {"name": "lost", "label": "fallback objects", "unit": "share", "group": "b"}],
        "cells": [cell("p50", 0, 940.0, 900.0, 980.0)],
    }
    for arm in range(1, arms):
        made["cells"] += [cell("p50", arm, 9.4e6, 9.1e6, 9.9e6, against(1e4, 9.9e3, 1.1e4, True)),
                          cell("lost", arm, 0.01, 0.0, 0.02, against(1.0, 0.0, 2.0, False))]
    return made


@pytest.mark.parametrize("arms", [2, 3, 4, 9])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_asked(arms, width):
    assert max(map(len, comparison_text(comparison(arms), width=width).splitlines())) <= max(width, 80)


def test_many_arms_make_blocks_and_each_has_the_reference():
    text = comparison_text(comparison(6))
    assert text.count("S0 (ref)") == 3
    assert all(f"S{i}" in text for i in range(6))


def test_a_row_has_one_scale_and_what_is_not_significant_says_so():
    lines = comparison_text(comparison()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("kvfree_rcu() p50, ms"))
    assert "9.40 [9.1 9.9]" in lines[at] and "x1.0e4" in lines[at + 1]
    at = next(i for i, line in enumerate(lines) if line.startswith("fallback objects, %"))
    assert "n.s. [0.0 2.0]" in lines[at + 1]
    assert lines[at].split()[3] == "-"  # the reference has no such figure


def test_what_ended_it_and_what_was_left_out_lead():
    made = comparison()
    made["ended"] = "stopped by SIGINT"
    made["runs"] = made["runs"][:4] + [made["runs"][4] | {"verdict": "INCOMPLETE", "reasons": ["killed"]}]
    text = comparison_text(made)
    assert text.splitlines()[:2] == ["COMPARED: 4 of 15 runs VALID; stopped by SIGINT",
                                     "left out: S1, round 2: INCOMPLETE: killed"]
    assert text.endswith("repeat: emu compare x.toml\n")


def test_too_few_runs_are_said_to_be():
    made = comparison()
    made["cells"][1]["against"]["too_few"] = True
    assert "four runs of each arm are the least" in comparison_text(made)
    assert "four runs of each arm are the least" not in comparison_text(comparison())
