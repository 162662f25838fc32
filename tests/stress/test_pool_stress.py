"""Pools under many processes at once: mutators take and sleep, daemons give back, another user grabs; nothing is lost.

Two mutators take pages of the mempool and of the shared reserve and hand them over; the reclaim daemon gives them
back; a third user holds pages of the shared reserve for a while. The allocator has nothing, so every page is one of
the pools' own, and whoever finds the mempool empty sleeps until one comes back.
"""

from types import SimpleNamespace

import pytest

from emu.arch import fetch_add_relaxed, jit, load_relaxed, xchg_acq_rel
from emu.mm import NO_PAGE, PG_BNODE, page_state
from emu.policy import (
    POOL,
    POOL_MEMPOOL,
    POOL_SHARED,
    page_fetched,
    pool_of,
    put_page,
    shared_reserve_put,
    shared_reserve_take,
    stock_of,
    take_page,
    take_unlocked,
)
from emu.policy.pool import pool_get
from emu.policy.sources import SRC_MEMPOOL
from emu.policy.sources.mempool import mempool_alloc_sleeping, wait_for_element
from emu.shm import HEADER
from emu.sync import spin_lock, spin_unlock
from tests.crew import booted, compile_before_fork, starve

pytestmark = pytest.mark.jit_only  # interpreted, a read-modify-write is several steps of several processes

OVERRIDES = ("policy.sources=['shared-reserve', 'mempool-raw']", "policy.one_arg_sources=['mempool']",
             "policy.pool.pages_per_cpu=4")
SLOTS, STEPS = 8, 10_000
DONE, ERRORS, EXCHANGE = 0, 8, 16  # words behind the machine


@jit
def owned(seg, area, pfn):
    """Count a page that is handed out and not a bnode."""
    if pfn != NO_PAGE and page_state(seg, pfn) != PG_BNODE:
        fetch_add_relaxed(seg, area + ERRORS, 1)


@jit
def mutate(seg, cpu, krc, area, steps, state):
    """Take a page, mostly without sleeping, and leave it in the exchange; take out what was there and give it back."""
    stock = stock_of(seg, cpu)
    for _ in range(steps):
        if load_relaxed(seg, HEADER.fault) != 0:
            break
        state = state * 6364136223846793005 + 1442695040888963407
        if (state >> 40) & 7 == 0:
            pfn = take_unlocked(seg, cpu, cpu, SRC_MEMPOOL)
            if pfn != NO_PAGE:
                spin_lock(seg, cpu, krc)
                page_fetched(seg, cpu, stock)
                spin_unlock(seg, cpu, krc)
        else:
            spin_lock(seg, cpu, krc)
            pfn = take_page(seg, cpu, cpu, stock, 0, 0)
            spin_unlock(seg, cpu, krc)
        owned(seg, area, pfn)
        if pfn != NO_PAGE:
            slot = area + EXCHANGE + cpu * SLOTS + (state >> 33) % SLOTS
            back = xchg_acq_rel(seg, slot, pfn)
            if back != NO_PAGE:
                put_page(seg, cpu, cpu, cpu, stock, back)
    fetch_add_relaxed(seg, area + DONE, 1)


@jit
def give_back(seg, me, area, cpus):
    """The reclaim daemon: whatever lies in the exchange goes home, until both mutators are done."""
    while load_relaxed(seg, HEADER.fault) == 0:
        last = load_relaxed(seg, area + DONE) == cpus
        for slot in range(cpus * SLOTS):
            pfn = xchg_acq_rel(seg, area + EXCHANGE + slot, NO_PAGE)
            if pfn != NO_PAGE:
                put_page(seg, me, cpus, slot // SLOTS, stock_of(seg, slot // SLOTS), pfn)
        if last:
            break


@jit
def grab(seg, me, area, cpus):
    """Another critical user: takes three pages of the shared reserve, gives them back, again and again."""
    while load_relaxed(seg, area + DONE) < cpus and load_relaxed(seg, HEADER.fault) == 0:
        a = shared_reserve_take(seg, me, 0)
        b = shared_reserve_take(seg, me, 0)
        c = shared_reserve_take(seg, me, 0)
        for pfn in (a, b, c):
            if pfn != NO_PAGE:
                shared_reserve_put(seg, me, 0, pfn)


@pytest.fixture
def shared(shared_words):
    """A machine that forked processes share, whose allocator has nothing, and words behind it."""

    def make():
        extra = EXCHANGE + 2 * SLOTS
        machine = booted(lambda count: shared_words(count + extra), *OVERRIDES)
        starve(machine.seg)
        return SimpleNamespace(machine=machine, seg=machine.seg, area=machine.plan.size_words)

    return make


@pytest.mark.parametrize("seed", range(3))
def test_after_a_storm_every_pool_is_whole(shared, fork, seed):
    compile_before_fork(take_unlocked, mempool_alloc_sleeping, wait_for_element)
    warm = shared()
    krc, index = warm.machine.plan.krc, warm.machine.index
    reclaim, other = index("reclaim/0"), index("coordinator")
    for cpu in (0, 1):
        mutate(warm.seg, cpu, krc(cpu), warm.area, 4, 8)
    give_back(warm.seg, reclaim, warm.area, 2)
    grab(warm.seg, other, warm.area, 2)
    m = shared()
    children = [fork(lambda cpu=cpu: mutate(m.seg, cpu, krc(cpu), m.area, STEPS, seed + 2 + cpu)) for cpu in (0, 1)]
    children += [fork(lambda: give_back(m.seg, reclaim, m.area, 2)), fork(lambda: grab(m.seg, other, m.area, 2))]
    assert [child.wait() for child in children] == [0] * 4
    assert (m.seg[HEADER.fault], m.seg[m.area + ERRORS]) == (0, 0)
    for number in (POOL_MEMPOOL, POOL_SHARED):
        pool = pool_of(m.seg, number)
        words = {name: m.seg[pool + getattr(POOL, name)] for name in ("nr", "total", "others_out", "waiters")}
        assert words == {"nr": 8, "total": 8, "others_out": 0, "waiters": 0}
        assert m.seg[pool + POOL.low] == 0  # it was a storm
    pages = set()
    for number in (POOL_MEMPOOL, POOL_SHARED):
        while (pfn := shared_pages(m, number)) != NO_PAGE:
            pages.add(pfn)
    assert len(pages) == 16


def shared_pages(m, number):
    """Take one page out, to count them."""
    return pool_get(m.seg, 0, pool_of(m.seg, number), PG_BNODE, 0, 0)
