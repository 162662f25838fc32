"""Several processes hammer one ring or stack on real cores; one of them may be stopped in the middle for all the time.

Every value is accounted for exactly once: it is in the structure, or in one participant's hand, and an owner word per
value, changed by exchange, catches a double at the moment it happens.
"""

import contextlib
import mmap
import os
import random
import signal
import time

import pytest

from emu.arch import (
    JIT,
    Words,
    cpu_relax,
    fetch_add_acq_rel,
    jit,
    load_relaxed,
    store_relaxed,
    xchg_acq_rel,
)
from emu.bench import ring as bench
from emu.ring import (
    EMPTY,
    SPSC_EMPTY,
    mpmc_count,
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
    stack_count,
    stack_init,
    stack_pop,
    stack_pop_many,
    stack_push,
    stack_push_many,
)

pytestmark = pytest.mark.skipif(not JIT, reason="races need compiled code on real cores; the interpreted bodies are "
                                                "stepped by tests/unit/ring/test_preempted.py")

TEAM = 4
VALUES = 160  # more than fit, so that full rings are met
CAPACITY = 64
REPEATS = 10
GOAL = 100_000  # successful operations of each running participant, counted from the moment another is stopped

# words of the segment
GO, STOP, ERRORS, GOT = 0, 16, 32, 48
PROGRESS = 64  # one line per participant
OWNER = PROGRESS + 16 * TEAM
HAND = OWNER + VALUES  # per participant: how many, then the values
HAND_WORDS = VALUES + 16
SCRATCH = HAND + TEAM * HAND_WORDS
LINKS, STRIDE = SCRATCH + 16 * TEAM, 2
RING = (LINKS + STRIDE * VALUES + 15) // 16 * 16
MARKS = RING + 2048
WORDS = MARKS + (1 << 18)
GARBAGE = -1  # written over the link of a node in hand: whoever followed it would leave the segment
SEED_BITS = (1 << 62) - 1


def shared_words(count=WORDS):
    return Words(mmap.mmap(-1, -(-count * 8 // mmap.PAGESIZE) * mmap.PAGESIZE))


class Team:
    """Forked participants; whatever happens, all are gone when the block is left."""

    def __init__(self):
        self.pids = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def start(self, function, *args):
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                function(*args)
                status = 0
            os._exit(status)
        self.pids.append(pid)
        return pid

    def join(self, pid):
        _, status = os.waitpid(pid, 0)
        self.pids.remove(pid)
        assert os.waitstatus_to_exitcode(status) == 0

    def stop(self, pid):
        os.kill(pid, signal.SIGSTOP)
        _, status = os.waitpid(pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)


@jit
def next_random(state):
    state ^= (state << 13) & SEED_BITS
    state ^= state >> 7
    state ^= (state << 17) & SEED_BITS
    return state


@jit
def claim(seg, me, value):
    """`me` now owns value; nobody may have owned it."""
    if value < 0 or value >= VALUES or xchg_acq_rel(seg, OWNER + value, me + 1) != 0:
        fetch_add_acq_rel(seg, ERRORS, 1)


@jit
def disown(seg, me, value):
    if xchg_acq_rel(seg, OWNER + value, 0) != me + 1:
        fetch_add_acq_rel(seg, ERRORS, 1)


@jit
def goes_on(seg, me, goal, done, state):
    """One step of book-keeping: progress is shown, and the loop ends by goal, or by STOP when there is none."""
    store_relaxed(seg, PROGRESS + 16 * me, load_relaxed(seg, PROGRESS + 16 * me) + 1)
    if goal == 0:
        return load_relaxed(seg, STOP) == 0
    return done < goal


@jit
def mpmc_hammer(seg, me, goal, state):
    """Put from the hand or get into it, at random, until `goal` have succeeded since GO."""
    hand = HAND + me * HAND_WORDS
    held = seg[hand]
    done = 0
    while goes_on(seg, me, goal, done, state):
        state = next_random(state)
        moved = 0
        if state & 1 == 0 and held > 0:
            value = seg[hand + held]
            disown(seg, me, value)
            moved = mpmc_put(seg, RING, value)
            if moved == 0:
                claim(seg, me, value)
            held -= moved
        else:
            value = mpmc_get(seg, RING)
            if value != EMPTY:
                claim(seg, me, value)
                held += 1
                seg[hand + held] = value
                moved = 1
        done += moved * load_relaxed(seg, GO)
    seg[hand] = held


@jit
def stack_hammer(seg, me, goal, state):
    """Push and pop one or up to seven at random; a node in hand has rubbish in its link word."""
    hand = HAND + me * HAND_WORDS
    batch = SCRATCH + 16 * me
    held = seg[hand]
    done = 0
    while goes_on(seg, me, goal, done, state):
        state = next_random(state)
        many = state & 2
        n = 1 + (state >> 8) % 7
        if n > held:
            n = held
        moved = 0
        if state & 1 == 0 and many == 0 and held > 0:
            disown(seg, me, seg[hand + held])
            stack_push(seg, RING, LINKS, STRIDE, seg[hand + held])
            moved = 1
            held -= 1
        elif state & 1 == 0:
            for i in range(n):
                seg[batch + i] = seg[hand + held - i]
                disown(seg, me, seg[batch + i])
            stack_push_many(seg, RING, LINKS, STRIDE, batch, n)
            moved = n
            held -= n
        else:
            if many == 0:
                seg[batch] = stack_pop(seg, RING, LINKS, STRIDE)
                moved = 0 if seg[batch] == EMPTY else 1
            else:
                moved = stack_pop_many(seg, RING, LINKS, STRIDE, batch, 1 + (state >> 8) % 7)
            for i in range(moved):
                claim(seg, me, seg[batch + i])
                store_relaxed(seg, LINKS + seg[batch + i] * STRIDE, GARBAGE)
                held += 1
                seg[hand + held] = seg[batch + i]
        if state & 0xF0 == 0:
            depth = stack_count(seg, RING, LINKS, STRIDE)
            if depth < 0 or depth > VALUES:
                fetch_add_acq_rel(seg, ERRORS, 1)
        done += moved * load_relaxed(seg, GO)
    seg[hand] = held


def deal(seg):
    """All values into the hands, evenly."""
    for value in range(VALUES):
        me = value % TEAM
        hand = HAND + me * HAND_WORDS
        seg[hand] += 1
        seg[hand + seg[hand]] = value
        seg[OWNER + value] = me + 1


def in_hands(seg):
    values = []
    for me in range(TEAM):
        hand = HAND + me * HAND_WORDS
        values += [seg[hand + 1 + i] for i in range(seg[hand])]
    return values


def drained(seg, get, *args):
    values = []
    while (value := get(seg, RING, *args)) != EMPTY:
        values.append(value)
    return values


def mpmc_segment():
    seg = shared_words()
    mpmc_init(seg, RING, CAPACITY, TEAM)
    deal(seg)
    return seg


def stack_segment():
    seg = shared_words()
    stack_init(seg, RING)
    deal(seg)
    return seg


MPMC_CASE = (mpmc_segment, mpmc_hammer, mpmc_get, ())
STACK_CASE = (stack_segment, stack_hammer, stack_pop, (LINKS, STRIDE))
CASES = pytest.mark.parametrize("segment, hammer, get, args", [MPMC_CASE, STACK_CASE], ids=["mpmc", "stack"])


def compile_before_fork(segment, hammer):
    """One process compiles, not four at once."""
    seg = segment()
    seg[STOP] = 1
    hammer(seg, 0, 0, 1)


def assert_all_accounted_for(seg, get, args):
    inside = drained(seg, get, *args)
    assert sorted(inside + in_hands(seg)) == list(range(VALUES))
    assert seg[ERRORS] == 0


@CASES
def test_every_value_is_somewhere_exactly_once(segment, hammer, get, args):
    compile_before_fork(segment, hammer)
    seg = segment()
    seg[GO] = 1
    with Team() as team:
        pids = [team.start(hammer, seg, me, 5 * GOAL, 12345 + me) for me in range(TEAM)]
        for pid in pids:
            team.join(pid)
    assert_all_accounted_for(seg, get, args)


@CASES
@pytest.mark.parametrize("seed", range(REPEATS))
def test_a_stopped_participant_stops_nobody(segment, hammer, get, args, seed):
    compile_before_fork(segment, hammer)
    seg = segment()
    dice = random.Random(seed)
    with Team() as team:
        victim = team.start(hammer, seg, 0, 0, 1 + seed)
        others = [team.start(hammer, seg, me, GOAL, 1000 * seed + me) for me in range(1, TEAM)]
        while any(seg[PROGRESS + 16 * me] < 1000 for me in range(TEAM)):
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.003))
        team.stop(victim)
        stopped_at = seg[PROGRESS]
        seg[GO] = 1
        for pid in others:
            team.join(pid)  # each has done GOAL operations while one participant did not move
        assert seg[PROGRESS] == stopped_at
        seg[STOP] = 1
        os.kill(victim, signal.SIGCONT)
        team.join(victim)
    assert_all_accounted_for(seg, get, args)


# --- mpmc: order -----------------------------------------------------------------------------------------

PER_PRODUCER = 60_000


@jit
def ordered_put(seg, me, n):
    for i in range(n):
        while mpmc_put(seg, RING, (me << 20) | i) == 0:
            cpu_relax()


@jit
def ordered_get(seg, producers, total):
    """Check that each producer's numbers rise as this consumer sees them, and that each comes once."""
    last0 = -1
    last1 = -1
    while load_relaxed(seg, GOT) < total:
        value = mpmc_get(seg, RING)
        if value == EMPTY:
            cpu_relax()
            continue
        fetch_add_acq_rel(seg, GOT, 1)
        producer = value >> 20
        number = value & 0xFFFFF
        last = last0 if producer == 0 else last1
        if number <= last or xchg_acq_rel(seg, MARKS + producer * PER_PRODUCER + number, 1) != 0:
            fetch_add_acq_rel(seg, ERRORS, 1)
        if producer == 0:
            last0 = number
        else:
            last1 = number


@pytest.mark.parametrize("capacity", [1, 7, 300])
def test_mpmc_keeps_each_producers_order(capacity):
    seg = shared_words()
    mpmc_init(seg, RING, capacity, TEAM)
    assert mpmc_words_needed(capacity, TEAM) <= MARKS - RING
    ordered_put(seg, 0, 0)
    ordered_get(seg, 2, 0)
    with Team() as team:
        pids = [team.start(ordered_get, seg, 2, 2 * PER_PRODUCER) for _ in range(2)]
        pids += [team.start(ordered_put, seg, me, PER_PRODUCER) for me in range(2)]
        for pid in pids:
            team.join(pid)
    assert seg[ERRORS] == 0
    assert seg[GOT] == 2 * PER_PRODUCER
    assert mpmc_count(seg, RING) == 0


# --- spsc ------------------------------------------------------------------------------------------------


@jit
def numbered_send(seg, n, seed):
    """Send 0 .. n - 1, one by one and in bulk at random."""
    sent = 0
    state = seed
    while sent < n:
        state = next_random(state)
        went = 0
        if state & 1 == 0:
            went = spsc_enqueue(seg, RING, sent)
        else:
            count = min(1 + (state >> 8) % 13, n - sent)
            for i in range(count):
                seg[SCRATCH + i] = sent + i
            went = spsc_enqueue_bulk(seg, RING, SCRATCH, count)
        sent += went
        if went == 0:
            cpu_relax()


@jit
def numbered_receive(seg, n, seed):
    """Expect 0 .. n - 1; progress is shown in GOT."""
    got = 0
    state = seed
    while got < n:
        state = next_random(state)
        came = 0
        if state & 1 == 0:
            value = spsc_dequeue(seg, RING)
            if value != SPSC_EMPTY:
                seg[SCRATCH + 16] = value
                came = 1
        else:
            came = spsc_dequeue_bulk(seg, RING, SCRATCH + 16, 1 + (state >> 8) % 13)
        for i in range(came):
            if seg[SCRATCH + 16 + i] != got + i:
                fetch_add_acq_rel(seg, ERRORS, 1)
        got += came
        store_relaxed(seg, GOT, got)
        if came == 0:
            cpu_relax()


@pytest.mark.parametrize("capacity, publish_every", [(1, 1), (8, 4), (64, 64)])
def test_spsc_delivers_everything_in_order(capacity, publish_every):
    seg = shared_words()
    assert spsc_words_needed(capacity) <= MARKS - RING
    spsc_init(seg, RING, capacity, publish_every, start=(1 << 63) - 1000)
    numbered_send(seg, 0, 1)
    numbered_receive(seg, 0, 1)
    with Team() as team:
        receiver = team.start(numbered_receive, seg, 500_000, 7)
        sender = team.start(numbered_send, seg, 500_000, 11)
        team.join(sender)
        team.join(receiver)
    assert seg[ERRORS] == 0
    assert seg[GOT] == 500_000


@pytest.mark.parametrize("seed", range(REPEATS))
def test_spsc_producer_returns_while_the_consumer_is_stopped(seed):
    seg = shared_words()
    spsc_init(seg, RING, 64, 16)
    numbered_receive(seg, 0, 1)
    total, sent = 30_000, 0
    with Team() as team:
        consumer = team.start(numbered_receive, seg, total, 3 + seed)
        while seg[GOT] < 100:
            sent += spsc_enqueue(seg, RING, sent)
        time.sleep(random.Random(seed).uniform(0, 0.002))
        team.stop(consumer)
        accepted = 0
        while spsc_enqueue(seg, RING, sent) == 1:
            sent += 1
            accepted += 1
        assert accepted <= 64
        assert all(spsc_enqueue(seg, RING, sent) == 0 for _ in range(1000))
        os.kill(consumer, signal.SIGCONT)
        while sent < total:
            sent += spsc_enqueue(seg, RING, sent)
        team.join(consumer)
    assert seg[ERRORS] == 0
    assert seg[GOT] == total


# --- the benchmark's loops move what they say ------------------------------------------------------------


def returned(seg, at, function, n):
    seg[at] = function(seg, n)


@pytest.mark.parametrize("produce, consume, expected", [
    (bench.bench_spsc_produce, bench.bench_spsc_consume, sum(range(64_000))),
    (bench.bench_spsc_produce_block, bench.bench_spsc_consume_block, 64_000),
    (bench.bench_mpmc_produce, bench.bench_mpmc_consume, sum(range(64_000))),
], ids=["spsc", "spsc_block", "mpmc"])
def test_two_core_benchmark_loops_move_every_item(produce, consume, expected):
    size = bench.ring_bench_words()
    seg = shared_words(size + 32)
    bench.ring_bench_setup(seg)
    produce(seg, 0)
    consume(seg, 0)
    with Team() as team:
        producer = team.start(returned, seg, size, produce, 64_000)
        consumer = team.start(returned, seg, size + 16, consume, 64_000)
        team.join(producer)
        team.join(consumer)
    assert (seg[size], seg[size + 16]) == (64_000, expected)
