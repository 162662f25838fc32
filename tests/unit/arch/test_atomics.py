"""Every operation has two bodies with one meaning, and the compiled one is atomic between processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import (
    JIT,
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
    jit,
    load_acquire,
    load_relaxed,
    private_words,
    sched_yield,
    smp_mb,
    smp_mb_after_atomic,
    store_relaxed,
    store_release,
    wrap64,
    xchg_acq_rel,
)

MIN, MAX = -(1 << 63), (1 << 63) - 1
SLOTS = 3
ROUNDS = 200_000 if JIT else 500

# (name, operands beside segment and index), in the order of the codes of apply()
OPERATIONS = (
    ("load_relaxed", 0), ("load_acquire", 0), ("store_relaxed", 1), ("store_release", 1), ("cmpxchg_relaxed", 2),
    ("cmpxchg_acquire", 2), ("cmpxchg_release", 2), ("cmpxchg_acq_rel", 2), ("xchg_acq_rel", 1),
    ("fetch_add_relaxed", 1), ("fetch_add_acq_rel", 1), ("fetch_or_acq_rel", 1), ("fetch_and_acq_rel", 1),
)
NR_OPERATIONS = len(OPERATIONS)


def python_apply(seg, code, i, a, b):
    """Operation `code` through its Python body; a store gives 0."""
    name, operands = OPERATIONS[code]
    return globals()[name](seg, i, *(a, b)[:operands]) or 0


@jit
def apply(seg, code, i, a, b):
    """Operation `code` through the body that this process runs; a store gives 0."""
    if code == 0:
        return load_relaxed(seg, i)
    if code == 1:
        return load_acquire(seg, i)
    if code == 2:
        store_relaxed(seg, i, a)
        return 0
    if code == 3:
        store_release(seg, i, a)
        return 0
    if code == 4:
        return cmpxchg_relaxed(seg, i, a, b)
    if code == 5:
        return cmpxchg_acquire(seg, i, a, b)
    if code == 6:
        return cmpxchg_release(seg, i, a, b)
    if code == 7:
        return cmpxchg_acq_rel(seg, i, a, b)
    if code == 8:
        return xchg_acq_rel(seg, i, a)
    if code == 9:
        return fetch_add_relaxed(seg, i, a)
    if code == 10:
        return fetch_add_acq_rel(seg, i, a)
    if code == 11:
        return fetch_or_acq_rel(seg, i, a)
    return fetch_and_acq_rel(seg, i, a)


def expected_after(name, old, a, b):
    """(returned, word afterwards), said independently of the bodies under test."""
    if name.startswith("load"):
        return old, old
    if name.startswith("store"):
        return 0, a
    if name.startswith("cmpxchg"):
        return old, b if old == a else old
    if name.startswith("xchg"):
        return old, a
    if name.startswith("fetch_add"):
        return old, (old + a + (1 << 63)) % (1 << 64) - (1 << 63)
    return old, old | a if name.startswith("fetch_or") else old & a


# few distinct values, so that compare-and-swaps often succeed; the ends, so that sums wrap
value = st.sampled_from((0, 1, -1, 2, MIN, MAX, 1 << 32, -(1 << 32))) | st.integers(MIN, MAX)
step = st.tuples(st.integers(0, NR_OPERATIONS - 1), st.integers(0, SLOTS - 1), value, value)


@given(st.lists(value, min_size=SLOTS, max_size=SLOTS), st.lists(step, max_size=40))
def test_both_bodies_do_what_the_name_says(start, steps):
    interpreted, compiled = private_words(SLOTS), private_words(SLOTS)
    model = list(start)
    for i in range(SLOTS):
        interpreted[i] = compiled[i] = start[i]
    for code, i, a, b in steps:
        returned, model[i] = expected_after(OPERATIONS[code][0], model[i], a, b)
        assert python_apply(interpreted, code, i, a, b) == returned
        assert apply(compiled, code, i, a, b) == returned
        assert list(interpreted.words) == list(compiled.words) == model


@pytest.mark.parametrize("code", range(NR_OPERATIONS), ids=[name for name, _ in OPERATIONS])
def test_a_neighbour_word_is_not_touched(code):
    words = private_words(SLOTS)
    words[0] = words[2] = MIN + 7
    apply(words, code, 1, -1, -1)
    assert (words[0], words[2]) == (MIN + 7, MIN + 7)


@pytest.mark.parametrize("add", [fetch_add_relaxed, fetch_add_acq_rel])
def test_a_python_sum_wraps_as_int64(add):
    words = private_words(1)
    words[0] = MAX
    assert add(words, 0, 1) == MAX
    assert words[0] == MIN


@given(st.integers(-(1 << 70), 1 << 70))
def test_wrap64_is_congruent_and_in_range(number):
    assert MIN <= wrap64(number) <= MAX
    assert (wrap64(number) - number) % (1 << 64) == 0


@jit
def wrapped_sum(a, b):
    return wrap64(a + b)


@given(value, value)
def test_wrap64_makes_both_bodies_add_alike(a, b):
    assert wrapped_sum(a, b) == wrap64(a + b)


@jit
def hidden(number):
    return hide(number)


@given(value)
def test_hide_gives_back_its_value(number):
    assert hidden(number) == number
    assert hide(number) == number


def hidden_constant():
    return hide(5) * 3


@pytest.mark.jit_only
def test_hide_keeps_the_compiler_from_folding():
    import numba

    compiled = numba.njit(hidden_constant)
    assert compiled() == 15
    (text,) = compiled.inspect_llvm().values()
    assert "asm" in text, "the hidden value was folded away"


@jit
def fenced(seg):
    """All fences and hints in a row, with a word written across them."""
    seg[0] = 1
    smp_mb()
    seg[0] += 1
    smp_mb_after_atomic()
    seg[0] += 1
    barrier()
    seg[0] += 1
    cpu_relax()
    return seg[0]


def test_fences_and_hints_change_no_value(words):
    assert fenced(words) == 4


# --- between processes -----------------------------------------------------------------------------------


@jit
def wait_nonzero(seg, i):
    """Spin until word i is not zero; give the core away now and then, the other side may need it."""
    spins = 0
    while load_relaxed(seg, i) == 0:
        spins += 1
        if spins & 1023 == 0:
            sched_yield()
        cpu_relax()
    return load_relaxed(seg, i)


def test_a_wait_loop_on_load_relaxed_ends_when_another_process_stores(shared_words, fork):
    seg = shared_words(64)
    seg[0] = 1
    wait_nonzero(seg, 0)  # compiled before the fork
    seg[0] = 0

    def waiter():
        store_release(seg, 16, 1)
        assert wait_nonzero(seg, 0) == 9

    child = fork(waiter)
    wait_nonzero(seg, 16)
    store_release(seg, 0, 9)
    assert child.wait() == 0


@jit
def publish(seg, rounds):
    """Message passing, the sending side: data, then flag."""
    for n in range(1, rounds + 1):
        store_relaxed(seg, 0, n)
        store_release(seg, 16, n)
    return rounds


@jit
def observe(seg, rounds):
    """The receiving side: how often the flag was seen with data older than it (forbidden)."""
    forbidden = 0
    flag = 0
    while flag < rounds:
        flag = load_acquire(seg, 16)
        if load_relaxed(seg, 0) < flag:
            forbidden += 1
        if flag == 0:
            sched_yield()
    return forbidden


def test_mp_release_acquire_never_shows_the_flag_without_the_data(shared_words, fork):
    seg = shared_words(64)
    publish(seg, 1)
    observe(seg, 1)
    seg[0] = seg[16] = 0
    child = fork(lambda: publish(seg, ROUNDS))
    assert observe(seg, ROUNDS) == 0
    assert child.wait() == 0


@jit
def add_up(seg, bit, rounds):
    """Every read-modify-write on words that the other process hammers too; returns lost compare-and-swaps."""
    lost = 0
    for _ in range(rounds):
        fetch_add_relaxed(seg, 0, 1)
        fetch_add_acq_rel(seg, 16, 1)
        old = load_relaxed(seg, 32)
        while True:
            seen = cmpxchg_acq_rel(seg, 32, old, old + 1)
            if seen == old:
                break
            lost += 1
            old = seen
        if fetch_or_acq_rel(seg, 48, bit) & bit:
            return -1  # the bit is mine: clear before, and nobody else sets it
        if fetch_and_acq_rel(seg, 48, ~bit) & bit == 0:
            return -2
    return lost


@pytest.mark.jit_only
def test_no_update_is_lost_between_processes(shared_words, fork):
    seg = shared_words(64)
    rounds = 100_000
    add_up(seg, 4, 1)

    def other():
        assert add_up(seg, 1, rounds) >= 0

    child = fork(other)
    assert add_up(seg, 2, rounds) >= 0
    assert child.wait() == 0
    assert [seg[0], seg[16], seg[32], seg[48]] == [2 * rounds + 1] * 3 + [0]


@jit
def store_buffer(seg, mine, theirs, ready, rounds):
    """SB shape, one side: store mine, fence, look at theirs; what was seen goes to a log of its own."""
    for n in range(1, rounds + 1):
        fetch_add_acq_rel(seg, ready, 1)
        spins = 0
        while load_relaxed(seg, ready) < 2 * n:
            spins += 1
            if spins > 1000:
                sched_yield()
        store_relaxed(seg, mine, n)
        smp_mb()
        seg[mine + 64 + n] = load_relaxed(seg, theirs)
    return rounds


def test_sb_with_full_fences_never_shows_both_sides_the_old_value(shared_words, fork):
    rounds = 5_000 if JIT else 50
    # words 0 and 16 (flags), 32 (meeting point), logs behind each flag, far enough apart
    seg = shared_words(3 * 8192)
    first, second, ready = 0, 8192, 2 * 8192
    if JIT:
        store_buffer(seg, first, second, ready, 0)
        child = fork(lambda: store_buffer(seg, second, first, ready, rounds))
        store_buffer(seg, first, second, ready, rounds)
        assert child.wait() == 0
    else:  # the Python add is not atomic between processes: one process plays both sides
        for n in range(1, rounds + 1):
            for mine, theirs in ((first, second), (second, first)):
                store_relaxed(seg, mine, n)
                smp_mb()
                seg[mine + 64 + n] = load_relaxed(seg, theirs)
    both_old = [n for n in range(1, rounds + 1) if seg[first + 64 + n] < n and seg[second + 64 + n] < n]
    assert both_old == []
