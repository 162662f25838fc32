"""Loops over the rings and the stack, compiled, each beside a bare twin that is its floor. No clock in here.

Holds   for each structure a loop on one core and a "bare" loop that makes the same loads, stores and read-modify-writes
        on fixed words with no algorithm around them; for the rings producer and consumer loops for two processes.
Rule    ring_bench_words() words of one segment, ring_bench_setup(seg) once before each sample, then any pair of loops
        as (seg, n). Every loop returns how many items it moved, or a sum that depends on all it read, so that
        nothing can be left out. n counts items, one item being one put and one get.
Limits  two-core loops wait for each other: start both, with the same n (a multiple of BLOCK for the block loops).
        A side that has to wait stays off the other's lines for WAIT pauses.
"""

from emu.arch import (
    cmpxchg_acq_rel,
    cmpxchg_acquire,
    cmpxchg_release,
    cpu_relax,
    fetch_add_acq_rel,
    fetch_or_acq_rel,
    jit,
    load_acquire,
    load_relaxed,
    smp_mb_after_atomic,
    store_relaxed,
    store_release,
)
from emu.ring import (
    EMPTY,
    SPSC,
    SPSC_EMPTY,
    mpmc_get,
    mpmc_init,
    mpmc_put,
    mpmc_words_needed,
    spsc_dequeue,
    spsc_dequeue_bulk,
    spsc_enqueue,
    spsc_enqueue_bulk,
    spsc_init,
    spsc_words_needed,
    stack_init,
    stack_pop,
    stack_pop_many,
    stack_push,
    stack_push_many,
)
from emu.shm import LINE_WORDS

CAPACITY = 4096
PUBLISH_EVERY = 256
MPMC_CAPACITY = 1024
BLOCK = 32
WAIT = 64  # pauses of a side that found nothing (or no room)
DEPTH = 64  # nodes on the stack, so that links are read, not only written

_SPSC = 0
_MPMC = _SPSC + spsc_words_needed(CAPACITY)
_STACK = _MPMC + mpmc_words_needed(MPMC_CAPACITY)
_LINKS = _STACK + LINE_WORDS
_STRIDE = LINE_WORDS
_BARE = _LINKS + (DEPTH + 2 * BLOCK) * _STRIDE  # eight lines of the bare twins
_SRC = _BARE + 8 * LINE_WORDS
_DST = _SRC + BLOCK
_END = _DST + BLOCK


def ring_bench_words() -> int:
    """Words of segment that the loops use, from word 0 on."""
    return _END


def ring_bench_setup(seg) -> None:
    """All structures as at the start: the rings empty, DEPTH nodes on the stack, bare words zero."""
    spsc_init(seg, _SPSC, CAPACITY, PUBLISH_EVERY)
    mpmc_init(seg, _MPMC, MPMC_CAPACITY)
    stack_init(seg, _STACK)
    for node in range(DEPTH):
        stack_push(seg, _STACK, _LINKS, _STRIDE, node)
    for i in range(_BARE, _END):
        seg[i] = 0
    for i in range(BLOCK):
        seg[_SRC + i] = DEPTH + i


# --- one core -------------------------------------------------------------------------------------------


@jit
def bench_spsc_one_core(seg, n):
    """Put one, get one."""
    total = 0
    for i in range(n):
        spsc_enqueue(seg, _SPSC, i)
        total += spsc_dequeue(seg, _SPSC)
    return total


@jit
def bare_spsc_one_core(seg, n):
    """A slot written and read, two positions released, the opposite position loaded on each side."""
    total = 0
    for i in range(n):
        h = load_relaxed(seg, _BARE)
        seg[_BARE + 64 + (i & 15)] = h - load_acquire(seg, _BARE + 16)
        store_release(seg, _BARE, h + 1)
        t = load_relaxed(seg, _BARE + 16)
        total += seg[_BARE + 64 + (i & 15)] + load_acquire(seg, _BARE)
        store_release(seg, _BARE + 16, t + 1)
    return total


@jit
def bench_spsc_block_one_core(seg, n):
    """Put BLOCK, get BLOCK."""
    total = 0
    for _ in range(n // BLOCK):
        spsc_enqueue_bulk(seg, _SPSC, _SRC, BLOCK)
        total += spsc_dequeue_bulk(seg, _SPSC, _DST, BLOCK)
    return total


@jit
def bare_spsc_block_one_core(seg, n):
    """BLOCK words copied to a slot run and back, two positions released."""
    total = 0
    for _ in range(n // BLOCK):
        h = load_relaxed(seg, _BARE)
        for i in range(BLOCK):
            seg[_SPSC + SPSC.SIZE + i] = seg[_SRC + i]
        store_release(seg, _BARE, h + BLOCK)
        for i in range(BLOCK):
            seg[_DST + i] = seg[_SPSC + SPSC.SIZE + i]
        store_release(seg, _BARE + 16, h + BLOCK)
        total += BLOCK
    return total


@jit
def bench_mpmc_one_core(seg, n):
    """Put one, get one."""
    total = 0
    for i in range(n):
        mpmc_put(seg, _MPMC, i & 0xFFFF)
        total += mpmc_get(seg, _MPMC)
    return total


@jit
def bare_mpmc_one_core(seg, n):
    """The four read-modify-writes of a put and a get, and the loads between them."""
    total = 0
    for i in range(n):
        t = load_acquire(seg, _BARE)
        total += load_relaxed(seg, _BARE + 1)
        cmpxchg_acq_rel(seg, _BARE, t, t + 1)
        slot = _BARE + 64 + (i & 15)
        entry = load_acquire(seg, slot)
        cmpxchg_acq_rel(seg, slot, entry, i << 32)
        smp_mb_after_atomic()
        total += load_relaxed(seg, _BARE + 32)
        total += load_acquire(seg, _BARE + 32) + load_acquire(seg, _BARE + 16) + load_relaxed(seg, _BARE + 17)
        h = fetch_add_acq_rel(seg, _BARE + 16, 1)
        smp_mb_after_atomic()
        total += load_acquire(seg, _BARE + 64 + (h & 15))
        fetch_or_acq_rel(seg, _BARE + 64 + (h & 15), 0xFFFF)
    return total


@jit
def bench_stack_one_core(seg, n):
    """Pop one, push it back."""
    total = 0
    for _ in range(n):
        node = stack_pop(seg, _STACK, _LINKS, _STRIDE)
        total += node
        stack_push(seg, _STACK, _LINKS, _STRIDE, node)
    return total


@jit
def bare_stack_one_core(seg, n):
    """Two swaps of one word; before the one a dependent load, before the other a load and a store."""
    total = 0
    for _ in range(n):
        old = load_acquire(seg, _BARE)
        below = load_relaxed(seg, _BARE + 64 + (old & 15))
        cmpxchg_acquire(seg, _BARE, old, old + 1 + below)
        old = load_acquire(seg, _BARE)
        total += load_relaxed(seg, _BARE + 64 + (old & 15))
        store_relaxed(seg, _BARE + 80 + (old & 15), old)
        cmpxchg_release(seg, _BARE, old, old + 1)
    return total


@jit
def bench_stack_many_one_core(seg, n):
    """Push BLOCK nodes with one swap, pop BLOCK with one."""
    total = 0
    for _ in range(n // BLOCK):
        stack_push_many(seg, _STACK, _LINKS, _STRIDE, _SRC, BLOCK)
        total += stack_pop_many(seg, _STACK, _LINKS, _STRIDE, _SRC, BLOCK)
    return total


@jit
def bare_stack_many_one_core(seg, n):
    """BLOCK link words written, walked as a chain, two swaps."""
    total = 0
    for _ in range(n // BLOCK):
        old = load_acquire(seg, _BARE)
        for i in range(BLOCK):
            store_relaxed(seg, _LINKS + i * _STRIDE, i + 1)
        cmpxchg_release(seg, _BARE, old, old + 1)
        old = load_acquire(seg, _BARE)
        at = 0
        for i in range(BLOCK):
            seg[_DST + i] = at
            at = load_acquire(seg, _LINKS + at * _STRIDE)
        cmpxchg_acquire(seg, _BARE, old, old + 1)
        total += at
    return total


# --- two cores ------------------------------------------------------------------------------------------


@jit
def _stay_away():
    for _ in range(WAIT):
        cpu_relax()


@jit
def bench_spsc_produce(seg, n):
    """Put n words one by one, waiting for room."""
    sent = 0
    while sent < n:
        if spsc_enqueue(seg, _SPSC, sent) != 0:
            sent += 1
        else:
            _stay_away()
    return sent


@jit
def bench_spsc_consume(seg, n):
    """Get n words one by one; their sum."""
    total = 0
    got = 0
    while got < n:
        value = spsc_dequeue(seg, _SPSC)
        if value != SPSC_EMPTY:
            total += value
            got += 1
        else:
            _stay_away()
    return total


@jit
def bench_spsc_produce_block(seg, n):
    """Put n words in blocks of BLOCK."""
    sent = 0
    while sent < n:
        went = spsc_enqueue_bulk(seg, _SPSC, _SRC, BLOCK)
        sent += went
        if went == 0:
            _stay_away()
    return sent


@jit
def bench_spsc_consume_block(seg, n):
    """Get n words in blocks of up to BLOCK; how many came."""
    got = 0
    while got < n:
        came = spsc_dequeue_bulk(seg, _SPSC, _DST, BLOCK)
        got += came
        if came == 0:
            _stay_away()
    return got


@jit
def bare_produce(seg, n):
    """The floor of a single-item stream: a slot and a position stored per item, no look at the other side."""
    for i in range(n):
        seg[_SPSC + SPSC.SIZE + (i & (CAPACITY - 1))] = i
        store_release(seg, _BARE, i + 1)
    return n


@jit
def bare_consume(seg, n):
    """Read each slot as soon as bare_produce() has published it (it may have lapped us: only the traffic counts)."""
    total = 0
    seen = 0
    i = 0
    while i < n:
        if i == seen:
            seen = load_acquire(seg, _BARE)
            if i == seen:
                _stay_away()
                continue
        total += seg[_SPSC + SPSC.SIZE + (i & (CAPACITY - 1))]
        i += 1
    return total


@jit
def bench_mpmc_produce(seg, n):
    """Put n values, waiting for room. Any number of processes."""
    sent = 0
    while sent < n:
        if mpmc_put(seg, _MPMC, sent & 0xFFFF) != 0:
            sent += 1
        else:
            _stay_away()
    return sent


@jit
def bench_mpmc_consume(seg, n):
    """Get n values; their sum. Any number of processes."""
    total = 0
    got = 0
    while got < n:
        value = mpmc_get(seg, _MPMC)
        if value != EMPTY:
            total += value
            got += 1
        else:
            _stay_away()
    return total


@jit
def bench_mpmc_both(seg, n):
    """Put one, get one, beside others that do the same: both words contended."""
    total = 0
    for i in range(n):
        mpmc_put(seg, _MPMC, i & 0xFFFF)
        total += mpmc_get(seg, _MPMC)
    return total


@jit
def bench_stack_both(seg, n):
    """Pop one, push it back, beside others that do the same on one head."""
    return bench_stack_one_core(seg, n)


@jit
def bare_both(seg, n):
    """The floor of contention on one word: two read-modify-writes per item on it."""
    for _ in range(n):
        fetch_add_acq_rel(seg, _BARE, 1)
        fetch_add_acq_rel(seg, _BARE, 1)
    return n
