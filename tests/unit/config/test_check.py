"""One key at a time: every problem is found, named with its value, its rule and a way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.config import all_keys, parse_scenario
from emu.config.check import check
from emu.config.problems import MAX_LINES
from emu.errors import ConfigError


def error_of(text):
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text, "s.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[run]\nduration = 5", "s.toml: run.duration = 5: unknown key; did you mean duration_ms, in section [run]?"),
        ("[run]\nmanaged_pages = 4", "s.toml: run.managed_pages = 4: unknown key; section [memory] has this name"),
        ("[cpus]\ncached_objs = 4",
         "s.toml: cpus.cached_objs = 4: unknown key; did you mean min_cached_objs, in section [kvfree]?"),
        ("[trace]\nzzzzqq = 4",
         "s.toml: trace.zzzzqq = 4: unknown key; section [trace] has events_per_process, mode"),
        ("hz = 4", "s.toml: hz = 4: unknown key; section [run] has this name"),
        ("[wrokload]\nkind = 1", "s.toml: wrokload: unknown section; did you mean [workload]?"),
        ("[workload.brust]\ncalls = 1", "s.toml: workload.brust: unknown section; did you mean [workload.burst]?"),
        ("[refill]\namount = 1", "s.toml: refill: unknown section; did you mean [policy.refill]?"),
        ("run = 5", "s.toml: run = 5: is a section, not a key; write [run] and its keys below it"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_and_its_section(text, expected):
    assert error_of(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ('[run]\nseed = "7"',
         'run.seed = "7": must be an integer from 0 to 4_611_686_018_427_387_904, not a string; '
         "for example seed = 7"),
        ("[run]\nduration_ms = 1.5",
         "run.duration_ms = 1.5: must be an integer from 100 to 86_400_000, not a fraction; "
         "for example duration_ms = 10_000"),
        ("[run]\nverify = 1", "run.verify = 1: must be true or false, not an integer; for example verify = true"),
        ("[run]\nhz = true",
         "run.hz = true: must be one of 100, 250, 300, 1000, not true or false; for example hz = 250"),
        ("[run]\nhz = 250.0",
         "run.hz = 250.0: must be one of 100, 250, 300, 1000, not a fraction; for example hz = 250"),
        ("question = 1979-05-27",
         "question = 1979-05-27: must be a string of at most 2000 characters, not a date or time; "
         'for example question = ""'),
        ("[slab]\nobject_bytes = 32", "slab.object_bytes = 32: must be a list of 1 to 16 elements, not an integer; "
                                      "for example object_bytes = [32]"),
        ("[run.clock]\nx = 1", 'run.clock = {...}: must be one of "auto", "cycles", "monotonic", not a table; '
                               'for example clock = "auto"'),
        ("[cpus]\ncores = 3", 'cpus.cores = 3: must be a string or a list of integers; for example cores = "auto"'),
        ("[policy.refill]\nbound = 1", "policy.refill.bound = 1: must be true or false, not an integer; "
                                       "for example bound = true"),
    ],
)
def test_a_wrong_type_says_which_type_and_shows_an_example(text, expected):
    assert error_of(text) == f"s.toml: {expected}"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[run]\nduration_ms = 5", "run.duration_ms = 5: must be an integer from 100 to 86_400_000"),
        ('[run]\npreemption = "ful"', 'must be one of "full", "none", "rt", "voluntary"; did you mean "full"?'),
        ('[run]\nepoch = "e61"', 'did you mean "E61"?'),
        ("[memory]\nunmovable_share = 1.5", "memory.unmovable_share = 1.5: must be a number from 0.0 to 1.0"),
        ("[memory]\nunmovable_share = nan", "memory.unmovable_share = nan: must be a number from 0.0 to 1.0"),
        ("[workload]\nrate_per_s = inf", "workload.rate_per_s = inf: must be a number from 0.0 to 1000000000.0"),
        ("[slab]\nweights = [1, 0]", "slab.weights[1] = 0: must be a number above 0.0 and at most 1000000000.0"),
        ("[slab]\nobject_bytes = [32, 33]",
         "slab.object_bytes[1] = 33: must be an integer from 32 to 2048, a multiple of 8"),
        ("[slab]\nobject_bytes = []", "slab.object_bytes = []: must be a list of 1 to 16 elements"),
        ("[cpus]\ncores = [1, -1]", "cpus.cores[1] = -1: must be an integer from 0 to 65_535"),
        ("[cpus]\ncores = [1, true]", "cpus.cores[1] = true: must be an integer from 0 to 65_535, not true or false"),
    ],
)
def test_a_value_out_of_range_says_the_range(text, expected):
    assert expected in error_of(text)


def test_all_problems_of_a_file_come_at_once_and_are_limited():
    lines = error_of("[run]\nhz = 1\nseed = -1\n[slab]\nmin_partial = -1\n").splitlines()
    assert [line.split(" ")[1] for line in lines] == ["run.hz", "run.seed", "slab.min_partial"]
    many = error_of("[run]\n" + "".join(f"key{i} = 1\n" for i in range(MAX_LINES + 5))).splitlines()
    assert len(many) == MAX_LINES
    assert many[-1] == "s.toml: and 6 more problems; correct the ones above first"


def document_of(key, value):
    document = {key.leaf: value}
    for section in reversed(key.section.split(".") if key.section else []):
        document = {section: document}
    return document


@given(
    st.sampled_from(sorted(all_keys())),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.lists(st.integers(), max_size=3) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    | st.just(10**400),
)
def test_whatever_passes_the_check_becomes_a_record(name, value):
    problems, values = check(document_of(all_keys()[name], value))
    assert bool(problems) != (name in values)
    if not problems and isinstance(value, (bool, int, float, str, list)):
        assert parse_scenario("", overrides={name: value}).written == {name}
    for problem in problems:
        assert problem.key.startswith(name) and problem.rule and problem.way_out


@pytest.mark.parametrize("name", sorted(all_keys()))
def test_every_example_that_a_message_shows_is_a_legal_value(name):
    key = all_keys()[name]
    example = key.example
    value = list(example) if isinstance(example, tuple) else example
    assert value is None or check(document_of(key, value)) == ([], {name: value})
