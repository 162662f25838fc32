"""Loops over pages: the per-CPU lists, and the zone behind them in batches.

Rule    as in primitives.py. n counts pages that go out and come back.
"""

from emu.arch import (
    cmpxchg_acquire,
    cmpxchg_release,
    jit,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
)
from emu.bench.machine import MUTATOR_0, BenchMachine
from emu.bench.primitives import bare_words
from emu.mm import MIGRATE_UNMOVABLE, PAGE, pcp_of, scratch_of, zone_of
from emu.mm.pcp import free_pcppages_bulk, pcp_put, pcp_take, rmqueue_bulk
from emu.shm import LINE_WORDS, now_ns

BATCH = 63
PAGES = 512  # out before the first comes back
FILL = 64


@jit
def fill_pcp(seg, pages):
    """Put `pages` pages onto the CPU's list; returns how many memory had."""
    zone = zone_of(seg, 0)
    pcp = pcp_of(seg, 0, 0)
    dst = scratch_of(seg, MUTATOR_0)
    got = rmqueue_bulk(seg, MUTATOR_0, zone, MIGRATE_UNMOVABLE, pages, dst, 0)
    for i in range(got):
        pcp_put(seg, MUTATOR_0, pcp, seg[dst + i], MIGRATE_UNMOVABLE)
    return got


def prepare_pcp(machine: BenchMachine) -> None:
    """A list with pages on it, so that links are read, not only written."""
    assert fill_pcp(machine.seg, FILL) == FILL


@jit
def bench_pcp(seg, n):
    """Take a page off the list, put it back."""
    pcp = pcp_of(seg, 0, 0)
    total = 0
    for _ in range(n):
        pfn = pcp_take(seg, MUTATOR_0, pcp, MIGRATE_UNMOVABLE)
        total += pfn
        pcp_put(seg, MUTATOR_0, pcp, pfn, MIGRATE_UNMOVABLE)
    return total


@jit
def bare_pcp(seg, n):
    """Two swaps of a head, a link read and one written, a state word checked and written twice."""
    head = bare_words(seg)
    total = 0
    for _ in range(n):
        old = load_acquire(seg, head)
        below = load_relaxed(seg, head + 64 + (old & 15))
        cmpxchg_acquire(seg, head, old, old + 1 + below)
        state = head + 128 + (old & 15) * PAGE.SIZE
        total += load_relaxed(seg, state)
        store_relaxed(seg, state, old)
        total += load_relaxed(seg, state)
        store_relaxed(seg, state, 0)
        old = load_acquire(seg, head)
        total += load_relaxed(seg, head + 64 + (old & 15))
        store_relaxed(seg, head + 80 + (old & 15), old)
        cmpxchg_release(seg, head, old, old + 1)
    return total


@jit
def bench_zone(seg, n):
    """PAGES pages out of the buddy in batches of BATCH, then back in the same batches; zone->lock times itself."""
    zone = zone_of(seg, 0)
    dst = scratch_of(seg, MUTATOR_0)
    moved = 0
    while moved < n:
        pages = min(PAGES, n - moved)
        out = 0
        while out < pages:
            got = rmqueue_bulk(seg, MUTATOR_0, zone, MIGRATE_UNMOVABLE, min(BATCH, pages - out), dst + out, 0)
            if got == 0:
                return 0
            out += got
        back = 0
        while back < pages:
            some = min(BATCH, pages - back)
            free_pcppages_bulk(seg, MUTATOR_0, zone, dst + back, some)
            back += some
        moved += pages
    return moved


@jit
def bare_link(seg, head, page):
    """What linking a block at the head of a list and unlinking another one costs, on fixed words."""
    first = seg[head]
    store_relaxed(seg, page, first)
    seg[page + 2] = first
    seg[page + 3] = 0
    seg[head + 1] = page
    seg[head + 2] += 1
    seg[head + 3] |= 2
    seg[head + 4] = seg[page + 2] + seg[page + 3]
    seg[head + 5] = first
    seg[head + 2] -= 1


@jit
def bare_zone(seg, n):
    """Per page and way a block linked, one unlinked, free count and state moved; per batch a lock and two stamps.

    No search, no decision, no splitting and merging: those are the buddy.
    """
    words = bare_words(seg)
    head = words + LINE_WORDS
    moved = 0
    while moved < n:
        pages = min(PAGES, n - moved)
        for _ in range(2):
            done = 0
            while done < pages:
                some = min(BATCH, pages - done)
                cmpxchg_acquire(seg, words, 0, 1)
                start = now_ns(seg)
                for i in range(some):
                    page = words + 4 * LINE_WORDS + ((done + i) & 127) * PAGE.SIZE
                    bare_link(seg, head, page)
                    store_relaxed(seg, head + 8, load_relaxed(seg, head + 8) + 1)
                    store_relaxed(seg, page + 1, load_relaxed(seg, page + 1) + 1)
                seg[head + 9] += now_ns(seg) - start
                store_release(seg, words, 0)
                done += some
        moved += pages
    return moved
