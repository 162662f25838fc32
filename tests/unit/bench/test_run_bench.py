"""The command measures what it was asked for, says what it left out, and leaves the host as it was."""

import os

import pytest

from emu.bench import NAMES, run_bench
from emu.bench.catalogue import CATALOGUE
from emu.errors import ConfigError


@pytest.fixture
def one_core():
    """This process may use a single core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def first_words(text):
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith(" ")]


def test_a_quick_run_has_a_row_for_every_benchmark(capsys):
    before = os.sched_getaffinity(0)
    assert run_bench(quick=True, rounds=1) == 0
    out = capsys.readouterr().out
    assert [bench.label for bench in CATALOGUE] == [word for word in first_words(out) if word in
                                                    {bench.label for bench in CATALOGUE}]
    assert max(map(len, out.splitlines())) <= 80
    assert os.sched_getaffinity(0) == before


def test_names_choose_and_the_catalogue_orders(capsys):
    run_bench(["lock", "counter", "clock"], rounds=1, quick=True)
    words = first_words(capsys.readouterr().out)
    assert [word for word in words if word.split("/")[0] in NAMES] == ["counter", "lock", "clock/mono", "clock/cycles"]


def test_without_a_second_core_the_two_core_rows_say_so(one_core, capsys):
    assert run_bench(["spsc", "counter", "refill"], rounds=1, quick=True) == 0
    out = capsys.readouterr().out
    skipped = [line.split()[0] for line in out.splitlines() if "skipped: needs two cores" in line]
    assert skipped == ["spsc", "refill/2core"]
    assert "bounce   not measured: one core" in out
    assert "refill/1core us" in out and max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("arguments, text", [
    ({"names": ["retyre"]}, 'bench "retyre": there is none of this name; there are retire, append'),
    ({"rounds": 0}, "--rounds 0: must be >= 1"),
])
def test_a_wrong_wish_is_refused_before_anything_runs(arguments, text, capsys):
    with pytest.raises(ConfigError, match=text):
        run_bench(**{"rounds": 1, "quick": True, **arguments})
    assert capsys.readouterr().out == ""
