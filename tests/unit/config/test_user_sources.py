"""Sources of the user's own: what can be said of them before anything runs, with file and line."""

import pytest

from emu.config import parse_scenario, resolve
from emu.errors import ConfigError

GOOD = """\
def helper(seg):
    return 0


def take_page(seg, me, cpu, stock, now):
    return helper(seg)


def put_page(seg, me, cpu, stock, pfn):
    return 0
"""


def resolved(folder, *sources):
    return resolve(parse_scenario("", "s.toml", folder, overrides={"policy.sources": list(sources)}))


def error_of(folder, *sources):
    with pytest.raises(ConfigError) as caught:
        resolved(folder, *sources)
    return str(caught.value)


def write(folder, text, name="mine.py"):
    (folder / name).write_text(text)
    return folder


def test_a_function_is_found_from_the_scenario_s_folder_with_its_line(tmp_path):
    policy = resolved(write(tmp_path, GOOD), "cache", "mine.py:take_page").policy
    assert policy.sources == ("cache", "mine.py:take_page")
    assert [tuple(each) for each in policy.user_sources] == [
        ("mine.py:take_page", str(tmp_path / "mine.py"), "take_page", 5, 9)]


def test_a_function_that_is_named_twice_is_one_source(tmp_path):
    policy = resolved(write(tmp_path, GOOD), "mine.py:take_page").policy
    assert policy.one_arg_sources == ("mine.py:take_page", "direct")
    assert len(policy.user_sources) == 1


@pytest.mark.parametrize("text, source, expected", [
    (GOOD, "gone.py:take_page", "gone.py:take_page\": no such file seen from the scenario's folder"),
    (GOOD, "mine.py:take_pgae", "mine.py has no function take_pgae(); did you mean take_page?"),
    (GOOD, "mine.py:helper", "mine.py:1: helper() must take 5 values; write def helper(seg, me, cpu, stock, now)"),
    ("def take_page(seg, me, cpu, stock, now=0):\n    return 0\n", "mine.py:take_page",
     "mine.py:1: take_page() must take 5 values"),
    ("\n@staticmethod\ndef take_page(seg, me, cpu, stock, now):\n    return 0\n", "mine.py:take_page",
     "mine.py:3: take_page() must have no decorator"),
    ("x = 1\ndef take_page(seg:\n", "mine.py:take_page", "mine.py:2: is no Python: "),
    (GOOD.replace("stock, pfn", "stock"), "mine.py:take_page", "mine.py:9: put_page() must take 5 values"),
])
def test_what_is_wrong_with_it_is_said_with_file_and_line(tmp_path, text, source, expected):
    assert expected in error_of(write(tmp_path, text), source)


def test_more_functions_than_there_is_room_for_are_refused(tmp_path):
    text = "".join(f"def take_{k}(seg, me, cpu, stock, now):\n    return 0\n\n\n" for k in range(5))
    names = [f"mine.py:take_{k}" for k in range(5)]
    assert len(resolved(write(tmp_path, text), *names[:4]).policy.user_sources) == 4
    assert "is one of more than 4 functions of your own" in error_of(tmp_path, *names)
