"""Published figures: every file names what is measured; held and not held are what the bounds say."""

import pytest

from emu.compare.metrics import METRICS
from emu.compare.published import (
    arms_of_published,
    check_published,
    find_published,
    findings,
    measured,
    published_table,
)
from emu.config import load_scenario, parse_scenario, resolve
from emu.errors import ConfigError

FILES = find_published([])
SECTION = """[published]
id = "X1"
source = "somebody"
a = ["kvfree.batching=false"]
b = ["kvfree.batching=true"]
figures = ["gp_ended A/B", "peak_pages B"]
published = ["5.3", "300"]
held = [">= 4", "200 to 400"]
"""


def rows(a, b):
    return [{"arm": arm, "repeat": i, "verdict": "VALID", "file": None, "reasons": [], "values": values}
            for arm, row in enumerate((a, b)) for i, values in enumerate(row)]


def test_every_published_figure_has_its_file():
    assert [each.keys.published.id for each in FILES] == [
        "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V11", "V12", "V13", "V14"]


@pytest.mark.parametrize("scenario", FILES, ids=lambda each: each.keys.published.id)
def test_each_file_resolves_in_both_variants_and_measures_what_it_names(scenario):
    assert scenario.text.startswith("# Question: ")
    names = {metric.name for metric in METRICS}
    assert {figure.name for figure in check_published(scenario)} <= names
    section = scenario.keys.published
    assert section.source and section.setup and section.shape
    for arm in arms_of_published(scenario):
        resolve(load_scenario(scenario.path, arm.overrides))


def test_a_figure_is_held_within_its_bounds_and_only_there():
    scenario = parse_scenario(SECTION)
    made = rows([{"gp_ended": 50.0}], [{"gp_ended": 10.0, "peak_pages": 500.0}])
    found = findings(scenario, made)
    assert [(row.measured[0], row.held) for row in found] == [(5.0, True), (500.0, False)]
    text = published_table(found)
    assert text.startswith("PUBLISHED: 1 of 2 figures hold\n") and "NOT HELD" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_no_valid_run_measured_is_not_held():
    found = findings(parse_scenario(SECTION), rows([{"gp_ended": 50.0}], [{}]))
    assert [(row.measured, row.held) for row in found] == [(None, None), (None, None)]
    assert "not measured" in published_table(found)


def test_a_ratio_over_nothing_is_not_measured():
    figure = check_published(parse_scenario(SECTION))[0]
    assert measured(rows([{"gp_ended": 5.0}], [{"gp_ended": 0.0}]), figure) is None


@pytest.mark.parametrize(("old", "new", "said"), [
    ('"gp_ended A/B"', '"gp_over A/B"', "gp_over is not measured"),
    ('"gp_ended A/B"', '"gp_ended C"', "must be a figure and its variants"),
    ('">= 4"', '"about 4"', "must be a bound"), ('["5.3", "300"]', '["5.3"]', "has 2 elements, published 1"),
    ('"kvfree.batching=true"', '"kvfree.batching"', "must be KEY=VALUE"),
    ('b = ["kvfree.batching=true"]', "b = []", "there is no variant B"),
])
def test_a_section_that_cannot_be_held_against_anything_is_refused(old, new, said):
    with pytest.raises(ConfigError, match=said):
        check_published(parse_scenario(SECTION.replace(old, new)))


def test_an_unknown_figure_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"V99: no such scenario .* V1, V2, V3"):
        find_published(["V99"])
