"""Compiling before forking: every entry point, from the cache when it is warm, with progress when it is not.

Rule    children inherit compiled code; none of them compiles. A cold start uses two processes: one compiles the
        mutator, by far the largest, while this one compiles the rest. They begin at different ends, so that
        what both need is compiled once and found on disk by the other; the result is loaded from there too.
Limits  interpreted runs (EMU_JIT=0) have nothing to compile; the workers are then plain Python.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from emu.arch import JIT, cache_root, private_words
from emu.host import set_parent_death_signal
from emu.shm import COORDINATOR, MUTATOR, PAGE_REFILL, RECLAIM


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


def _compile_mutator(main: Callable) -> None:
    """The mutator, beginning with what the other process does not need first: each finds the other's part on disk."""
    from emu.rcu import rcu_tick, synchronize_rcu

    _compile(synchronize_rcu, words=2)
    _compile(rcu_tick, words=4)
    _compile(main)


def compile_all(say: Callable[[str], None]) -> dict[int, Callable]:
    """Compile, or load, every worker's main. `say` is told what takes long. Call before any fork but the guard's."""
    mains = worker_mains()
    if not JIT:
        return mains
    stamp = _stamp()
    if not stamp.exists():
        _compile_cold(mains, say)
        with suppress(OSError):  # nowhere to keep it: the next start is cold again
            stamp.touch()
    for main in mains.values():
        _compile(main)
    return mains


def _compile_cold(mains: dict[int, Callable], say: Callable[[str], None]) -> None:
    start = time.monotonic()
    say("compiling the emulator for this machine, first start only (about half a minute) ...")
    launcher = os.getpid()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            set_parent_death_signal(signal.SIGKILL, launcher)
            _compile_mutator(mains[MUTATOR])
            status = 0
        finally:
            os._exit(status)
    try:
        for role in (PAGE_REFILL, RECLAIM, COORDINATOR):
            _compile(mains[role])
        say(f"compiling: workers done after {time.monotonic() - start:.0f} s, the mutator is still under way ...")
        os.waitpid(helper, 0)
    except BaseException:  # a signal: half a minute of compiling is not waited for
        os.kill(helper, signal.SIGKILL)
        os.waitpid(helper, 0)
        raise
    say(f"compiled in {time.monotonic() - start:.0f} s; later starts load it from {cache_root()}")
