"""The segment's life: created whole and private, refused when it cannot fit, removed only when its maker is dead."""

import json
import os
import signal
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from emu.arch import Words, private_words
from emu.errors import HostError, LayoutError
from emu.shm import HEADER, Segment, check_header, check_room, layout_hash, notes_dir, process_start_time, sweep_stale
from emu.shm import segment as segment_module
from emu.shm.header import MAGIC, SEGMENT_VERSION

SHM_DIR = Path("/dev/shm")
SIZE_WORDS = 4096


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A notes folder of this test alone."""
    folder = tmp_path / "notes"
    monkeypatch.setenv("EMU_RUN_DIR", str(folder))
    return folder


@pytest.fixture
def segment(notes):
    made = Segment.create(SIZE_WORDS)
    yield made
    made.close()
    made.unlink()


# --- creation --------------------------------------------------------------------------------------------


def test_a_segment_is_private_zeroed_and_as_large_as_asked(segment):
    status = (SHM_DIR / segment.name).stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_size == SIZE_WORDS * 8
    assert segment.size_words == len(segment.words) == SIZE_WORDS
    assert not any(segment.words.words[HEADER.launcher_start + 1:])


def test_the_header_says_who_made_it_and_from_what(segment):
    words = segment.words
    assert words[HEADER.layout_hash] == layout_hash()
    assert words[HEADER.launcher_pid] == os.getpid()
    assert words[HEADER.launcher_start] == process_start_time(os.getpid())
    check_header(words)


def test_a_note_names_the_maker(segment, notes):
    (note,) = notes.glob("*.json")
    assert json.loads(note.read_text()) == {
        "segment": segment.name, "pid": os.getpid(), "start_time": process_start_time(os.getpid()),
    }
    assert stat.S_IMODE(notes.stat().st_mode) == 0o700


def test_close_and_unlink_leave_nothing_and_may_be_repeated(notes):
    made = Segment.create(64)
    for _ in range(2):
        made.close()
        made.unlink()
    assert not (SHM_DIR / made.name).exists()
    assert list(notes.iterdir()) == []


def test_two_segments_of_one_process_have_two_names(segment):
    second = Segment.create(64)
    try:
        assert second.name != segment.name
    finally:
        second.close()
        second.unlink()


def test_a_forked_child_sees_the_parents_words(segment, fork):
    def work():
        segment.words[100] = 42

    assert fork(work).wait() == 0
    assert segment.words[100] == 42
    assert (SHM_DIR / segment.name).exists(), "a child's end removed the segment"


# --- refusals --------------------------------------------------------------------------------------------


def test_a_segment_larger_than_the_file_system_is_refused_with_both_sizes_and_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=16, f_frsize=2**20))
    check_room(16 * 2**20, tmp_path)
    with pytest.raises(HostError) as refusal:
        check_room(16 * 2**20 + 1, tmp_path)
    text = str(refusal.value)
    assert "needs 16.0 MiB, 16.0 MiB are free" in text
    assert str(tmp_path) in text and "remount,size=" in text and "managed_pages" in text


def test_the_remedy_that_is_offered_would_be_enough(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=0, f_frsize=4096))
    with pytest.raises(HostError) as refusal:
        check_room(100 * 2**20, tmp_path)
    offered = int(str(refusal.value).rpartition("size=")[2].partition("M")[0])
    assert offered >= 100


def test_an_absent_shared_memory_folder_is_refused(tmp_path):
    with pytest.raises(HostError, match="mount a tmpfs"):
        check_room(4096, tmp_path / "absent")


def test_a_refused_segment_leaves_nothing(notes):
    room = os.statvfs(SHM_DIR)
    before = set(SHM_DIR.glob(f"emu-{os.getpid()}-*"))
    with pytest.raises(HostError, match="MiB are free"):
        Segment.create(room.f_blocks * room.f_frsize // 8 + 1024)
    assert set(SHM_DIR.glob(f"emu-{os.getpid()}-*")) == before
    assert not notes.exists() or list(notes.iterdir()) == []


def test_a_failed_creation_leaves_no_note(notes, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(segment_module.shared_memory, "SharedMemory", refuse)
    with pytest.raises(HostError, match="Permission denied; check that"):
        Segment.create(64)
    assert list(notes.iterdir()) == []


def test_a_notes_folder_that_cannot_be_made_is_refused_in_words(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMU_RUN_DIR", str(tmp_path / "file" / "notes"))
    with pytest.raises(HostError, match="check that"):
        Segment.create(64)


# --- where notes live ------------------------------------------------------------------------------------


def test_the_notes_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("EMU_RUN_DIR", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert notes_dir() == tmp_path / "a"
    monkeypatch.delenv("EMU_RUN_DIR")
    assert notes_dir() == tmp_path / "emu"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert notes_dir() == tmp_path / f"emu-{os.getuid()}"


def test_start_time_tells_processes_with_one_pid_apart(fork):
    child = fork(lambda: signal.pause())
    start = process_start_time(child.pid)
    assert start is not None and start >= process_start_time(os.getpid())
    assert process_start_time(child.pid) == start
    os.kill(child.pid, signal.SIGKILL)
    pid = child.pid
    assert child.wait() == -signal.SIGKILL
    assert process_start_time(pid) is None


# --- sweeping --------------------------------------------------------------------------------------------


def launcher(pipe):
    """A child's work: create a segment, say its name, wait to be killed."""
    made = Segment.create(64)
    os.write(pipe, made.name.encode())
    signal.pause()


@pytest.fixture
def start_launcher(fork, notes):
    def start():
        read, write = os.pipe()
        child = fork(lambda: launcher(write))
        name = os.read(read, 200).decode()
        os.close(read)
        os.close(write)
        started.append(name)
        return child, name

    started = []
    yield start
    for name in started:
        (SHM_DIR / name).unlink(missing_ok=True)


def test_a_sweep_removes_the_segment_of_a_killed_launcher_and_nothing_else(start_launcher, segment, notes):
    alive, alive_name = start_launcher()
    dead, dead_name = start_launcher()
    unnoted = SHM_DIR / f"emu-{os.getpid()}-unnoted"
    unnoted.touch()
    try:
        assert sweep_stale() == []
        os.kill(dead.pid, signal.SIGKILL)
        assert dead.wait() == -signal.SIGKILL
        assert (SHM_DIR / dead_name).exists()

        assert sweep_stale() == [dead_name]
        assert not (SHM_DIR / dead_name).exists()
        assert all((SHM_DIR / name).exists() for name in (alive_name, segment.name, unnoted.name))
        assert {note.stem for note in notes.glob("*.json")} == {alive_name, segment.name}
        assert sweep_stale() == []
    finally:
        unnoted.unlink()


def write_note(notes, name, **changed):
    notes.mkdir(exist_ok=True)
    note = notes / f"{name}.json"
    note.write_text(json.dumps({"segment": name, "pid": os.getpid(), "start_time": 1, **changed}))
    return note


def test_a_reused_pid_does_not_protect_a_stale_segment(notes):
    name = f"emu-{os.getpid()}-reused"
    (SHM_DIR / name).touch()
    note = write_note(notes, name)  # our pid, another start time
    assert sweep_stale() == [name]
    assert not note.exists() and not (SHM_DIR / name).exists()


def test_a_note_without_its_segment_is_removed_quietly(notes):
    note = write_note(notes, "emu-1-gone", pid=0)
    assert sweep_stale() == []
    assert not note.exists()


def test_a_note_cannot_point_outside_the_shared_memory_folder(notes, tmp_path):
    victim = tmp_path / "victim"
    victim.touch()
    for name in (str(victim), f"../../{victim}"):
        write_note(notes, "bad", segment=name)
        assert sweep_stale() == []
    assert victim.exists()


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"segment": "emu-1-x"}', '{"segment": "x", "pid": "y", "start_time": 0}',
])
def test_a_note_that_cannot_be_read_touches_nothing(notes, text):
    notes.mkdir()
    (notes / "half.json").write_text(text)
    assert sweep_stale() == []
    assert (notes / "half.json").exists()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_note_that_names_a_folder_touches_nothing(notes, name):
    write_note(notes, "bad", segment=name)
    assert sweep_stale() == []
    assert SHM_DIR.is_dir()


def test_an_absent_notes_folder_is_nothing_to_sweep(tmp_path):
    assert sweep_stale(tmp_path / "absent") == []


# --- the header ------------------------------------------------------------------------------------------


@pytest.fixture
def stamped():
    words = private_words(1024)
    words[HEADER.magic], words[HEADER.version] = MAGIC, SEGMENT_VERSION
    words[HEADER.layout_hash], words[HEADER.size_words] = layout_hash(), 1024
    return words


def test_a_stamped_header_is_accepted(stamped):
    check_header(stamped)
    assert stamped[HEADER.magic] == MAGIC


@pytest.mark.parametrize("field, value, text", [
    ("magic", 0, "not an emu segment"),
    ("version", SEGMENT_VERSION + 1, f"segment version {SEGMENT_VERSION + 1}, this program knows {SEGMENT_VERSION}"),
    ("layout_hash", 0xABC, "segment layout 0xabc, this program's is 0x"),
    ("size_words", 2048, "segment of 1024 words, its header says 2048: truncated"),
])
def test_another_header_is_refused_and_the_difference_named(stamped, field, value, text):
    stamped[getattr(HEADER, field)] = value
    with pytest.raises(LayoutError) as refusal:
        check_header(stamped)
    assert text in str(refusal.value)


def test_a_buffer_too_short_for_a_header_is_refused():
    with pytest.raises(LayoutError, match="not an emu segment"):
        check_header(Words(bytearray(8)))
