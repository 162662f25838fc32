"""Two processes that wake each other: a bare futex pair, and a CPU that misses a page with its refill worker.

Holds   both pairs as compiled loops of `rounds` rounds; each round leaves its latency in a word of the samples.
Rule    asker and answerer run the same number of rounds. Before each round the asker naps, so that the answerer is
        asleep when it is asked; both are asked by their own futex and answer by one.
Limits  raw: request to the answerer's first instruction. Refill: a miss (stamped under krc->lock) to the first page
        in the cache, which is raw plus doorbell, allocation and publication.
"""

from emu.arch import futex_wait, futex_wake, jit, load_acquire, load_relaxed, store_relaxed, store_release
from emu.bench.machine import MUTATOR_0, REFILL_0
from emu.kvfree import krc_of
from emu.policy import (
    GOT_NOTHING,
    STOCK,
    drop_page,
    refill_pending,
    refill_request,
    refill_ring,
    refill_step,
    stock_of,
    take_page,
)
from emu.shm import LINE_WORDS, now_ns
from emu.sync import bell_seen, proc_ring, proc_sleep, spin_lock, spin_unlock

NAP_NS = 50_000
AGAIN_NS = 100_000_000  # a wait that outlives this looks again: a bound, never the rule

# Words of the bench's own area.
BELL, ANSWER, T_RUN, IDLE, SAMPLES = 0, LINE_WORDS, LINE_WORDS + 1, 2 * LINE_WORDS, 3 * LINE_WORDS


def area_words(rounds: int) -> int:
    """Words of an area for so many samples."""
    return SAMPLES + rounds


@jit
def nap(seg, area):
    """Be off the core for a moment: nobody wakes this word."""
    futex_wait(seg, area + IDLE, 0, now_ns(seg) + NAP_NS)


@jit
def raw_ask(seg, area, rounds):
    """Ask `rounds` times; samples are the times from before the wake-up call to the answerer's first look."""
    for i in range(rounds):
        nap(seg, area)
        asked = now_ns(seg)
        store_release(seg, area + BELL, i + 1)
        futex_wake(seg, area + BELL, 1)
        while load_acquire(seg, area + ANSWER) != i + 1:
            futex_wait(seg, area + ANSWER, i, now_ns(seg) + AGAIN_NS)
        seg[area + SAMPLES + i] = load_relaxed(seg, area + T_RUN) - asked
    return rounds


@jit
def raw_answer(seg, area, rounds):
    """Sleep on the bell and say when it woke us."""
    for i in range(rounds):
        while load_acquire(seg, area + BELL) == i:
            futex_wait(seg, area + BELL, i, now_ns(seg) + AGAIN_NS)
        store_relaxed(seg, area + T_RUN, now_ns(seg))
        store_release(seg, area + ANSWER, i + 1)
        futex_wake(seg, area + ANSWER, 1)
    return rounds


@jit
def miss_and_ask(seg, krc, stock):
    """Take the cached pages away until a call would find none, and ask for a refill as that call does."""
    while True:
        spin_lock(seg, MUTATOR_0, krc)
        pfn = take_page(seg, MUTATOR_0, 0, stock, 0, 0)
        if pfn == GOT_NOTHING:
            break
        spin_unlock(seg, MUTATOR_0, krc)
        drop_page(seg, MUTATOR_0, 0, 0, stock, pfn)
    ring = refill_request(seg, MUTATOR_0, stock)
    spin_unlock(seg, MUTATOR_0, krc)
    if ring != 0:
        refill_ring(seg, MUTATOR_0, 0, stock)
    return ring


@jit
def refill_ask(seg, area, rounds):
    """Miss `rounds` times; samples are the times from the miss to the first page in the cache."""
    krc = krc_of(seg, 0)
    stock = stock_of(seg, 0)
    for i in range(rounds):
        nap(seg, area)
        if miss_and_ask(seg, krc, stock) == 0:
            return i
        while load_acquire(seg, stock + STOCK.in_progress) != 0:
            seen = bell_seen(seg, MUTATOR_0)
            if load_acquire(seg, stock + STOCK.in_progress) != 0:
                proc_sleep(seg, MUTATOR_0, seen, now_ns(seg) + AGAIN_NS)
        seg[area + SAMPLES + i] = seg[stock + STOCK.t_pub] - seg[stock + STOCK.t_miss]
    return rounds


@jit
def refill_answer(seg, area, rounds):
    """The refill worker of CPU 0 for `rounds` requests; wakes the asker after each, which no worker does in a run."""
    served = 0
    while served < rounds:
        seen = bell_seen(seg, REFILL_0)
        if refill_pending(seg, 0) != 0:
            refill_step(seg, REFILL_0, 0, 0, 1, now_ns(seg))
            served += 1
            proc_ring(seg, MUTATOR_0)
        else:
            proc_sleep(seg, REFILL_0, seen, now_ns(seg) + AGAIN_NS)
    return served
