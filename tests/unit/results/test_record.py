"""A result comes back as it was written, or not at all; whatever is wrong is a ResultError that says what."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ResultError
from emu.results import (
    FORMAT,
    VERSION,
    blank_record,
    check_record,
    pack_result,
    read_result,
    unpack_result,
    write_result,
)
from emu.results import record as record_module

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=8)


def filled():
    record = blank_record()
    record.update(emu_version="0.1.0", created_unix=1.5, command=["emu", "run", "a b.toml"], duration_ns=10**10)
    record["histograms"]["gp_ns"] = {"unit": "ns", "per_process": {"coordinator": {
        "total": 2, "sum": 30, "min": 10, "max": 20, "clamped": 0, "counts": [[10, 1], [20, 1]]}}}
    record["events"]["mutator/0"] = {"lost": 1, "records": [[5, "rcu_kvfree_miss", 0, -1]]}
    return record


DATA = pack_result(filled())


def envelope(version=VERSION, record=..., name=FORMAT):
    body = msgpack.packb(filled() | {"version": version} if record is ... else record)
    return msgpack.packb([name, version, hashlib.sha256(body).digest(), body])


def test_what_was_written_comes_back_equal(tmp_path):
    path = write_result(filled(), tmp_path / "runs" / "first.emu")
    assert read_result(path) == filled()
    assert [entry.name for entry in path.parent.iterdir()] == ["first.emu"]


@given(JSON_LIKE, st.dictionaries(st.text(max_size=5), JSON_LIKE, max_size=4))
def test_free_tables_come_back_equal(extra, resolved):
    record = filled()
    record["host"] = {"extra": extra}
    record["scenario"]["resolved"] = resolved
    assert unpack_result(pack_result(record)) == record


def test_an_argument_that_is_not_utf8_comes_back(tmp_path):
    odd = os.fsdecode(b"caf\xe9.toml")
    record = filled() | {"command": ["emu", "run", odd]}
    assert read_result(write_result(record, tmp_path / "r"))["command"][2] == odd


def test_a_second_write_replaces_the_first_whole(tmp_path):
    path = tmp_path / "r"
    write_result(filled(), path)
    write_result(filled() | {"duration_ns": 3}, path)
    assert read_result(path)["duration_ns"] == 3


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = write_result(filled(), tmp_path / "r")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_module.os, "fsync", full)
    with pytest.raises(ResultError, match="cannot be written: No space left on device"):
        write_result(filled() | {"duration_ns": 3}, path)
    assert read_result(path) == filled()
    assert [entry.name for entry in tmp_path.iterdir()] == ["r"]


def test_the_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    order = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(record_module.os, "fsync", lambda fd: (order.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(record_module.os, "replace", lambda a, b: (order.append("replace"), real_replace(a, b)))
    write_result(filled(), tmp_path / "r")
    assert order == ["fsync", "replace", "fsync"]


@given(st.integers(0, len(DATA) - 1))
def test_a_truncated_file_is_refused(length):
    with pytest.raises(ResultError):
        unpack_result(DATA[:length])


@given(st.lists(st.integers(0, 8 * len(DATA) - 1), min_size=1, max_size=3, unique=True))
def test_flipped_bits_are_refused(bits):
    damaged = bytearray(DATA)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ResultError):
        unpack_result(bytes(damaged))


@given(st.binary(max_size=64))
def test_bytes_of_any_kind_are_refused(junk):
    for data in (junk, DATA[:12] + junk, DATA + junk if junk else b""):
        with pytest.raises(ResultError):
            unpack_result(data)


@given(JSON_LIKE)
def test_a_sound_envelope_with_any_body_is_refused(body):
    with pytest.raises(ResultError):
        unpack_result(envelope(record=body))


@pytest.mark.parametrize(("data", "text"), [
    (b"", "r: empty"),
    (DATA[:5], "r: 5 bytes: truncated"),
    (b"#!/bin/sh\n", "r: does not begin as format 'emu-result': not a result file of emu"),
    (envelope(name="emu-resulT"), "does not begin as format 'emu-result'"),
    (DATA[:-1], "truncated or damaged"),
    (DATA + b"\x00", "truncated or damaged"),
    (envelope(VERSION + 1), f"version = {VERSION + 1}: made by a newer emu, this one reads up to version {VERSION}; "
                            "use the newer emu"),
    (envelope(0), "version = 0: too old"),
    (envelope("1"), "version = '1': must be a whole number"),
    (envelope(record=filled() | {"version": 0}), "format or version inside differ"),
    (envelope(record={key: value for key, value in filled().items() if key not in ("gp", "cpus")}),
     "r: missing keys: cpus, gp"),
    (envelope(record=filled() | {"host": {1: 2}}), "cannot be decoded"),
    (envelope(record=filled() | {"host": {"x": msgpack.ExtType(5, b"x")}}), "extension type 5"),
])
def test_each_fault_of_a_file_is_named(data, text):
    with pytest.raises(ResultError) as caught:
        unpack_result(data, "r")
    assert text in str(caught.value)


@pytest.mark.parametrize(("change", "text"), [
    ({"host": {1: 2}}, "would not be readable again; keys must be text"),
    ({"host": {"x": object()}}, "cannot be written"),
    ({"host": {"x": 2**70}}, "cannot be written"),
    ({"host": {"x": "\ud800"}}, "cannot be written"),
    ({"gp": {}}, "missing keys: gp.started, gp.ended, gp.hz"),
    ({"version": VERSION + 1}, "a program writes its own version only"),
])
def test_what_could_not_be_read_again_is_not_written(tmp_path, change, text):
    with pytest.raises(ResultError) as caught:
        write_result(filled() | change, tmp_path / "r")
    assert text in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_size_limits_hold_on_both_sides(tmp_path, monkeypatch):
    path = write_result(filled(), tmp_path / "r")
    monkeypatch.setattr(record_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(ResultError, match="lower trace.events_per_process"):
        pack_result(filled())
    with open(path, "ab") as file:
        file.write(b"\x00" * 2000)
    with pytest.raises(ResultError, match="bytes: must be at most 100"):
        read_result(path)


def test_paths_that_cannot_be_read_or_written_are_named(tmp_path):
    def write(path):
        write_result(filled(), path)

    (tmp_path / "file").write_text("x")
    for path, call in ((tmp_path / "absent", read_result), (tmp_path, read_result), (tmp_path / "nul\0", read_result),
                       (tmp_path / "file" / "r", write), (tmp_path, write)):
        with pytest.raises(ResultError) as caught:
            call(path)
        assert str(path) in str(caught.value)


def test_an_older_version_is_brought_up_to_date(monkeypatch):
    def rename_minutes(record):
        record["duration_ns"] = record.pop("duration_min") * 60 * 10**9
        return record

    older = filled() | {"version": 0, "duration_min": 2}
    del older["duration_ns"]
    monkeypatch.setitem(record_module.MIGRATIONS, 0, rename_minutes)
    assert unpack_result(envelope(0, older)) == filled() | {"duration_ns": 120 * 10**9}


def test_migrations_follow_each_other_to_the_present(monkeypatch):
    monkeypatch.setattr(record_module, "VERSION", VERSION + 1)
    monkeypatch.setitem(record_module.MIGRATIONS, VERSION - 1, lambda record: record | {"start_ns": 5})
    monkeypatch.setitem(record_module.MIGRATIONS, VERSION, lambda record: record | {"start_ns": record["start_ns"] + 1})
    assert unpack_result(envelope(VERSION - 1))["start_ns"] == 6
    assert unpack_result(envelope(VERSION - 1))["version"] == VERSION + 1


def test_an_older_file_that_its_migration_chokes_on_is_refused(monkeypatch):
    monkeypatch.setitem(record_module.MIGRATIONS, 0, lambda record: record["never_there"])
    with pytest.raises(ResultError, match="cannot be brought to version 1"):
        unpack_result(envelope(0))


def test_check_record_names_what_it_was_given():
    check_record(blank_record())
    with pytest.raises(ResultError, match="^run 7: missing keys: zone"):
        check_record({key: value for key, value in blank_record().items() if key != "zone"}, "run 7")


def test_the_room_imports_without_the_compiler():
    code = "import sys, emu.results, emu.report; print(sorted({'numba', 'numpy', 'emu.arch'} & set(sys.modules)))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(record_module.__file__).parents[2])
    assert seen.stdout.strip() == "[]"
