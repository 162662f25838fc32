"""The scenario files that come with the program: they load, say what they ask, and default.toml tells the truth."""

import re
from pathlib import Path

import pytest

from emu.config import all_keys, load_scenario, parse_scenario, resolve
from emu.config.resolved import as_record

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted(CONFIGS.glob("*.toml"))
DEFAULT = (CONFIGS / "default.toml").read_text(encoding="utf-8")
OPEN_KEY = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def keys_written(text):
    """Dotted names of every `key = value` line of a text, commented ones included, with the value's text."""
    section, found = "", []
    for line in text.splitlines():
        if header := re.match(r"\[([a-z_.]+)\]", line):
            section = header[1] + "."
        elif key := re.match(r"#?([a-z_]+) = (.*?)(?:\s+#.*)?$", line):
            found.append((section + key[1], key[2]))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_opens_with_its_question_and_resolves(path):
    assert path.read_text(encoding="utf-8").startswith("# Question: ")
    scenario = load_scenario(path)
    assert resolve(scenario).run.epoch == scenario.keys.run.epoch
    assert resolve(scenario).notes == () or scenario.keys.run.epoch == "E61"


def test_default_mentions_every_key_exactly_once():
    mentioned = [key for key, _ in keys_written(DEFAULT)]
    assert sorted(mentioned) == sorted(all_keys())


def test_default_writes_a_key_if_and_only_if_it_has_a_fixed_default():
    written = load_scenario(CONFIGS / "default.toml").written
    assert written == {name for name, key in all_keys().items() if key.default is not None}


def test_default_loads_to_the_defaults():
    assert load_scenario(CONFIGS / "default.toml").keys == parse_scenario("").keys
    assert as_record(resolve(load_scenario(CONFIGS / "default.toml")))[0] == as_record(resolve(parse_scenario("")))[0]


@pytest.mark.parametrize("name, shown", [pair for pair in keys_written(DEFAULT) if all_keys()[pair[0]].default is None])
def test_default_shows_the_value_that_the_epoch_or_formula_gives(name, shown):
    rule = {"memory.pcp_rule": "v5.9"} if name == "memory.pcp_high" else {}
    by_itself = as_record(resolve(parse_scenario("", overrides=rule)))
    said = as_record(resolve(parse_scenario(section_of(name, shown), overrides=rule)))
    assert said[0] == by_itself[0]
    assert said[1][name] == "user" and by_itself[1][name] in ("epoch", "formula")


def section_of(name, shown):
    section, _, leaf = name.rpartition(".")
    return f"[{section}]\n{leaf} = {shown}\n"


def test_the_phone_has_the_marks_that_its_comment_promises():
    memory = resolve(load_scenario(CONFIGS / "phone.toml")).memory
    assert (memory.wmark_min, memory.wmark_low, memory.wmark_high) == (1376, 1849, 2322)
    assert (memory.pcp_batch, memory.pcp_high_min, memory.pcp_high_max) == (63, 252, 7400)


def test_the_burst_has_the_share_that_its_comment_promises():
    resolved = resolve(load_scenario(CONFIGS / "burst.toml"))
    held = resolved.kvfree.min_cached_objs * resolved.kvfree.bnode_records
    calls = resolved.workload.burst.calls
    assert round(100 * (calls - held) / calls, 1) == 68.1
    assert resolved.run.preemption == "none"


def test_the_first_scenario_replays_the_recording_beside_it():
    resolved = resolve(load_scenario(CONFIGS / "first.toml"))
    assert Path(resolved.workload.replay.trace_path).is_file()
    assert (resolved.kvfree.bnode_records, resolved.run.kernel) == (510, "v6.1")


def test_commented_keys_can_all_be_uncommented_as_toml():
    text = OPEN_KEY.sub("", DEFAULT)
    assert parse_scenario(text).written == frozenset(all_keys())
