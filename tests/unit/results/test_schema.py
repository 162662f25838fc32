"""Each way in which a record can be wrong is named: the key, its value, the rule."""

import pytest

from emu.results import blank_record
from emu.results.schema import MAX_PROBLEMS, SCHEMA, problems


def test_a_blank_record_has_every_key_and_fits():
    record = blank_record()
    assert record.keys() == SCHEMA.keys()
    assert problems(record) == []


def test_a_blank_record_claims_no_success():
    assert blank_record()["verdict"]["word"] == "INCOMPLETE"


@pytest.mark.parametrize("key", sorted(SCHEMA))
def test_every_top_level_key_is_missed_by_name(key):
    record = blank_record()
    del record[key]
    assert problems(record) == [f"missing keys: {key}"]


def test_all_missing_keys_are_named_with_their_place():
    record = blank_record()
    del record["gp"]["hz"], record["zone"], record["ledger"]["objects"]["live"]
    assert problems(record) == ["missing keys: ledger.objects.live, gp.hz, zone"]


@pytest.mark.parametrize(("key", "value", "text"), [
    ("version", "1", "version = '1': must be a whole number of 64 bits"),
    ("version", True, "version = True: must be a whole number of 64 bits"),
    ("duration_ns", 2**64, "duration_ns = 18446744073709551616: must be a whole number of 64 bits"),
    ("duration_ns", 1.0, "duration_ns = 1.0: must be a whole number of 64 bits"),
    ("created_unix", float("nan"), "created_unix = nan: must be a finite number"),
    ("emu_version", None, "emu_version = None: must be text"),
    ("host", [], "host = []: must be a table"),
    ("processes", {}, "processes = {}: must be a list"),
    ("processes", [3], "processes[0] = 3: must be a table"),
    ("command", ["emu", 1], "command[1] = 1: must be text"),
    ("verdict", {"word": "MAYBE", "reasons": []},
     "verdict.word = 'MAYBE': must be INCOMPLETE, INVALID or VALID"),
    ("recorded", 5, "recorded = 5: must be a table"),
    ("counters", {"names": ["a"], "per_process": {"mutator/0": []}},
     "counters.per_process.mutator/0 has 0 values: must be 1, one for each name"),
    ("counters", {"names": ["a"], "per_process": {1: []}}, "counters.per_process = 1: keys must be text"),
    ("events", {"m": {"lost": 0, "records": [[1, "x", 2]]}},
     "events.m.records[0] = [1, 'x', 2]: must be [t_ns, name, a, b]"),
    ("histograms", {"gp_ns": {"unit": "ns", "per_process": {"c": {
        "total": 1, "sum": 1, "min": 1, "max": 1, "clamped": 0, "counts": [[4608, 1]]}}}},
     "histograms.gp_ns.per_process.c.counts[0] = [4608, 1]: must be [bucket 0..4607, count >= 0]"),
])
def test_a_misfit_is_named_with_its_value_and_rule(key, value, text):
    assert problems(blank_record() | {key: value}) == [text]


def test_long_values_are_shortened_and_problems_are_bounded():
    found = problems(blank_record() | {"command": [7] * 50, "clock": "x" * 500})
    assert len(found) == MAX_PROBLEMS
    assert all(len(text) < 120 for text in problems(blank_record() | {"clock": "x" * 500}))


@pytest.mark.parametrize("junk", [None, 3, "text", [], [1]])
def test_what_is_no_table_at_all_is_a_problem_not_a_crash(junk):
    assert problems(junk)[0].startswith("record = ")


def test_further_keys_are_welcome_at_every_depth():
    record = blank_record() | {"hereafter": [1, None]}
    record["gp"]["longest_ns"] = 5
    record["recorded"] = {"source": "x", "calls": 1, "anything": {}}
    assert problems(record) == []


def test_what_a_dead_process_could_not_be_asked_may_be_none():
    process = dict.fromkeys(SCHEMA["processes"][0]) | {
        "name": "mutator/3", "role": "mutator", "cores": [3], "exit": "signal 9"}
    assert problems(blank_record() | {"processes": [process]}) == []
    assert problems(blank_record() | {"processes": [process | {"exit": None}]}) == [
        "processes[0].exit = None: must be text"]
