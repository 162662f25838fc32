"""A comparison's file comes back as written, or is refused with the reason."""

import pytest

from emu.errors import ResultError
from emu.results import (
    blank_comparison,
    blank_record,
    is_comparison,
    read_comparison,
    read_result,
    write_comparison,
    write_result,
)


def test_what_was_written_comes_back(tmp_path):
    made = blank_comparison() | {"repeats": 3, "arms": [{"name": "S1", "overrides": {"a.b": [1, 2]}}]}
    assert read_comparison(write_comparison(made, tmp_path / "c.emu")) == made


def test_results_and_comparisons_are_told_apart(tmp_path):
    run = write_result(blank_record(), tmp_path / "r.emu")
    both = write_comparison(blank_comparison(), tmp_path / "c.emu")
    assert (is_comparison(run), is_comparison(both)) == (False, True)
    with pytest.raises(ResultError, match="does not begin as format"):
        read_comparison(run)
    with pytest.raises(ResultError, match="does not begin as format"):
        read_result(both)


def test_a_flipped_bit_and_a_missing_key_are_refused(tmp_path):
    path = write_comparison(blank_comparison(), tmp_path / "c.emu")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ResultError, match="damaged"):
        read_comparison(path)
    with pytest.raises(ResultError, match="missing keys: arms"):
        write_comparison({key: value for key, value in blank_comparison().items() if key != "arms"}, path)
