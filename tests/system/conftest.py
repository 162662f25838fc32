"""The real program under test: started as a user starts it, seen from outside, and searched for what it leaves.

Holds   the fixture `emu`: run() and start() give a Program; Live looks into the segment of one that runs.
Rule    whoever starts a program here gets it back ended and clean: no process of its group, no segment of its launcher,
        no note. finish() checks that on every way out, crash included.
Limits  processes that the program loses come to this process (it is a subreaper for the time), so that they are
        found and not only reparented to somebody else. Orders nothing: a Live read may be of any moment.
"""

import contextlib
import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from emu.arch import JIT, Words
from emu.results import read_result
from emu.shm import HEADER, MAP, MAP_BASE, PROC, ROLE_NAMES, RUN

PROJECT = Path(__file__).resolve().parents[2]
SHM_DIR = Path("/dev/shm")
PR_SET_CHILD_SUBREAPER = 36
LEAVE_S = 20.0  # how long the last process of an ended program may take: a watchdog, not a claim


def pytest_collection_modifyitems(items):
    """Everything here runs processes beside each other: interpreted operations are not atomic between those."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.jit_only)


@contextlib.contextmanager
def adopting_orphans():
    """Orphans of the programs under test become children of this process; only for as long as needed, because
    an orphan of any other test would stay a zombie of ours."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture(autouse=True)
def subreaper():
    """Every test of this folder adopts what its programs lose."""
    with adopting_orphans():
        yield


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory):
    """Compile once: what is timed or killed afterwards is the run, not the compiler."""
    if not JIT:
        return
    with adopting_orphans():
        folder = tmp_path_factory.mktemp("warm")
        program = Program(folder, ["run", "configs/default.toml", "--set", "run.duration_ms=100", "-o", f"{folder}/r"])
        program.finish()
        assert program.code == 0, program.err


@pytest.fixture
def emu(warm_cache, tmp_path):
    """The program as a user has it, with a folder of its own for notes and results."""
    starter = Starter(tmp_path)
    yield starter
    for program in starter.programs:
        program.kill_all()


class Starter:
    """Starts programs in one test's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.programs: list[Program] = []

    def start(self, *arguments: str, **options) -> "Program":
        """Start `emu ARGUMENTS` and come back at once."""
        self.programs.append(Program(self.folder, list(arguments), number=len(self.programs), **options))
        return self.programs[-1]

    def call(self, *arguments: str, **options) -> "Program":
        """Run `emu ARGUMENTS` to its end."""
        program = self.start(*arguments, **options)
        program.finish()
        return program

    def start_run(self, scenario: str, *overrides: str, flags: tuple = (), **options) -> "Program":
        """Start `emu run SCENARIO --set ...` with a result file in the folder."""
        result = self.folder / f"result-{len(self.programs)}.emu"
        arguments = ["run", scenario, "-o", str(result), *flags]
        for override in overrides:
            arguments += ["--set", override]
        program = self.start(*arguments, **options)
        program.result = result
        return program

    def run(self, scenario: str, *overrides: str, **options) -> "Program":
        """start_run() to its end."""
        program = self.start_run(scenario, *overrides, **options)
        program.finish()
        return program

    def valid(self, scenario: str, *overrides: str, **options) -> dict:
        """run(), which must be VALID; returns its record."""
        program = self.run(scenario, *overrides, **options)
        assert program.code == 0, program.told()
        assert program.record["verdict"]["word"] == "VALID", program.told()
        return program.record


class Program:
    """One program under test. After finish(): code, out, err; `result` is the file that a run was told to write."""

    def __init__(self, folder: Path, arguments: list[str], number: int = 0, prefix: tuple = (), python=None, env=None,
                 before_exec=None):
        self.notes = folder / "notes"
        self.result: Path | None = None
        # A group, and not a session of its own: with autogroup, Linux 6.18 starves other sessions for as long as
        # processes of one session wake each other every few hundred microseconds, and this process among them.
        self._files = [open(folder / f"{name}-{number}", "w+") for name in ("out", "err")]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *(python or ["-m", "emu"]), *arguments], cwd=PROJECT, process_group=0,
            stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1], preexec_fn=before_exec,
            env=os.environ | {"EMU_RUN_DIR": str(self.notes), "COLUMNS": "200"} | (env or {}))
        self.pid = self.process.pid
        self.code: int | None = None
        self.out = self.err = ""

    @property
    def record(self) -> dict:
        """The result that it wrote."""
        assert self.result is not None and self.result.exists(), self.told()
        return read_result(self.result)

    def told(self) -> str:
        """All that it said: for the message of a failed assertion."""
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def segments(self) -> list[Path]:
        """Segments of this launcher."""
        return sorted(SHM_DIR.glob(f"emu-{self.pid}-*"))

    def group(self) -> list[psutil.Process]:
        """Living processes of its group."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getpgid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def signal(self, number: int) -> None:
        """Send the launcher a signal."""
        self.process.send_signal(number)

    def wait_for(self, condition, what: str):
        """The first true value of condition(); fails when the program ends before."""
        while not (value := condition()):
            if self.process.poll() is not None:
                self.finish()
                pytest.fail(f"ended before {what}: {self.told()}")
            time.sleep(0.002)
        return value

    def said(self, text: str) -> bool:
        """True once `text` stands on its stderr."""
        return text in Path(self._files[1].name).read_text()

    def finish(self, leaves_segment: bool = False) -> int:
        """Wait for its end and for the last of its processes, and see that nothing is left. Returns the exit code."""
        self.code = self.process.wait()
        until = time.monotonic() + LEAVE_S
        while (left := self.group()) and time.monotonic() < until:
            self._reap()
            time.sleep(0.005)
        self._reap()
        self.out, self.err = (Path(file.name).read_text() for file in self._files)
        assert not left, f"left behind: {[(p.pid, p.name(), p.cmdline()) for p in left]}\n{self.told()}"
        assert "Traceback" not in self.err, self.told()
        if not leaves_segment:
            assert self.segments() == [], self.told()
            assert not self.notes.exists() or list(self.notes.iterdir()) == [], self.told()
        return self.code

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass

    def kill_all(self) -> None:
        """After a failed test: nothing may stay for the next one."""
        while left := self.group():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self.process.wait()
            self._reap()
        self.process.wait()
        self._reap()
        for segment in self.segments():
            segment.unlink(missing_ok=True)
        for file in self._files:
            file.close()

    def live(self) -> "Live":
        """Its segment, once the run is released and time zero has passed."""
        def running():
            for path in self.segments():
                with contextlib.suppress(OSError, ValueError):
                    live = Live(path)
                    # release() writes t_zero before the state
                    if live.words[HEADER.run_state] == RUN and live.words[HEADER.t_zero] <= time.monotonic_ns():
                        return live
                    live.close()
            return None

        return self.wait_for(running, "time zero")

    def processes(self, live: "Live") -> dict[str, int]:
        """Pid by name: every process of the table, "launcher" and "guard"."""
        pids = live.pids()
        guards = [child.pid for child in psutil.Process(self.pid).children()
                  if child.pid not in pids.values() and "resource_tracker" not in " ".join(child.cmdline())]
        assert len(guards) == 1, f"besides the table: {guards}"
        return pids | {"launcher": self.pid, "guard": guards[0]}


class Live:
    """The segment of a running program, mapped writable. close() it before the program's end is checked."""

    def __init__(self, path: Path):
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.words = Words(self._map)

    def region(self, name: str) -> int:
        """Word offset of a region."""
        return self.words[MAP_BASE + getattr(MAP, name)]

    def pids(self) -> dict[str, int]:
        """Pid by name of the process table."""
        found = {}
        for index in range(self.words[HEADER.nr_procs]):
            proc = self.region("procs") + index * PROC.SIZE
            role = ROLE_NAMES.get(self.words[proc + PROC.role], "unborn")
            name = role if role == "coordinator" else f"{role}/{self.words[proc + PROC.index]}"
            found[name] = self.words[proc + PROC.pid]
        return found

    def close(self) -> None:
        """Drop the mapping."""
        self.words.release()
        self._map.close()


def stop_for(pid: int, seconds: float) -> int:
    """Stop a process for a while; returns the ns that it stood at least."""
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic_ns()
    time.sleep(seconds)
    stood = time.monotonic_ns() - start
    os.kill(pid, signal.SIGCONT)
    return stood
