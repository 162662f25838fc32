"""What is compared, and in which order."""

import pytest

from emu.compare import arms_of, turns
from emu.compare.arms import ARMS_MAX
from emu.errors import ConfigError


def test_runs_take_turns():
    assert list(turns(3, 2)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_a_policy_is_one_key():
    assert [(arm.name, arm.overrides) for arm in arms_of("S1, static")] == [
        ("S1", {"policy.preset": "S1"}), ("static", {"policy.preset": "static"})]


def test_keys_make_every_combination_and_keep_their_types():
    arms = arms_of("S1,S3", ["kvfree.min_cached_objs=5,32"])
    assert [arm.name for arm in arms] == ["S1 min_cached_objs=5", "S1 min_cached_objs=32", "S3 min_cached_objs=5",
                                          "S3 min_cached_objs=32"]
    assert arms[3].overrides == {"policy.preset": "S3", "kvfree.min_cached_objs": 32}


def test_a_comma_in_a_list_or_a_string_separates_no_values():
    arms = arms_of(None, ['policy.sources=[],["cache"],["cache","static"]'])
    assert [arm.overrides["policy.sources"] for arm in arms] == [[], ["cache"], ["cache", "static"]]
    assert len(arms_of(None, ['question="a, b",c'])) == 2


@pytest.mark.parametrize(("policies", "vary", "said"), [
    (None, [], "one arm only"), ("S1", [], "one arm only"), ("S1,,S3", [], "empty value"), ("S1,S1", [], "twice"),
    (None, ["run.hz"], "must be KEY=V1,V2"), (None, ["run.hz="], "must be KEY=V1,V2"),
    (None, ["run.hz=100,250", "run.hz=300,1000"], "varied twice"),
    (None, ["run.seed=" + ",".join(map(str, range(ARMS_MAX + 1)))], f"at most {ARMS_MAX}"),
])
def test_what_makes_no_comparison_is_refused(policies, vary, said):
    with pytest.raises(ConfigError, match=said):
        arms_of(policies, vary)
