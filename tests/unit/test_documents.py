"""What the documents name exists, and what a scenario can say is documented."""

import re
import tomllib
from pathlib import Path

import pytest

from emu.config import EPOCHS, POLICIES, SOURCES

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "emu/README.md", "emu/DECISIONS.md", "docs/scenarios.md")


def text_of(document):
    return (PROJECT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_keep_the_width_but_for_tables(document):
    assert [line for line in text_of(document).splitlines() if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    folder = (PROJECT / document).parent
    targets = re.findall(r"\]\(([^)#]+)\)", text_of(document))
    assert [target for target in targets if not (folder / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document):
    named = set(re.findall(r"`([a-z_]+(?:/[\w.-]+)+)`", text_of(document)))
    homes = (PROJECT, PROJECT / "emu")
    assert [name for name in sorted(named) if not any((home / name).exists() for home in homes)] == []


def test_every_section_of_a_scenario_is_explained():
    defaults = tomllib.loads(text_of("configs/default.toml"))
    explained = re.findall(r"`?\[([\w.*]+)\]`?", text_of("docs/scenarios.md"))
    sections = [name for name, value in defaults.items() if isinstance(value, dict)]
    inner = [f"{name}.{key}" for name in sections if name != "processes"
             for key, value in defaults[name].items() if isinstance(value, dict)]
    known = set(explained) | {name.removesuffix(".*") for name in explained}
    assert [name for name in sections + inner if name not in known] == []


def test_every_name_of_a_scenario_is_explained():
    text = text_of("docs/scenarios.md") + text_of("docs/policies.md")
    names = list(EPOCHS)
    names += [name for name in POLICIES if name != "epoch"]
    names += [f"`{name}`" for name in SOURCES]
    assert [name for name in names if name not in text] == []


def test_the_first_screen_tells_what_it_is_shows_a_run_and_its_limits():
    screen = "\n".join(text_of("README.md").splitlines()[:45])
    assert "$ scripts/run configs/first.toml" in screen and "VALID" in screen
    assert "**What it cannot tell you.**" in screen
