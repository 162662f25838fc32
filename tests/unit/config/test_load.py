"""Files and texts: what is wrong with them is said in one line each, with the place and the way out."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.config import load_scenario, parse_override, parse_scenario
from emu.errors import ConfigError


def error_of(call, *args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_a_missing_file_is_named_with_where_scenarios_are(tmp_path):
    text = error_of(load_scenario, tmp_path / "frist.toml")
    assert "frist.toml: no such file; scenarios are in configs/" in text


def test_a_directory_is_not_a_scenario(tmp_path):
    assert "is a directory; name a scenario file in it" in error_of(load_scenario, tmp_path)


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in error_of(load_scenario, tmp_path / "pipe")


def test_a_name_that_no_file_can_have_is_refused():
    assert "cannot be read" in error_of(load_scenario, "x" * 5000)
    assert "cannot be read" in error_of(load_scenario, "a\0b")


def test_a_file_that_is_not_utf8_names_line_and_byte(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b'# ok\nquestion = "gr\xf6\xdfe"\n')
    text = error_of(load_scenario, tmp_path / "latin.toml")
    assert "latin.toml: line 2: not UTF-8 (byte 0xf6); save it as UTF-8" in text


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf[run]\r\nhz = 1000\r\n")
    assert load_scenario(tmp_path / "bom.toml").keys.run.hz == 1000


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    (tmp_path / "long.toml").write_bytes(b"#" * ((1 << 20) + 1))
    assert "more than 1048576 bytes" in error_of(load_scenario, tmp_path / "long.toml")


@pytest.mark.parametrize(
    "text, place",
    [
        ("[run]\nhz 250\n", "line 2, column 4: not TOML: Expected '=' after a key"),
        ("[run]\nhz = 250\nhz = 300\n", "line 3, column 9: not TOML: Cannot overwrite a value"),
        ('question = "what', "line 1, column 17: not TOML: Unterminated string"),
        ("", None),
    ],
)
def test_a_syntax_error_has_line_column_and_the_line_itself(text, place):
    if place is None:
        assert parse_scenario(text).written == frozenset()
        return
    message = error_of(parse_scenario, text, "s.toml")
    assert message.startswith(f"s.toml: {place}")
    assert f"in `{text.splitlines()[-1].strip()}`" in message


def test_absurd_nesting_and_absurd_numbers_are_refused_in_words():
    assert "nested too deeply" in error_of(parse_scenario, "a = " + "[" * 100_000)
    assert "use a shorter number" in error_of(parse_scenario, "a = " + "9" * 10_000)
    assert "a number of more than 60 digits" in error_of(parse_scenario, "[run]\nseed = " + "9" * 100)


def test_what_the_file_says_cannot_reach_the_terminal():
    text = error_of(parse_scenario, '"a\\u001b[2J\\u202e" = "\\u001b]0;x\\u0007\\u009b"\n')
    assert "\x1b" not in text and "\x9b" not in text and "\u202e" not in text and "\\x1b" in text


@given(st.text(max_size=60))
def test_any_text_loads_or_is_refused_with_a_message(text):
    try:
        assert parse_scenario(text, "s.toml").text == text
    except ConfigError as error:
        assert str(error).startswith("s.toml: ")


def test_overrides_count_as_written_and_are_named_in_messages():
    scenario = parse_scenario("[run]\nhz = 100\n", overrides={"run.hz": 1000, "slab.object_bytes": (64,)})
    assert scenario.keys.run.hz == 1000 and scenario.keys.slab.object_bytes == (64,)
    assert scenario.written == {"run.hz", "slab.object_bytes"}
    text = error_of(parse_scenario, "[run]\nseed = -1\n", "s.toml", overrides={"run.hz": 5, "run.hertz": 5})
    assert "--set: run.hz = 5: must be one of 100, 250, 300, 1000" in text
    assert "--set: run.hertz = 5: unknown key" in text
    assert "s.toml: run.seed = -1" in text


def test_an_override_names_one_key():
    assert "must name one key" in error_of(parse_scenario, "", overrides={"run": {"hz": 100}})
    assert "hz is a key, not a section" in error_of(parse_scenario, "[run]\nhz = 100", overrides={"run.hz.x": 1})


@pytest.mark.parametrize(
    "option, expected",
    [
        ("run.hz=1000", ("run.hz", 1000)),
        ("run.verify = false", ("run.verify", False)),
        ("policy.preset=S3", ("policy.preset", "S3")),
        ('policy.sources=["cache"]', ("policy.sources", ["cache"])),
        ("question=a = b", ("question", "a = b")),
        ("question=1\nhz = 5", ("question", "1\nhz = 5")),
        ("cpus.cores=2-3", ("cpus.cores", "2-3")),
    ],
)
def test_an_override_is_toml_or_else_a_string(option, expected):
    assert parse_override(option) == expected


@pytest.mark.parametrize("option", ["run.hz", "=5", ""])
def test_an_override_without_key_or_value_is_refused(option):
    assert "must be KEY=VALUE; for example" in error_of(parse_override, option)
