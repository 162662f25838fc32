"""Compiling before forking: every entry point, from the cache when it is warm, with progress when it is not.

Rule    children inherit compiled code; none of them compiles. A cold start uses two processes: one compiles the
        mutator, by far the largest, the other the rest. They begin at different ends, so that what both need is
        compiled once and found on disk by the other; the launcher waits for both and loads what they left.
        A signal never meets the compiler's callbacks: the launcher waits with signals open and loads with them held.
Limits  interpreted runs (EMU_JIT=0) have nothing to compile; the workers are then plain Python. Where the cache folder
        cannot be written, the launcher compiles once more itself, and a signal takes effect after that.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emu.arch import JIT, cache_root, private_words
from emu.host import set_parent_death_signal
from emu.shm import COORDINATOR, MUTATOR, PAGE_REFILL, RECLAIM

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAIT_S = 0.02


def worker_mains() -> dict[int, Callable]:
    """The mains of workers/, by role."""
    from workers import coordinator, mutator, page_refill, reclaim

    return {MUTATOR: mutator.main, PAGE_REFILL: page_refill.main, RECLAIM: reclaim.main,
            COORDINATOR: coordinator.main}


def _stamp() -> Path:
    """A file beside the compiled code that says it is complete."""
    import numba

    return Path(numba.config.CACHE_DIR or cache_root()) / "complete"  # type: ignore[attr-defined]


def _compile(function: Callable, words: int = 1) -> None:
    """Compile, or load, a function of the segment and `words` int64 values."""
    from numba import typeof, types

    function.compile((typeof(private_words(1)), *[types.int64] * words))  # type: ignore[attr-defined]


def _compile_mutator(mains: dict[int, Callable]) -> None:
    """The mutator, beginning with what the other process does not need first: each finds the other's part on disk."""
    from emu.rcu import rcu_tick, synchronize_rcu

    _compile(synchronize_rcu, words=2)
    _compile(rcu_tick, words=4)
    _compile(mains[MUTATOR])


def _compile_workers(mains: dict[int, Callable]) -> None:
    """Everybody but the mutator."""
    for role in (PAGE_REFILL, RECLAIM, COORDINATOR):
        _compile(mains[role])


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals that end a run wait until the block is left: raised inside a compiler's callback, they would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def compile_all(say: Callable[[str], None]) -> dict[int, Callable]:
    """Compile, or load, every worker's main. `say` is told what takes long. Call before any fork but the guard's."""
    mains = worker_mains()
    if not JIT:
        return mains
    stamp = _stamp()
    cold = not stamp.exists()
    if cold:
        _compile_cold(mains, say)
    with _signals_held():
        for main in mains.values():
            _compile(main)
    if cold:
        with suppress(OSError):  # nowhere to keep it: the next start is cold again
            stamp.touch()
    return mains


def _compile_cold(mains: dict[int, Callable], say: Callable[[str], None]) -> None:
    """Fill the cache with two processes; say how far they are. A signal ends them and is raised here."""
    start = time.monotonic()
    say("compiling the emulator for this machine, first start only (about half a minute) ...")
    compilers = {_fork_compiler(_compile_workers, mains): "workers", _fork_compiler(_compile_mutator, mains): "mutator"}
    try:
        while compilers:
            for pid in list(compilers):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    done = compilers.pop(pid)
                    if compilers:
                        rest = " and ".join(compilers.values())
                        say(f"compiling: {done} done after {time.monotonic() - start:.0f} s, {rest} under way ...")
            time.sleep(WAIT_S)
    finally:  # a signal: half a minute of compiling is not waited for
        for pid in compilers:
            os.kill(pid, signal.SIGKILL)
        for pid in compilers:
            os.waitpid(pid, 0)
    say(f"compiled in {time.monotonic() - start:.0f} s; later starts load it from {cache_root()}")


def _fork_compiler(work: Callable[[dict[int, Callable]], None], mains: dict[int, Callable]) -> int:
    """Start a process that does `work` and leaves its result in the cache folder. Returns its pid."""
    launcher = os.getpid()
    with _signals_held():  # between fork and the child's own handlers
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            for number in END_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
            set_parent_death_signal(signal.SIGKILL, launcher)
            work(mains)
            status = 0
        finally:
            os._exit(status)
