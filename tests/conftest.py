"""What every test has: a private segment, a clean host after it, a watchdog that compiled loops cannot outlast.

Holds   the option --soak, the markers' rules, the `words` fixture, the leftover check, Hypothesis profiles,
        the tally that scripts/test adds up.
Rule    a test leaves no child process, no segment and no segment note. One that does fails, with their
        names, and what it left is removed so that the next test starts clean.
Limits  of segments whose maker is dead, only those with a note in this session's notes folder count as ours;
        with CI=true, where nobody else uses the host, every new one does, unless another pass runs beside this one
        (EMU_TEST_BESIDE, set by scripts/test).
"""

import contextlib
import faulthandler
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing import active_children, resource_tracker
from pathlib import Path

import hypothesis
import psutil
import pytest

JIT = os.environ.get("EMU_JIT", "1") != "0"
CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
ALONE = CI and "EMU_TEST_BESIDE" not in os.environ
SHM_DIR = Path("/dev/shm")
CAP_SYS_NICE = 23
WATCHDOG_GRACE_S = 30  # after the timeout of the test itself
LEAVE_S = 2.0  # how long a child that is on its way out may take

hypothesis.settings.register_profile(
    "emu",
    deadline=None,
    derandomize=CI,
    max_examples=100 if JIT else 25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("emu")

_stderr = sys.stderr
_notes = Path("nowhere")  # set by pytest_configure


# --- options and markers ---------------------------------------------------------------------------------


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="also run the tests marked soak (minutes to hours)")


def pytest_configure(config):
    """Give the session a notes folder of its own: a sweep by a test must not meet another session's segments."""
    global _stderr, _notes
    _stderr = os.fdopen(os.dup(2), "w")  # the real one, before capturing starts
    _notes = Path(tempfile.mkdtemp(prefix="emu-test-notes-"))
    os.environ["EMU_RUN_DIR"] = str(_notes)


def pytest_unconfigure(config):
    shutil.rmtree(_notes, ignore_errors=True)


def pytest_report_header(config):
    if not JIT:
        return "emu: interpreted bodies (EMU_JIT=0)"
    return "emu: compiled bodies; the first test of a room waits for the compiler when sources changed"


def _has_sys_nice() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return bool(effective >> CAP_SYS_NICE & 1)


def pytest_collection_modifyitems(config, items):
    if not JIT:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("jit_only")])
        items[:] = [item for item in items if not item.get_closest_marker("jit_only")]
    may_raise = _has_sys_nice()
    for item in items:
        if item.get_closest_marker("soak") and not config.getoption("--soak"):
            item.add_marker(pytest.mark.skip(reason="a soak test; run with --soak"))
        if item.get_closest_marker("privileged") and not may_raise:
            item.add_marker(pytest.mark.skip(reason="needs CAP_SYS_NICE"))


# --- the watchdog behind pytest-timeout ------------------------------------------------------------------


def _timeout_s(item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs["timeout"])
    return float(item.config.getoption("timeout", None) or item.config.getini("timeout") or 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """End the process when a test outlives its timeout: a signal handler never runs inside a compiled loop."""
    seconds = _timeout_s(item)
    if seconds > 0:
        faulthandler.dump_traceback_later(seconds + WATCHDOG_GRACE_S, exit=True, file=_stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


# --- nothing may be left behind --------------------------------------------------------------------------


def _segments() -> set[str]:
    return {entry.name for entry in SHM_DIR.glob("emu-*")} if SHM_DIR.is_dir() else set()


def _noted() -> set[str]:
    return {note.stem for note in _notes.glob("*.json")}


def _is_ours(segment: str, noted: set[str]) -> bool:
    maker = segment.split("-")[1] if segment.count("-") >= 2 else ""
    return ALONE or segment in noted or maker == str(os.getpid())


def _children() -> list[psutil.Process]:
    """Living and unreaped children of this process, but for Python's own resource tracker."""
    active_children()  # joins those of multiprocessing that have finished
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []  # none at all: the usual case, and a cheap answer
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)
    return [child for child in psutil.Process().children() if child.pid != tracker]


def _describe(child: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"process {child.pid} ({child.name()}, {child.status()})"
    return f"process {child.pid}"


def _remove_children(children) -> None:
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, 0)


def leftovers(children_before: set[int], segments_before: set[str], notes_before: set[str]) -> list[str]:
    """What appeared since and is still there, in words; it is removed. Waits up to LEAVE_S for children."""
    until = time.monotonic() + LEAVE_S
    while children := [child for child in _children() if child.pid not in children_before]:
        if time.monotonic() >= until:
            break
        time.sleep(0.01)
    found = [_describe(child) for child in children]
    _remove_children(children)
    noted = _noted()
    for name in sorted(_segments() - segments_before):
        if _is_ours(name, noted):
            found.append(f"segment {SHM_DIR / name}")
            (SHM_DIR / name).unlink(missing_ok=True)
    for name in sorted(noted - notes_before):
        found.append(f"segment note {name}.json")
        (_notes / f"{name}.json").unlink(missing_ok=True)
    return found


@pytest.fixture(autouse=True)
def leaves_nothing_behind():
    """Fail a test that leaves a child process, a segment or a note; fixtures of the test are torn down by then."""
    children, segments, notes = {child.pid for child in _children()}, _segments(), _noted()
    yield
    found = leftovers(children, segments, notes)
    if found:
        pytest.fail("left behind: " + ", ".join(found), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def session_leaves_nothing_behind():
    """The same over the whole session: catches what fixtures of wider scope leave."""
    segments = _segments()
    yield
    found = leftovers(set(), segments, set())
    if found:
        pytest.fail("left behind by the session: " + ", ".join(found), pytrace=False)


# --- what tests work on ----------------------------------------------------------------------------------


@pytest.fixture
def words():
    """4096 zeroed words of this process alone, aligned to a line."""
    from emu.arch import private_words

    return private_words(4096)


@pytest.fixture
def shared_words():
    """make(count): zeroed words that processes forked from this one share, gone with the test."""
    from emu.arch import Words

    made = []

    def make(count):
        mapping = mmap.mmap(-1, count * 8)
        made.append((Words(mapping), mapping))
        return made[-1][0]

    yield make
    for words, mapping in made:
        words.release()
        with contextlib.suppress(BufferError):  # the test still holds a view; the mapping goes with it
            mapping.close()


class Child:
    """A forked process that runs one function."""

    def __init__(self, work):
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def wait(self) -> int:
        """Exit status; minus the signal's number if one ended it."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def wait_until_asleep(self) -> None:
        """Return when the process sleeps in the kernel; raises if it has ended."""
        while (status := psutil.Process(self.pid).status()) != psutil.STATUS_SLEEPING:
            assert status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD), "the child ended"
            time.sleep(0.001)


@pytest.fixture
def fork():
    """fork(work): run `work` in a child process, which is killed when the test ends. Compile before forking."""
    children = []

    def start(work):
        children.append(Child(work))
        return children[-1]

    yield start
    for child in children:
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


# --- for scripts/test ------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter):
    """Write `PASSED FAILED` where scripts/test asks for it; errors count as failures."""
    if path := os.environ.get("EMU_TEST_TALLY"):
        stats = terminalreporter.stats
        failed = len(stats.get("failed", ())) + len(stats.get("error", ()))
        Path(path).write_text(f"{len(stats.get('passed', ()))} {failed}\n")
