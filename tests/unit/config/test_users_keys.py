"""[[users]], [[hogs]], [hotplug], [cgroup], [series]: what is filled in, what is refused and in which words."""

import pytest

from emu.config import explain, parse_scenario, resolve
from emu.config.rules import RULES
from emu.config.users_keys import KIND_DEFAULTS, SAMPLES_MAX, USERS_RULES, parse_mark
from emu.errors import ConfigError


def resolved(text):
    return resolve(parse_scenario(text, "s.toml"))


def error_of(text):
    with pytest.raises(ConfigError) as caught:
        resolved(text)
    return str(caught.value)


@pytest.mark.parametrize("kind", KIND_DEFAULTS)
def test_each_kind_needs_nothing_but_its_name(kind):
    user = resolved(f'[[users]]\nkind = "{kind}"').users[0]
    assert user.kind == kind
    assert user.interval_ns == round(1e9 / KIND_DEFAULTS[kind]["rate_per_s"])


@pytest.mark.parametrize(("text", "mark", "permille", "pages"), [
    ("min", "min", 1000, 0), ("low*0.5", "low", 500, 0), ("high+200", "high", 1000, 200), ("1200", "", 1000, 1200),
    ("min * 0.375 - 10", "min", 375, -10), ("1_200", "", 1000, 1200),
])
def test_a_mark_is_a_mark_with_a_factor_and_a_distance(text, mark, permille, pages):
    parsed = parse_mark(text)
    assert (parsed.mark, parsed.permille, parsed.pages) == (mark, permille, pages)


@pytest.mark.parametrize("text", ["", "max", "min*", "min**2", "*2", "low+"])
def test_what_is_no_mark_is_none(text):
    assert parse_mark(text) is None


BROKEN = [
    ("user_rules", '[[users]]\nkind = "victim"\ncpu = 2',
     "users[0].cpu = 2: must be below cpus.count = 2, or -1 for the housekeeping page lists"),
    ("user_rules", '[[users]]\nkind = "victim"\ncores = "here"', 'users[0].cores = "here": must be "same"'),
    ("user_rules", '[[users]]\nkind = "victim"\nhold_us = 5',
     'users[0].hold_us = 5: is not read when kind = "victim"; remove it; this kind reads rate_per_s'),
    ("user_rules", '[[users]]\nkind = "filler"\nlow_mark = "hugh"', 'users[0].low_mark = "hugh": must be a mark'),
    ("user_rules", '[[users]]\nkind = "filler"\nlow_mark = "high"', "users[0].low_mark = \"high\": must be below"),
    ("user_rules", '[[users]]\nkind = "cache"\nclass = "fifo"', "users[0].priority = 0: must be 1 to 99"),
    ("user_rules", '[[users]]\nkind = "cache"\npriority = 3', "users[0].priority = 3: must be 0"),
    ("user_rules", '[[users]]\nkind = "cache"\nclass = "idle"\nnice = 3', "users[0].nice = 3: must be 0"),
    ("hog_rules", "[[hogs]]\nbusy_ms = 5", "hogs[0].cores = []: must name at least one core"),
    ("hog_rules", "[[hogs]]\ncpus = [4]", "hogs[0].cpus = 4: must be below cpus.count = 2"),
    ("hog_rules", '[[hogs]]\ncpus = [0]\nclass = "rr"', "hogs[0].priority = 0: must be 1 to 99"),
    ("hotplug_rules", "[hotplug]\ncpu = 2", "hotplug.cpu = 2: must be below cpus.count = 2"),
    ("hotplug_rules", "[cpus]\ncount = 1\n[hotplug]\ncpu = 0", "the last CPU cannot go offline"),
    ("hotplug_rules", "[hotplug]\ncpu = 1\nonline_at_ms = 10", "hotplug.online_at_ms = 10: must be above"),
    ("hotplug_rules", "[hotplug]\ncpu = 1\nrepeat_ms = 500", "hotplug.repeat_ms = 500: must be longer"),
    ("cgroup_rules", "[cgroup]\nquota_us = 7", "cgroup.quota_us = 7: must be 0 (none) or at least 1000"),
    ("cgroup_rules", "[cgroup]\nquota_us = 2000\nroles = []", "cgroup.roles = []: must name at least one role"),
]


@pytest.mark.parametrize(("rule", "text", "expected"), BROKEN)
def test_a_broken_rule_is_worded(rule, text, expected):
    assert expected in error_of(text)


def test_every_rule_has_a_scenario_that_breaks_it():
    assert {rule for rule, _, _ in BROKEN} == {rule.__name__ for rule in USERS_RULES}
    assert set(USERS_RULES) <= set(RULES)


@pytest.mark.parametrize(("text", "expected"), [
    ("[[users]]\ncpu = 0", "users[0]: lacks the key kind, which must be one of"),
    ('[[users]]\nkind = "victm"', 'users[0].kind = "victm": must be one of'),
    ('[[users]]\nkind = "victim"\n[[users]]\nkind = "victim"\nrate_s = 5',
     "users[1].rate_s = 5: unknown key; did you mean rate_per_s?"),
    ('[users]\nkind = "victim"', "users = {...}: is an array of tables, not a key; write [[users]]"),
    ("users = [1]", "users = [1]: is an array of tables"),
    ("[[hogs]]\nbusy_ms = 0.0\ncores = [0]", "hogs[0].busy_ms = 0.0: must be a number above 0"),
    ('[[hogs]]\ncores = "0-1"', "hogs[0].cores = \"0-1\": must be a list"),
])
def test_a_table_of_an_array_is_checked_key_by_key(text, expected):
    assert expected in error_of(text)


def test_the_tables_are_explained_one_by_one():
    text = explain(resolved('[[users]]\nkind = "filler"\n[[hogs]]\ncpus = [1]'))
    assert "[[users]]" in text and "[[hogs]]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_run_is_sampled_less_often_and_says_so():
    long = resolved("[run]\nduration_ms = 600_000")
    assert long.series.interval_ms > 10
    assert 600_000 / long.series.interval_ms < long.series.samples_max <= SAMPLES_MAX
    assert any("sampled every" in note for note in long.notes)
    short = resolved("[run]\nduration_ms = 1000")
    assert (short.series.interval_ms, short.series.samples_max, short.notes) == (10, 200, ())
    assert resolved("[series]\ninterval_ms = 0").series.samples_max == 0
