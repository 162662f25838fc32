"""Compiling before forking: every entry point, from the cache when it is warm, with progress when it is not.

Rule    children inherit compiled code; none of them compiles. Only what the scenario can reach is compiled (needs.py).
        A cold start uses two processes that begin at the two ends of the list and meet; the launcher waits for both and
        loads what they left.
Limits  interpreted runs (EMU_JIT=0) have nothing to compile; the workers are then plain Python. Where the cache folder
        cannot be written, the launcher compiles once more itself, and is interrupted only after that.
"""

import mmap
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from emu.arch import JIT, cache_root, private_words
from emu.config import Resolved
from emu.host import set_parent_death_signal
from emu.launch.needs import needed
from emu.shm import APP, COORDINATOR, HOG, KSWAPD, MONITOR, MUTATOR, PAGE_REFILL, RECLAIM, SAMPLER, USER

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAIT_S = 0.02
SAY_S = 5.0


def worker_mains() -> dict[int, Callable]:
    """The mains of workers/, by role."""
    from workers import app, coordinator, hog, kswapd, monitor, mutator, page_refill, reclaim, sampler, user

    return {MUTATOR: mutator.main, PAGE_REFILL: page_refill.main, RECLAIM: reclaim.main,
            COORDINATOR: coordinator.main, KSWAPD: kswapd.main, APP: app.main, MONITOR: monitor.main,
            USER: user.main, HOG: hog.main, SAMPLER: sampler.main}


def _record() -> Path:
    """A file beside the compiled code that lists what is complete, a symbol a line."""
    import numba

    return Path(numba.config.CACHE_DIR or cache_root()) / "complete"  # type: ignore[attr-defined]


def _recorded() -> set[str]:
    """What the cache holds already."""
    try:
        return set(_record().read_text().split())
    except OSError:
        return set()


def _compile(main: Callable) -> None:
    """Compile, or load, a worker's main."""
    from numba import typeof, types

    main.compile((typeof(private_words(1)), types.int64))  # type: ignore[attr-defined]


def _entries(resolved: Resolved, mains: dict[int, Callable]) -> dict[str, Callable[[], None]]:
    """By symbol, what compiles or loads each function that has to be ready before the forks."""
    functions, mains = needed(resolved, mains)
    return {symbol: each.compile for symbol, each in functions.items()} | {
        f"worker.{role}": partial(_compile, main) for role, main in mains.items()}


def compile_all(resolved: Resolved, say: Callable[[str], None],
                interrupted: Callable[[], bool] = lambda: False) -> dict[int, Callable]:
    """Compile, or load, what this scenario's processes can meet. `say` is told what takes long.

    Call before any fork. No signal handler may raise meanwhile: what is raised in a compiler's callback is lost.
    `interrupted` is asked instead while it waits; once true, nothing more is compiled, and the mains are not ready.
    """
    mains = worker_mains()
    if not JIT:
        return mains
    entries, recorded = _entries(resolved, mains), _recorded()
    missing = {symbol: entry for symbol, entry in entries.items() if symbol not in recorded}
    if missing:
        _compile_cold(list(missing.values()), say, interrupted)
    if interrupted():
        return mains
    for entry in entries.values():
        entry()
    if missing:
        with suppress(OSError):  # nowhere to keep it: the next start is cold again
            _record().write_text("\n".join(sorted(recorded | set(entries))) + "\n")
    return mains


def _compile_cold(entries: list[Callable[[], None]], say: Callable[[str], None],
                  interrupted: Callable[[], bool]) -> None:
    """Fill the cache with two processes; say how far they are. Gives up, and ends them, once interrupted."""
    start = said = time.monotonic()
    count = len(entries)
    say("compiling the emulator for this machine, first start only (up to a minute) ...")
    done = mmap.mmap(-1, 2 * count)  # a byte per entry and process
    compilers = [_fork_compiler(entries, range(count), done, 0),
                 _fork_compiler(entries, range(count - 1, -1, -1), done, count)]
    try:
        while compilers and not interrupted():
            compilers = [pid for pid in compilers if not os.waitpid(pid, os.WNOHANG)[0]]
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                made = sum(done[i] | done[count + i] for i in range(count))
                say(f"compiling: {made} of {count} functions after {said - start:.0f} s ...")
            time.sleep(WAIT_S)
    finally:  # interrupted: half a minute of compiling is not waited for
        for pid in compilers:
            os.kill(pid, signal.SIGKILL)
        for pid in compilers:
            os.waitpid(pid, 0)
    if not interrupted():
        say(f"compiled in {time.monotonic() - start:.0f} s; later starts load it from {cache_root()}")


def _fork_compiler(entries: list[Callable[[], None]], order: range, done: mmap.mmap, mine: int) -> int:
    """Start a process that compiles the entries in this order and leaves them in the cache folder. Returns its pid.

    An entry that the other process has made is left out; made entries are marked in `done` from byte `mine` on.
    """
    launcher, other = os.getpid(), len(entries) - mine
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        set_parent_death_signal(signal.SIGKILL, launcher)
        for i in order:
            if not done[other + i]:
                entries[i]()
                done[mine + i] = 1
        status = 0
    finally:
        os._exit(status)
