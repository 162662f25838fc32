"""Loops over what everything is made of: locks, counters, histograms, events, clocks, readers.

Holds   each as bench_*, and beside it bare_*: the same loads, stores and locked operations on fixed words, with no
        structure around them.
Rule    no clock in here: every loop is (seg, n) on a bench_machine() and returns what depends on its work. Bare twins
        use the scratch words of the refill worker, which does not run.
"""

from emu.arch import (
    cmpxchg_acquire,
    cycles,
    fetch_add_relaxed,
    jit,
    load_relaxed,
    monotonic_ns,
    mul_shift32,
    store_relaxed,
    store_release,
)
from emu.bench.machine import MUTATOR_0, REFILL_0
from emu.mm import scratch_of
from emu.rcu import rcu_read_lock, rcu_read_unlock
from emu.shm import LINE_WORDS, now_ns
from emu.stats import HIST, VM, count, hist_record
from emu.sync import spin_lock, spin_unlock
from emu.trace import EV, trace_event

_SPREAD = 2_654_435_761  # Knuth's multiplier: values that fall into many buckets
_VALUES = (1 << 20) - 1
_BUCKET = 7  # value >> 7: about as many buckets in the bare twin
_EVENTS = 255


@jit
def bare_words(seg):
    """First of the words that bare twins work on."""
    return scratch_of(seg, REFILL_0)


@jit
def locked_rmw(seg, n):
    """fetch_add on one private word: what a locked instruction costs on this core."""
    word = bare_words(seg)
    for _ in range(n):
        fetch_add_relaxed(seg, word, 1)
    return load_relaxed(seg, word)


@jit
def bench_lock(seg, n):
    """A free lock, taken and released. The lock is one that nobody else uses: in the bench's own words."""
    lock = bare_words(seg) + 4 * LINE_WORDS
    for _ in range(n):
        spin_lock(seg, MUTATOR_0, lock)
        spin_unlock(seg, MUTATOR_0, lock)
    return load_relaxed(seg, lock)


@jit
def bare_lock(seg, n):
    """One locked swap, one count, one release, one look at the waiters."""
    word = bare_words(seg)
    total = 0
    for _ in range(n):
        cmpxchg_acquire(seg, word, 0, 1)
        store_relaxed(seg, word + 2, load_relaxed(seg, word + 2) + 1)
        store_release(seg, word, 0)
        total += load_relaxed(seg, word + 1)
    return total


@jit
def bench_counter(seg, n):
    """count(): one more of something."""
    for _ in range(n):
        count(seg, MUTATOR_0, VM.kvfree_calls)
    return n


@jit
def bare_counter(seg, n):
    """A load and a store."""
    word = bare_words(seg)
    for _ in range(n):
        store_relaxed(seg, word, load_relaxed(seg, word) + 1)
    return load_relaxed(seg, word)


@jit
def bench_histogram(seg, n):
    """hist_record() of values that spread over the buckets of 20 bits."""
    for i in range(n):
        hist_record(seg, MUTATOR_0, HIST.kvfree_call_ns, (i * _SPREAD) & _VALUES)
    return n


@jit
def bare_histogram(seg, n):
    """Total, sum and one of many counts moved; smallest and largest looked at."""
    word = bare_words(seg)
    seen = 0
    for i in range(n):
        value = (i * _SPREAD) & _VALUES
        store_relaxed(seg, word, load_relaxed(seg, word) + 1)
        store_relaxed(seg, word + 1, load_relaxed(seg, word + 1) + value)
        seen += load_relaxed(seg, word + 2) + load_relaxed(seg, word + 3)
        at = word + 16 + (value >> _BUCKET & 1023)
        store_relaxed(seg, at, load_relaxed(seg, at) + 1)
    return seen


@jit
def bench_trace(seg, n):
    """trace_event() into a buffer that overwrites itself; most of it is the time stamp."""
    for i in range(n):
        trace_event(seg, MUTATOR_0, EV.rcu_fqs, i, 0)
    return n


@jit
def bare_trace(seg, n):
    """A time stamp and five stores."""
    word = bare_words(seg)
    for i in range(n):
        slot = word + 16 + (i & _EVENTS) * 4
        store_relaxed(seg, slot + 1, i)
        store_release(seg, slot, now_ns(seg))
        store_release(seg, slot + 2, i)
        store_release(seg, slot + 3, 0)
        store_release(seg, word, i + 1)
    return n


@jit
def bench_reader(seg, n):
    """An empty read section: rcu_read_lock(), rcu_read_unlock()."""
    for _ in range(n):
        rcu_read_lock(seg, 0)
        rcu_read_unlock(seg, 0)
    return n


@jit
def bare_reader(seg, n):
    """A word moved up and down again."""
    word = bare_words(seg)
    for _ in range(n):
        store_relaxed(seg, word, load_relaxed(seg, word) + 1)
        store_relaxed(seg, word, load_relaxed(seg, word) - 1)
    return load_relaxed(seg, word)


@jit
def bench_clock(seg, n):
    """now_ns(), by the clock that the machine has been given."""
    last = 0
    for _ in range(n):
        last = now_ns(seg)
    return last


@jit
def bare_monotonic(seg, n):
    """clock_gettime() alone."""
    last = 0
    for _ in range(n):
        last = monotonic_ns()
    return last


@jit
def bare_cycles(seg, n):
    """The cycle counter and one wide multiplication."""
    last = 0
    for _ in range(n):
        last = mul_shift32(cycles() & 0xFFFF_FFFF, _SPREAD)
    return last
