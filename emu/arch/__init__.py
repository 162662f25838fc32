"""The machine as the rest sees it: compiled functions, ordered words, clocks, futexes.

Door of the room: import from here. Nothing in this room knows what the words mean.
"""

from emu.arch.apart import Hook, apart_functions, jit_apart, late_compilations
from emu.arch.atomics import (
    barrier,
    cmpxchg_acq_rel,
    cmpxchg_acquire,
    cmpxchg_relaxed,
    cmpxchg_release,
    cpu_relax,
    fetch_add_acq_rel,
    fetch_add_relaxed,
    fetch_and_acq_rel,
    fetch_or_acq_rel,
    hide,
    load_acquire,
    load_relaxed,
    smp_mb,
    smp_mb_after_atomic,
    store_relaxed,
    store_release,
    wrap64,
    xchg_acq_rel,
)
from emu.arch.bits import ctz64, fls64, mul_shift32
from emu.arch.clock import cycles, invariant_counter, monotonic_ns, sample_pair
from emu.arch.futex import (
    NO_DEADLINE,
    exit_now,
    futex_wait,
    futex_wake,
    membarrier,
    membarrier_error,
    register_membarrier,
    sched_yield,
)
from emu.arch.jit import JIT, cache_root, jit
from emu.arch.words import WORD_BYTES, Words, private_words

__all__ = [
    "JIT", "Hook", "NO_DEADLINE", "WORD_BYTES", "Words", "apart_functions", "barrier", "cache_root",
    "cmpxchg_acq_rel", "cmpxchg_acquire", "cmpxchg_relaxed", "cmpxchg_release", "cpu_relax", "ctz64", "cycles",
    "exit_now", "fetch_add_acq_rel", "fetch_add_relaxed", "fetch_and_acq_rel", "fetch_or_acq_rel", "fls64",
    "futex_wait", "futex_wake", "hide", "invariant_counter", "jit", "jit_apart", "late_compilations",
    "load_acquire", "load_relaxed", "membarrier", "membarrier_error", "monotonic_ns", "mul_shift32",
    "private_words", "register_membarrier", "sample_pair", "sched_yield", "smp_mb", "smp_mb_after_atomic",
    "store_relaxed", "store_release", "wrap64", "xchg_acq_rel",
]
