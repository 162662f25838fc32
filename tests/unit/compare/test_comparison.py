"""From rows to medians: what is left out, what is a row, what the exit code says."""

import pytest

from emu.compare.arms import Arm
from emu.compare.comparison import exit_code_of, make_comparison
from emu.compare.metrics import METRICS, describe, metrics_of
from emu.report import comparison_text
from emu.results import blank_record, read_comparison, write_comparison

ARMS = [Arm("S1", {"policy.preset": "S1"}), Arm("S3", {"policy.preset": "S3"})]
ABOUT = {"repeats": 4, "ended": "complete", "command": ["emu", "compare", "a.toml"]}


def rows(figures, verdict="VALID"):
    return [{"arm": arm, "repeat": repeat, "file": None, "verdict": verdict, "reasons": [], "values": values}
            for repeat, values in enumerate(figures[0]) for arm, values in enumerate([values, figures[1][repeat]])]


def cell(comparison, metric, arm):
    return next(c for c in comparison["cells"] if (c["metric"], c["arm"]) == (metric, arm))


def series(name, *arms):
    return rows([[{name: value} for value in values] for values in arms])


def test_medians_stand_against_the_first_arm():
    made = make_comparison(series("peak_pages", [10.0, 11, 12, 13], [100.0, 110, 120, 130]), ARMS, ABOUT)
    assert cell(made, "peak_pages", 0)["median"] == 11.5
    assert cell(made, "peak_pages", 0)["against"] is None
    found = cell(made, "peak_pages", 1)["against"]
    assert (found["kind"], found["value"], found["significant"]) == ("ratio", 10.0, True)


def test_a_run_that_is_not_valid_gives_no_figures_and_keeps_its_place():
    made = series("peak_pages", [10.0, 11], [100.0, 110])
    made[2] |= {"verdict": "INVALID", "reasons": ["pages lost"], "values": {}}
    comparison = make_comparison(made, ARMS, ABOUT)
    assert cell(comparison, "peak_pages", 0)["n"] == 1
    text = comparison_text(comparison)
    assert text.startswith("COMPARED: 3 of 8 runs VALID\nleft out: S1, round 2: INVALID: pages lost\n")
    assert exit_code_of(comparison, 0) == 1


def test_figures_that_nobody_has_give_no_row():
    made = make_comparison(series("oom_kill", [0.0, 0.0], [0.0, 0.0]), ARMS, ABOUT)
    assert made["metrics"] == [] and made["cells"] == []
    assert make_comparison(series("oom_kill", [0.0, 0.0], [0.0, 1.0]), ARMS, ABOUT)["metrics"]


@pytest.mark.parametrize(("verdicts", "number", "code"), [
    (["VALID"], 0, 0), (["VALID", "INVALID"], 0, 1), (["VALID", "NOT RUN"], 0, 3), (["INCOMPLETE"], 2, 130),
    ([], 0, 3)])
def test_exit_codes(verdicts, number, code):
    assert exit_code_of({"runs": [{"verdict": verdict} for verdict in verdicts]}, number) == code


def test_a_comparison_comes_back_from_its_file(tmp_path):
    made = make_comparison(series("peak_pages", [10.0, 11], [0.0, 110]), ARMS, ABOUT)
    path = write_comparison(made, tmp_path / "c.emu")
    assert read_comparison(path) == made


def test_every_figure_of_an_empty_record_is_none_or_a_number():
    figures = metrics_of(blank_record())
    assert set(figures) == {metric.name for metric in METRICS}
    assert all(value is None or isinstance(value, (int, float)) for value in figures.values())


def test_sources_share_the_pages_that_were_asked_for():
    record = blank_record()
    record["counters"] = {"names": ["krc_cache_hit", "static_hit", "kvfree_page_miss"],
                          "per_process": {"a": [1, 2, 3], "b": [1, 1, 0]}}
    figures = metrics_of(record)
    assert (figures["hit.krc_cache"], figures["hit.static"]) == (0.25, 0.375)
    assert [row["label"] for row in describe({"hit.static", "hit.krc_cache"})] == ["hits krc cache", "hits static"]
