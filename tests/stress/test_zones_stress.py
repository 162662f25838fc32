"""Processes take and free blocks of four zones at once, by every way there is; in the end each zone has all its pages.

Ways: the CPU's list, the buddy, requests for lower zones, atomic requests of higher orders (which set pageblocks
aside), requests that wait for no lock and frees that leave pages behind, drains of everybody's lists, pageblocks given
back. Each page of a block carries its holder's mark from end to end.
"""

from types import SimpleNamespace

import pytest

from emu.arch import fetch_add_relaxed, jit, load_relaxed
from emu.boot import boot, make_plan
from emu.config import parse_override, parse_scenario, resolve
from emu.mm import (
    GFP_ATOMIC,
    GFP_DMA32,
    GFP_KERNEL,
    NO_PAGE,
    NR_ORDERS,
    PG_TAKEN,
    ZONE,
    address_of,
    alloc_pages,
    alloc_pages_nolock,
    count_zone_free,
    drain_all_pages,
    free_deferred,
    free_pages,
    free_pages_nolock,
    unreserve_highatomic,
    zone_lock,
    zone_of,
    zone_unlock,
)
from emu.shm import HEADER, RUN
from emu.stats import sum_counters
from tests.unit.mm.memory import fault_of
from tests.unit.mm.zones import SIZES, ZONES

pytestmark = pytest.mark.jit_only  # interpreted, a read-modify-write is several steps of several processes

HAND = 120
OTHER = 4  # a process without a CPU of its own
EVERYBODY = (0, 1, OTHER)
STEPS = 400_000
SEED_BITS = (1 << 62) - 1
ERRORS, PRIVATE = 0, 16  # words behind the machine
PRIVATE_WORDS = 16 + 128
ORDER_BITS = 4


@jit
def next_random(state):
    state ^= (state << 13) & SEED_BITS
    state ^= state >> 7
    state ^= (state << 17) & SEED_BITS
    return state


@jit
def hold(seg, me, mine, pfn, order):
    """A block into the hand, marked as ours."""
    if pfn == NO_PAGE:
        return
    for i in range(1 << order):
        seg[address_of(pfn + i)] = me + 1
        seg[address_of(pfn + i) + 511] = me + 1
    seg[mine + 16 + seg[mine]] = pfn << ORDER_BITS | order
    seg[mine] += 1


@jit
def drop(seg, me, pcp_cpu, area, mine, state):
    """Free the block taken last; its marks must be ours still."""
    seg[mine] -= 1
    pfn = seg[mine + 16 + seg[mine]] >> ORDER_BITS
    order = seg[mine + 16 + seg[mine]] & ((1 << ORDER_BITS) - 1)
    for i in range(1 << order):
        if seg[address_of(pfn + i)] != me + 1 or seg[address_of(pfn + i) + 511] != me + 1:
            fetch_add_relaxed(seg, area + ERRORS, 1)
    if order == 0 and state & 3 == 0:
        free_pages_nolock(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
    else:
        free_pages(seg, me, pcp_cpu, pfn, order, PG_TAKEN, me)


@jit
def one_step(seg, me, pcp_cpu, area, mine, state):
    """One operation, drawn from `state`."""
    draw = state & 0xF
    order = state >> 4 & 3
    kind = (state >> 6) % 3
    if draw < 8:
        if seg[mine] >= HAND:
            return
        if draw < 3:
            order = 0
        if draw < 5:
            hold(seg, me, mine, alloc_pages(seg, me, pcp_cpu, GFP_KERNEL, order, kind), order)
        elif draw == 5:
            hold(seg, me, mine, alloc_pages(seg, me, pcp_cpu, GFP_ATOMIC, order, kind), order)
        elif draw == 6:
            hold(seg, me, mine, alloc_pages(seg, me, pcp_cpu, GFP_KERNEL | GFP_DMA32, order, kind), order)
        else:
            hold(seg, me, mine, alloc_pages_nolock(seg, me, pcp_cpu, order), order)
    elif draw < 15:
        if seg[mine] > 0:
            drop(seg, me, pcp_cpu, area, mine, state >> 8)
    elif state & 0xFF00 == 0:
        drain_all_pages(seg, me, pcp_cpu)
    elif state & 0xF00 == 0x100:
        unreserve_highatomic(seg, me, pcp_cpu, kind, state >> 12 & 1)


@jit
def hammer(seg, me, pcp_cpu, area, steps, state):
    """`steps` operations, fewer after a fault. Returns those done."""
    mine = area + PRIVATE + me * PRIVATE_WORDS
    for done in range(steps):
        if load_relaxed(seg, HEADER.fault) != 0:
            return done
        state = next_random(state)
        one_step(seg, me, pcp_cpu, area, mine, state)
    return steps


@jit
def settle(seg, me, pcp_cpu, area):
    """Give back every block in `me`'s hand, and what was left behind in the zones."""
    mine = area + PRIVATE + me * PRIVATE_WORDS
    while seg[mine] > 0:
        drop(seg, me, pcp_cpu, area, mine, 1)
    drain_all_pages(seg, me, pcp_cpu)
    for index in range(4):
        zone = zone_of(seg, index)
        zone_lock(seg, me, zone)
        free_deferred(seg, me, zone)
        zone_unlock(seg, me, zone)


@pytest.fixture
def shared(shared_words):
    """make(*overrides): a machine of four zones that forked processes share, and the words behind it."""

    def make(*overrides):
        texts = (ZONES, "trace.events_per_process=64", "memory.pcp_batch=8", "cpus.count=2", "slab.live_objects=8",
                 *overrides)
        plan = make_plan(resolve(parse_scenario("", overrides=dict(parse_override(text) for text in texts))))
        seg = shared_words(plan.size_words + PRIVATE + 8 * PRIVATE_WORDS)
        boot(seg, plan)
        seg[HEADER.run_state] = RUN
        for index in range(4):
            seg[zone_of(seg, index) + ZONE.highatomic_max] = 512
            for mark in (ZONE.wmark_low, ZONE.wmark_high):  # every request takes the slow path
                seg[zone_of(seg, index) + mark] = SIZES[index]
        return SimpleNamespace(seg=seg, area=plan.size_words)

    return make


@pytest.mark.parametrize("epoch", ["E511", "E61", "E612"])
def test_each_zone_has_all_its_pages_after_a_storm(shared, fork, epoch):
    warm = shared(f"run.epoch={epoch}")
    for me in EVERYBODY:  # one process compiles, not three at once
        hammer(warm.seg, me, min(me, 2), warm.area, 500, 7 + me)
        settle(warm.seg, me, min(me, 2), warm.area)
    m = shared(f"run.epoch={epoch}")
    children = [fork(lambda me=me: hammer(m.seg, me, min(me, 2), m.area, STEPS, 31 + me)) for me in EVERYBODY]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert fault_of(m.seg) == (0, 0, 0, 0)
    for me in EVERYBODY:
        settle(m.seg, me, min(me, 2), m.area)
    assert fault_of(m.seg) == (0, 0, 0, 0)
    assert m.seg[m.area + ERRORS] == 0
    for index, pages in enumerate(SIZES):
        zone = zone_of(m.seg, index)
        assert m.seg[zone + ZONE.nr_free] == count_zone_free(m.seg, zone) == pages
        kept = sum(m.seg[zone + ZONE.free_count + 4 * order + 3] << order for order in range(NR_ORDERS))
        assert m.seg[zone + ZONE.nr_free_highatomic] == kept
    counters = sum_counters(m.seg)
    assert sum(counters[f"pgalloc_{kind}"] for kind in ("dma", "dma32", "normal")) == counters["pgfree"]
    assert counters["drain_all_pages"] > 3 and counters["pageblock_highatomic"] > 0
