"""Three processes take and free pages and objects of one memory at once; in the end every page is where it should be.

Two are mutators with a CPU each, the third stands for everybody else. Objects travel: whoever makes one leaves it in
an exchange, whoever takes it out frees it, so most frees are remote. Each object carries the number of its slot of
the exchange in its payload, twice, and whoever frees it looks.
"""

import os
import random
import signal
import time
from types import SimpleNamespace

import pytest

from emu.arch import fetch_add_relaxed, jit, load_relaxed, store_relaxed, xchg_acq_rel
from emu.boot import boot, make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.mm import (
    GFP_ATOMIC,
    GFP_KERNEL,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PAYLOAD,
    PG_TAKEN,
    address_of,
    alloc_page,
    alloc_page_lockless,
    count_free_blocks,
    free_page,
    kfree,
    kfree_bulk,
    kmalloc,
    pcp_count,
    pcp_decay,
    pcp_drain,
    pcp_of,
    slab_flush_cpu,
    zone_of,
)
from emu.mm.pcp import pcp_put, pcp_take
from emu.shm import HEADER, RUN
from emu.stats import sum_counters
from tests.unit.mm.memory import fault_of, free_blocks, ledger, zone_word

pytestmark = pytest.mark.jit_only  # interpreted, a read-modify-write is several steps of several processes

PAGES, SLOTS, HAND, BATCH = 4096, 512, 96, 16
WORDS = 32  # of an object
OTHER = 4  # process index of the reclaim daemon, who has no CPU of its own
EVERYBODY = (0, 1, OTHER)
STEPS = 2_000_000
SEED_BITS = (1 << 62) - 1
BAD_PAYLOAD, BAD_PAGE = 1, 2

# words behind the machine: shared ones, the exchange, then a private part for each process
ERRORS, QUIT, EXCHANGE = 0, 16, 32
PRIVATE = EXCHANGE + SLOTS
PROGRESS, BEGUN, HELD, PAGES_HELD, RECORDS = 0, 1, 16, 17, 17 + HAND
PRIVATE_WORDS = (RECORDS + BATCH + 15) // 16 * 16


@jit
def next_random(state):
    state ^= (state << 13) & SEED_BITS
    state ^= state >> 7
    state ^= (state << 17) & SEED_BITS
    return state


@jit
def progress_of(area, me):
    return area + PRIVATE + me * PRIVATE_WORDS + PROGRESS


@jit
def make_object(seg, me, area, slot):
    """Put a fresh object into the exchange; returns what was in the slot before, or 0."""
    obj = kmalloc(seg, me, me, 0, GFP_KERNEL)
    if obj == 0:
        return 0
    seg[obj + PAYLOAD] = slot
    seg[obj + WORDS - 1] = slot
    return xchg_acq_rel(seg, area + EXCHANGE + slot, obj)


@jit
def look(seg, area, obj, slot):
    """Count an object that does not carry its slot's number."""
    if seg[obj + PAYLOAD] != slot or seg[obj + WORDS - 1] != slot:
        fetch_add_relaxed(seg, area + ERRORS, BAD_PAYLOAD)


@jit
def free_some(seg, me, pcp_cpu, area, slot):
    """Take up to BATCH neighbours out of the exchange and free them in bulk."""
    records = area + PRIVATE + me * PRIVATE_WORDS + RECORDS
    n = 0
    for i in range(BATCH):
        at = (slot + i) % SLOTS
        obj = xchg_acq_rel(seg, area + EXCHANGE + at, 0)
        if obj != 0:
            look(seg, area, obj, at)
            seg[records + n] = obj
            n += 1
    kfree_bulk(seg, me, pcp_cpu, records, n)


@jit
def take_page(seg, me, pcp_cpu, area, state):
    """A page into the hand, by one of the ways there are, marked as ours from end to end."""
    mine = area + PRIVATE + me * PRIVATE_WORDS
    if state & 0x300 == 0:
        pfn = alloc_page_lockless(seg, me, pcp_cpu)
    else:
        pfn = alloc_page(seg, me, pcp_cpu, GFP_ATOMIC, state >> 12 & 1)
    if pfn != NO_PAGE:
        seg[address_of(pfn)] = me + 1
        seg[address_of(pfn) + 511] = me + 1
        seg[mine + PAGES_HELD + seg[mine + HELD]] = pfn
        seg[mine + HELD] += 1


@jit
def drop_page(seg, me, pcp_cpu, area):
    """Free the page taken last; its marks must be ours still."""
    mine = area + PRIVATE + me * PRIVATE_WORDS
    seg[mine + HELD] -= 1
    pfn = seg[mine + PAGES_HELD + seg[mine + HELD]]
    if seg[address_of(pfn)] != me + 1 or seg[address_of(pfn) + 511] != me + 1:
        fetch_add_relaxed(seg, area + ERRORS, BAD_PAGE)
    free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)


@jit
def one_step(seg, me, pcp_cpu, area, state):
    """One operation, drawn from `state`."""
    mine = area + PRIVATE + me * PRIVATE_WORDS
    slot = (state >> 20) % SLOTS
    draw = state & 0xF
    if draw < 6:
        if me == OTHER:
            free_some(seg, me, pcp_cpu, area, slot)
        else:
            old = make_object(seg, me, area, slot)
            if old != 0:
                look(seg, area, old, slot)
                kfree(seg, me, pcp_cpu, old)
    elif draw < 8:
        free_some(seg, me, pcp_cpu, area, slot)
    elif draw < 12:
        if seg[mine + HELD] < HAND:
            take_page(seg, me, pcp_cpu, area, state >> 4)
    elif draw < 15:
        if seg[mine + HELD] > 0:
            drop_page(seg, me, pcp_cpu, area)
    elif state & 0xF0 == 0:
        if me != OTHER:
            slab_flush_cpu(seg, me, pcp_cpu, 0, me)
    elif state & 0xF0 == 0x10:
        pcp_drain(seg, me, zone_of(seg, 0), pcp_of(seg, 0, (state >> 8) % 3), 1 + (state >> 20) % 64)
    elif state & 0xF0 == 0x20:
        pcp_decay(seg, me, zone_of(seg, 0), pcp_of(seg, 0, pcp_cpu))


@jit
def hammer(seg, me, pcp_cpu, area, steps, state):
    """`steps` operations, or, with steps 0, until told to quit."""
    done = 0
    while load_relaxed(seg, HEADER.fault) == 0:
        if steps != 0 and done >= steps:
            break
        if steps == 0 and load_relaxed(seg, area + QUIT) != 0:
            break
        state = next_random(state)
        one_step(seg, me, pcp_cpu, area, state)
        done += 1
        store_relaxed(seg, progress_of(area, me), done)


@jit
def take_and_put(seg, me, cpus, area, state):
    """Only the lock-free halves of the page lists, on everybody's lists, one page in hand at most."""
    done = 0
    while load_relaxed(seg, area + QUIT) == 0:
        state = next_random(state)
        pcp = pcp_of(seg, 0, (state >> 8) % cpus)
        kind = (state >> 16) % 3
        pfn = pcp_take(seg, me, pcp, kind)
        if pfn != NO_PAGE:
            pcp_put(seg, me, pcp, pfn, kind)
        done += 1
        store_relaxed(seg, progress_of(area, me), done)


@pytest.fixture
def shared(shared_words):
    """make(*overrides): a machine that forked processes share, and the words behind it."""

    def make(*overrides):
        texts = (f"memory.managed_pages={PAGES}", "trace.events_per_process=64", f"slab.object_bytes=[{8 * WORDS}]",
                 "slab.min_partial=2", "memory.pcp_batch=16", *overrides)
        plan = make_plan(resolve(parse_scenario("", overrides=dict(parse_override(text) for text in texts))))
        assert plan.roles[OTHER].index == OTHER and plan.cpus == 2
        seg = shared_words(plan.size_words + PRIVATE + 8 * PRIVATE_WORDS)
        boot(seg, plan)
        seg[HEADER.run_state] = RUN
        return SimpleNamespace(seg=seg, area=plan.size_words)

    return make


def compile_before_fork(m):
    """One process compiles, not three at once."""
    for me in EVERYBODY:
        hammer(m.seg, me, min(me, 2), m.area, 200, 77 + me)
    m.seg[m.area + QUIT] = 1
    take_and_put(m.seg, OTHER, 3, m.area, 5)
    settle(m)


def settle(m):
    """Everybody gives back what is left: objects in the exchange, pages in hands, active slabs, page lists."""
    seg, area = m.seg, m.area
    for slot in range(SLOTS):
        if (obj := seg[area + EXCHANGE + slot]) != 0:
            kfree(seg, OTHER, 2, obj)
    for me in EVERYBODY:
        while seg[area + PRIVATE + me * PRIVATE_WORDS + HELD]:
            drop_page(seg, me, min(me, 2), area)
    for cpu in range(2):
        slab_flush_cpu(seg, cpu, cpu, 0, cpu)
    for cpu in range(3):
        while pcp_drain(seg, cpu, zone_of(seg, 0), pcp_of(seg, 0, cpu), 100):
            pass


def assert_all_is_accounted_for(m):
    """Now, and after everything was given back."""
    seg = m.seg
    assert fault_of(seg) == (0, 0, 0, 0)
    assert seg[m.area + ERRORS] == 0
    held = sum(seg[m.area + PRIVATE + me * PRIVATE_WORDS + HELD] for me in EVERYBODY)
    book = ledger(seg)
    assert book.get("taken", 0) == held
    assert book.get("pcp", 0) == sum(pcp_count(seg, pcp_of(seg, 0, cpu)) for cpu in range(3))
    assert book["buddy"] == zone_word(seg, "nr_free") == count_free_blocks(seg)
    free_blocks(seg)
    settle(m)
    book = ledger(seg)
    assert set(book) <= {"buddy", "slab"} and "objects" not in book
    assert book.get("slab", 0) <= 2  # min_partial
    free_blocks(seg)
    counters = sum_counters(seg)
    assert counters["pgalloc_normal"] - counters["pgfree"] == book.get("slab", 0)
    assert counters["slab_page_alloc"] - counters["slab_page_free"] == book.get("slab", 0)
    if counters["pcp_lock_contended"] == 0:  # else some went past the lists
        assert counters["pcp_refill_pages"] - counters["pcp_drain_pages"] == book.get("slab", 0)
    assert fault_of(seg) == (0, 0, 0, 0)


RULES = pytest.mark.parametrize("rule", ["v5.9", "v6.1", "v6.7"])


@RULES
@pytest.mark.parametrize("seed", range(3))
def test_every_page_is_accounted_for_after_a_storm(shared, fork, rule, seed):
    compile_before_fork(shared())
    m = shared(f'memory.pcp_rule="{rule}"')
    children = [
        fork(lambda me=me: hammer(m.seg, me, min(me, 2), m.area, STEPS, 1000 * seed + me + 1)) for me in EVERYBODY
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert [m.seg[progress_of(m.area, me)] for me in EVERYBODY] == [STEPS] * 3
    assert_all_is_accounted_for(m)


@RULES
@pytest.mark.parametrize("seed", range(5))
def test_a_participant_of_the_page_lists_that_stops_for_ever_stops_nobody(shared, fork, rule, seed):
    compile_before_fork(shared())
    m = shared(f'memory.pcp_rule="{rule}"')
    for cpu in range(2):
        alloc_and_return(m.seg, cpu)
    victim = fork(lambda: take_and_put(m.seg, OTHER, 3, m.area, 1 + seed))
    while m.seg[progress_of(m.area, OTHER)] < 1000:
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0, 0.003))
    os.kill(victim.pid, signal.SIGSTOP)
    os.waitpid(victim.pid, os.WUNTRACED)
    stopped_at = m.seg[progress_of(m.area, OTHER)]
    others = [fork(lambda me=me: hammer(m.seg, me, me, m.area, STEPS // 3, 50 * seed + me + 1)) for me in (0, 1)]
    assert [child.wait() for child in others] == [0, 0]
    assert m.seg[progress_of(m.area, OTHER)] == stopped_at
    m.seg[m.area + QUIT] = 1
    os.kill(victim.pid, signal.SIGCONT)
    assert victim.wait() == 0
    assert_all_is_accounted_for(m)


def alloc_and_return(seg, cpu):
    """Something on a CPU's list for others to take."""
    pfn = alloc_page(seg, cpu, cpu, GFP_KERNEL, MIGRATE_UNMOVABLE)
    free_page(seg, cpu, cpu, pfn, PG_TAKEN, cpu)


def test_the_storms_own_checks_fire(shared):
    """A page written by another and an object with another's number are seen by whoever frees them."""
    m = shared()
    seg, area = m.seg, m.area
    take_page(seg, 0, 0, area, 1 << 8)
    mine = area + PRIVATE
    pfn = seg[mine + PAGES_HELD]
    seg[address_of(pfn) + 511] = 2
    drop_page(seg, 0, 0, area)
    assert seg[area + ERRORS] == BAD_PAGE
    make_object(seg, 0, area, 3)
    seg[seg[area + EXCHANGE + 3] + WORDS - 1] = 4
    free_some(seg, 0, 0, area, 0)
    assert seg[area + ERRORS] == BAD_PAGE + BAD_PAYLOAD
    assert fault_of(seg)[0] == 0
