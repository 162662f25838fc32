"""The shared segment's life: size check, creation, discovery of stale ones, removal.

Holds   Segment (the launcher's handle), a note beside every segment of who made it, and sweep_stale().
Rule    the launcher alone creates and unlinks. Children inherit the mapping by fork and never attach.
        A segment is stale when the process that its note names, by pid and start time, is gone; only
        segments named by such a note are removed, never by a pattern of names.
Limits  Linux: segments are files of /dev/shm. Untouched pages cost nothing, yet the whole size must fit,
        because a write beyond what the file system can hold is a SIGBUS.
"""

import contextlib
import json
import os
import secrets
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

from emu.arch import WORD_BYTES, Words
from emu.errors import HostError, LayoutError
from emu.shm.header import HEADER, MAGIC, SEGMENT_VERSION
from emu.shm.layout import layout_hash

SHM_DIR = Path("/dev/shm")


def process_start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (field 22 of its stat), None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def notes_dir() -> Path:
    """Where this user's segment notes live: $EMU_RUN_DIR, else $XDG_RUNTIME_DIR/emu, else a folder in the temp dir."""
    if override := os.environ.get("EMU_RUN_DIR"):
        return Path(override)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "emu"
    return Path(os.environ.get("TMPDIR", "/tmp")) / f"emu-{os.getuid()}"


def sweep_stale(notes: Path | None = None) -> list[str]:
    """Remove the segments of launchers that died without doing so; returns their names."""
    notes = notes or notes_dir()
    removed = []
    for note in sorted(notes.glob("*.json")) if notes.is_dir() else []:
        try:
            owner = json.loads(note.read_text())
            name, pid, start = str(owner["segment"]), int(owner["pid"]), int(owner["start_time"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, or not ours: not a reason to touch anything
        foreign = note.stat().st_uid != os.getuid() or not name.startswith("emu-") or "/" in name
        if foreign or process_start_time(pid) == start:
            continue
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SHM_DIR / name)
            removed.append(name)
        note.unlink(missing_ok=True)
    return removed


def check_room(size_bytes: int, directory: Path | None = None) -> None:
    """Raise HostError if the shared-memory file system cannot hold a segment of this size."""
    directory = directory or SHM_DIR
    try:
        room = os.statvfs(directory)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}; POSIX shared memory is needed, mount a tmpfs there") from None
    free = room.f_bavail * room.f_frsize
    if size_bytes > free:
        raise HostError(
            f"{directory}: the segment needs {size_bytes / 2**20:.1f} MiB, {free / 2**20:.1f} MiB are free; "
            f"lower memory.managed_pages, memory.scale or trace.events_per_process, or enlarge it "
            f"(mount -o remount,size={-(-size_bytes // 2**20) + 64}M {directory})"
        )


class Segment:
    """The launcher's handle on the one shared segment of a run.

    Attributes: name, words (a Words over the whole mapping), size_words.
    Contract: create() in the launcher before any fork; close() and unlink() once each, in that order, in the
    launcher (or in the guard that outlives it). Both may be called again without harm.
    """

    def __init__(self, shm: shared_memory.SharedMemory, note: Path):
        self._shm = shm
        self._note = note
        self.name = shm.name
        self.words = Words(shm.buf)
        self.size_words = len(self.words)

    @classmethod
    def create(cls, size_words: int) -> "Segment":
        """A zeroed segment, mode 0600, with its header stamped and its owner noted. Raises HostError."""
        size_bytes = size_words * WORD_BYTES
        check_room(size_bytes)
        notes = notes_dir()
        name = f"emu-{os.getpid()}-{secrets.token_hex(4)}"
        note = notes / f"{name}.json"
        try:
            notes.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The note comes first: a launcher killed right after creation must be found by the next one.
            note.write_text(json.dumps(
                {"segment": name, "pid": os.getpid(), "start_time": process_start_time(os.getpid())}))
            shm = shared_memory.SharedMemory(name, create=True, size=size_bytes)
        except OSError as error:
            with contextlib.suppress(OSError):
                note.unlink()
            raise HostError(f"shared memory segment of {size_bytes / 2**20:.1f} MiB: {error.strerror}; "
                            f"check that {SHM_DIR} and {notes} are writable") from None
        # The guard process removes what a killed launcher leaves; Python's own tracker would warn about it,
        # and up to 3.12 would remove the segment under a run whose launcher's helper exits.
        with contextlib.suppress(KeyError, ValueError, OSError):
            resource_tracker.unregister(shm._name, "shared_memory")
        segment = cls(shm, note)
        words = segment.words
        words[HEADER.magic] = MAGIC
        words[HEADER.version] = SEGMENT_VERSION
        words[HEADER.layout_hash] = layout_hash()
        words[HEADER.size_words] = segment.size_words
        words[HEADER.launcher_pid] = os.getpid()
        words[HEADER.launcher_start] = process_start_time(os.getpid())
        return segment

    def close(self) -> None:
        """Drop this process's mapping. Views over `words` must be gone by now."""
        self.words.release()
        self._shm.close()

    def unlink(self) -> None:
        """Remove the segment's name and its note; the memory goes with the last mapping."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SHM_DIR / self.name)
        self._note.unlink(missing_ok=True)


def check_header(words: Words) -> None:
    """Raise LayoutError unless these words are a segment of this very program."""
    if len(words) < HEADER.SIZE or words[HEADER.magic] != MAGIC:
        raise LayoutError("not an emu segment: the magic word is missing")
    if words[HEADER.version] != SEGMENT_VERSION:
        raise LayoutError(f"segment version {words[HEADER.version]}, this program knows {SEGMENT_VERSION}; "
                          f"use the program that made it")
    if words[HEADER.layout_hash] != layout_hash():
        raise LayoutError(f"segment layout {words[HEADER.layout_hash]:#x}, this program's is {layout_hash():#x}: "
                          f"they were built from different sources")
    if words[HEADER.size_words] != len(words):
        raise LayoutError(f"segment of {len(words)} words, its header says {words[HEADER.size_words]}: truncated")
